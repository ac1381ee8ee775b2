"""Volumes in DICOM: every slice lies where its own position says, or the set is refused with the reason."""

import numpy as np
import pytest

from dicom_samples import AXIAL, dicom_file, frame_groups, item, region, slice_files
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import read_sequence, read_volume

STACK = [(1, 2, 8.0 * k) for k in range(12)]
SAGITTAL = (0, 1, 0, 0, 0, -1)


def oblique(tilt=0.5, turn=0.3):
    """An orientation whose x and y are turned about two axes."""
    x = np.array([np.cos(turn), np.sin(turn), 0])
    y = np.cross([0, 0, 1], x) * np.cos(tilt) + np.array([0, 0, 1]) * np.sin(tilt)
    return (*x, *y)


def along_normal(orientation, step, count, origin=(10, -20, 30)):
    normal = np.cross(orientation[:3], orientation[3:])
    return [np.array(origin) + normal * step * k for k in range(count)]


def place_of(volume, grey):
    """Where the slice of a grey level lies, LPS mm."""
    (depth,) = {int(index) for index in np.argwhere(volume.array == grey)[:, 0]}
    return (volume.index_to_lps_mm @ [0, 0, depth, 1])[:3]


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, oblique()], ids=["axial", "sagittal", "oblique"])
@pytest.mark.parametrize("step", [3.0, -3.0], ids=["forward", "reversed"])
def test_every_slice_lies_where_it_was_scanned(tmp_path, orientation, step):
    import SimpleITK as sitk

    positions = along_normal(orientation, step, 7)
    volume = read_volume(slice_files(tmp_path / "v", positions, orientation))
    for number, position in enumerate(positions):
        np.testing.assert_allclose(place_of(volume, 100 + number), position, atol=1e-3)
    assert volume.spacing_mm == pytest.approx((0.25, 0.5, 3.0), abs=1e-4)
    # a regular set: ITK agrees
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "v")))
    image = reader.Execute()
    np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(image))
    np.testing.assert_allclose(volume.origin_mm, image.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(volume.direction.ravel(), image.GetDirection(), atol=1e-5)


@pytest.mark.parametrize(
    ("positions", "words"),
    [
        (STACK[:5] + STACK[6:], "1 slice is missing, between 32 and 48 mm"),
        (STACK[:3] + STACK[5:], "2 slices are missing, between 16 and 40 mm"),
        ([(0, 0, z) for z in (0, 5, 10, 15, 22, 27, 32)], "not evenly spaced"),
        ([(0, 0, z) for z in (0, 1, 3, 6, 10)], "missing|not evenly spaced"),
        ([(0, 2.8 * k, 8 * k) for k in range(12)], r"sheared by 19.3 degrees \(a tilted gantry\)"),
        ([(0, 0, 0), (0, 0, 3), (4, 0, 6), (0, 0, 9)], "do not lie straight behind one another: s02.dcm is 4 mm"),
        ([*STACK[:4], STACK[3]], "1 of 4 positions are there more than once: s03.dcm and s04.dcm both lie at 24 mm"),
        ([*STACK[:2], None], "s02.dcm has no ImagePositionPatient"),
    ],
)
def test_irregular_sets_are_refused_with_the_positions(tmp_path, positions, words):
    with pytest.raises(InputError, match=words):
        read_volume(slice_files(tmp_path / "v", positions))


def test_positions_rounded_to_a_tenth_are_regular(tmp_path):
    positions = [(0, 0, round(0.625 * k, 1)) for k in range(20)]
    volume = read_volume(slice_files(tmp_path / "v", positions))
    for number, position in enumerate(positions):
        np.testing.assert_allclose(place_of(volume, 100 + number), position, atol=0.1)


def test_orientation_rounded_to_three_decimals_is_regular(tmp_path):
    orientation = oblique()
    positions = along_normal(orientation, 5.0, 40)
    volume = read_volume(slice_files(tmp_path / "v", positions, np.round(orientation, 3)))
    for number, position in enumerate(positions):
        np.testing.assert_allclose(place_of(volume, 100 + number), position, atol=0.25)
    tilted = [position + np.array([0, 0.005 * 5 * number, 0]) for number, position in enumerate(positions)]
    with pytest.raises(InputError, match="sheared by"):
        read_volume(slice_files(tmp_path / "t", tilted, orientation))


def test_two_orientations_and_two_sizes_are_named(tmp_path):
    with pytest.raises(InputError, match=r"slices of 2 orientations \(3 with normal \(0, 0, 1\); 2 with normal"):
        read_volume(slice_files(tmp_path / "v", STACK[:5], [AXIAL] * 3 + [SAGITTAL] * 2))
    sizes = [np.ones((1, 6, 8), np.uint16), np.ones((1, 6, 9), np.uint16)]
    with pytest.raises(InputError, match=r"s01.dcm is 9 x 6 pixels, but s00.dcm is 8 x 6"):
        read_volume(slice_files(tmp_path / "w", STACK[:2], each={"pixels": sizes}))
    with pytest.raises(InputError, match=r"the pixels of s01.dcm are \[0.5, 0.3\] mm, but those of s00.dcm"):
        read_volume(slice_files(tmp_path / "x", STACK[:2], each={"PixelSpacing": [[0.5, 0.25], [0.5, 0.3]]}))


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"TriggerTime": [0, 0, 0, 40, 40, 40]}, r"2 volumes of 3 slices, which differ in TriggerTime \(0, 40\)"),
        ({"TemporalPositionIdentifier": [1, 1, 1, 2, 2, 2]}, r"differ in TemporalPositionIdentifier \(1, 2\)"),
        ({"AcquisitionTime": ["101500"] * 3 + ["101501.5"] * 3}, "differ in AcquisitionTime"),
        ({"EchoTime": [5, 5, 5, 10, 10, 10]}, r"differ in EchoTime \(5, 10\)"),
    ],
)
def test_several_volumes_of_one_series_are_named(tmp_path, attributes, words):
    with pytest.raises(InputError, match=words):
        read_volume(slice_files(tmp_path / "v", STACK[:3] * 2, each=attributes))


def test_times_of_one_slice_are_a_sequence(tmp_path):
    folder = slice_files(tmp_path / "v", [STACK[0]] * 4, each={"TriggerTime": [90, 0, 60, 30]})
    with pytest.raises(InputError, match=r"4 images of one slice, which differ in TriggerTime .*read them as a sequen"):
        read_volume(folder)
    sequence = read_sequence(folder)
    assert [int(frame[0, 0]) for _, frame in sequence.iterate()] == [101, 103, 102, 100]
    np.testing.assert_allclose(sequence.times_s, [0, 0.03, 0.06, 0.09])
    assert sequence.spacing_mm == (0.25, 0.5) and sequence.origin_mm == (1, 2, 0)
    clock = slice_files(tmp_path / "c", [STACK[0]] * 2, each={"AcquisitionTime": ["235959.5", "235959.25"]})
    np.testing.assert_allclose(read_sequence(clock).times_s, [0, 0.25])
    for name, positions, words in (("p", STACK[:3], "3 DICOM files at 3 positions"), ("n", [None] * 2, "no clip")):
        with pytest.raises(InputError, match=words):
            read_sequence(slice_files(tmp_path / name, positions))
    with pytest.raises(InputError, match="do not say their times"):
        read_sequence(slice_files(tmp_path / "t", [STACK[0]] * 2))


def test_a_clip_beside_a_report_is_read(tmp_path):
    dicom_file(tmp_path / "clip.dcm", np.zeros((5, 6, 8), np.uint8), FrameTime=20)
    report = dicom_file(tmp_path / "report.dcm", np.zeros((1, 6, 8), np.uint8), Modality="SR", Rows=None, Columns=None)
    assert report.exists() and len(read_sequence(tmp_path)) == 5


def test_positions_win_over_the_spacing_between_slices(tmp_path):
    volume = read_volume(slice_files(tmp_path / "v", STACK[:3], SpacingBetweenSlices=4))
    assert volume.spacing_mm[2] == pytest.approx(8)
    assert any("8 mm apart by their positions, although SpacingBetweenSlices is 4 mm" in n for n in volume.notes)
    assert not read_volume(slice_files(tmp_path / "w", STACK[:3], SpacingBetweenSlices=8)).notes
    (single,) = [read_volume(slice_files(tmp_path / "s", STACK[1:2], SliceThickness=6))]
    assert single.array.shape == (1, 6, 8) and single.spacing_mm[2] == 6 and single.origin_mm == (1, 2, 8)
    unknown = read_volume(slice_files(tmp_path / "u", STACK[1:2]))
    assert "the thickness of the slice is unknown; it counts as 1 mm" in unknown.notes


def test_a_mosaic_is_no_slice(tmp_path):
    folder = slice_files(tmp_path / "v", STACK[:2], ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"])
    with pytest.raises(InputError, match=r"s00.dcm is a mosaic of slices in one picture"):
        read_volume(folder)


def test_values_are_those_of_each_file(tmp_path):
    """Positron emission tomography has another slope in every slice; computed tomography an intercept."""
    volume = read_volume(
        slice_files(tmp_path / "v", STACK[:3], each={"RescaleSlope": [1, 0.5, 2], "RescaleIntercept": [0, 1, 0]})
    )
    assert volume.array[:, 0, 0].tolist() == [100, 51.5, 204] and volume.array.dtype == np.float32
    volume = read_volume(slice_files(tmp_path / "w", STACK[:3], RescaleSlope=1, RescaleIntercept=-1024))
    assert volume.array[:, 0, 0].tolist() == [-924, -923, -922] and volume.array.dtype == np.int16


def test_enhanced_multi_frame(tmp_path):
    frames = np.arange(100, 104, dtype=np.uint16)[:, None, None] * np.ones((1, 6, 8), np.uint16)
    orientation = oblique()
    positions = along_normal(orientation, 4.0, 4)
    shuffled = [2, 0, 3, 1]
    slopes = [{"PixelValueTransformationSequence": item(RescaleSlope=k + 1, RescaleIntercept=0)} for k in range(4)]
    groups = frame_groups([positions[k] for k in shuffled], orientation, per_frame=slopes)
    path = dicom_file(tmp_path / "e.dcm", frames, Modality="MR", **groups)
    volume = read_volume(path)
    for frame, place in enumerate(shuffled):
        np.testing.assert_allclose(place_of(volume, (100 + frame) * (frame + 1)), positions[place], atol=1e-6)
    assert volume.spacing_mm == pytest.approx((0.25, 0.5, 4))
    gap = frame_groups([(0, 0, z) for z in (0, 4, 8, 16)])
    with pytest.raises(InputError, match="1 slice is missing, between 8 and 16 mm"):
        read_volume(dicom_file(tmp_path / "g.dcm", frames, Modality="MR", **gap))
    times = frame_groups([(0, 0, 0), (0, 0, 4)] * 2)
    with pytest.raises(InputError, match="2 volumes of 2 slices"):
        read_volume(dicom_file(tmp_path / "t.dcm", frames, Modality="MR", **times))


@pytest.mark.parametrize("volume", [True, False])
def test_an_ultrasound_volume_is_no_clip(tmp_path, volume):
    frames = np.zeros((8, 6, 8), np.uint8)
    groups = frame_groups([(0, 0, 0.5 * k) for k in range(4)] * 2, volume=volume)
    path = dicom_file(tmp_path / "v.dcm", frames, **groups)
    with pytest.raises(InputError, match=r"holds a volume \(2 x 4 slices at different positions\), not frames of one"):
        read_sequence(path)
    one = dicom_file(tmp_path / "o.dcm", frames[:4], **frame_groups([(0, 0, 0.5 * k) for k in range(4)], volume=volume))
    read = read_volume(one)
    assert read.spacing_mm == pytest.approx((0.25, 0.5, 0.5))
    assert any("the volume's own frame of reference" in note for note in read.notes) == volume
    clip = dicom_file(tmp_path / "c.dcm", frames, **frame_groups([(0, 0, 0)] * 8, volume=volume), FrameTime=20)
    assert len(read_sequence(clip)) == 8


def test_a_turning_plane_is_no_clip(tmp_path):
    """A rotational acquisition: every frame has the same first pixel's place and another orientation."""
    turned = [
        {"PlaneOrientationSequence": item(ImageOrientationPatient=[np.cos(a), 0, np.sin(a), 0, 1, 0])}
        for a in np.linspace(0, 1, 5)
    ]
    groups = frame_groups([(0, 0, 0)] * 5, per_frame=turned)
    path = dicom_file(tmp_path / "r.dcm", np.zeros((5, 6, 8), np.uint8), **groups)
    with pytest.raises(InputError, match=r"holds a volume \(5 planes of several orientations\), not frames"):
        read_sequence(path)
    with pytest.raises(InputError, match="slices of 5 orientations"):
        read_volume(path)


def test_more_pixels_than_the_header_says_are_never_passed_over(tmp_path):
    frames = np.zeros((24, 6, 8), np.uint8)
    with pytest.raises(InputError, match=r"holds? volumes \(3 x 8 slices of 8 x 6\), not frames of one plane"):
        read_sequence(dicom_file(tmp_path / "v.dcm", frames, NumberOfFrames=3))
    with pytest.raises(InputError, match="24 pictures of 8 x 6, but NumberOfFrames is 7: which of them"):
        read_sequence(dicom_file(tmp_path / "w.dcm", frames, NumberOfFrames=7))
    with pytest.raises(InputError, match="24 pictures of 8 x 6, but NumberOfFrames is 1: which of them"):
        read_sequence(dicom_file(tmp_path / "m.dcm", frames, NumberOfFrames=None))
    padded = dicom_file(tmp_path / "p.dcm", frames[:2], data=frames[:2].tobytes() + bytes(10))
    assert "10 bytes after the last frame were not read" in read_sequence(padded).notes


def test_a_clip_is_no_volume(tmp_path):
    frames = np.zeros((5, 6, 8), np.uint8)
    with pytest.raises(InputError, match="is a clip: 5 frames; follow motion in it with `track`"):
        read_volume(dicom_file(tmp_path / "c.dcm", frames))
    with pytest.raises(InputError, match="holds frames of one plane: 5 frames"):
        read_volume(dicom_file(tmp_path / "d.dcm", frames, **frame_groups([(0, 0, 0)] * 5)))


def test_stills_have_the_spacing_that_track_reads(tmp_path):
    still = np.arange(48, dtype=np.uint8).reshape(1, 6, 8)
    path = dicom_file(tmp_path / "s.dcm", still, SequenceOfUltrasoundRegions=[region(7, 5, 0.02548, 0.02548)])
    volume, sequence = read_volume(path), read_sequence(path)
    assert volume.spacing_mm == sequence.spacing_mm == (0.2548, 0.2548) and volume.spacing_known
    np.testing.assert_array_equal(volume.array, still[0])
    inverted = read_volume(dicom_file(tmp_path / "i.dcm", still, "MONOCHROME1"))
    np.testing.assert_array_equal(inverted.array, 255 - still[0])
    assert not inverted.spacing_known and any("spacing unknown" in note for note in inverted.notes)
    colour = read_volume(dicom_file(tmp_path / "c.dcm", np.repeat(still[..., None], 3, axis=-1), "RGB"))
    np.testing.assert_array_equal(colour.array, still[0])


def test_regular_sets_agree_with_highdicom(tmp_path):
    """A library made for the geometry of DICOM volumes, where it is installed."""
    image_module = pytest.importorskip("highdicom.image")
    pydicom = pytest.importorskip("pydicom")
    orientation = oblique(0.2, 1.1)
    folder = slice_files(tmp_path / "v", along_normal(orientation, -2.5, 6), orientation)
    series = [pydicom.dcmread(file) for file in sorted(folder.iterdir())]
    theirs = image_module.get_volume_from_series(series)
    ours = read_volume(folder)
    # highdicom's array is (slice, row, column); its affine maps those to LPS
    for grey in range(100, 106):
        depth = int(np.argwhere(theirs.array == grey)[0, 0])
        np.testing.assert_allclose(place_of(ours, grey), (theirs.affine @ [depth, 0, 0, 1])[:3], atol=1e-3)
