"""Ultrasound DICOM: pixels of every kind, frame times, spacing and orientation."""

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.pixels import convert_color_space, pixel_array
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from dicom_samples import dicom_file, region
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import colour_frame, read_sequence, read_volume

ECHO = "echo-a4c-dicom/examples_ybr_color.dcm"
GENERATOR = np.random.default_rng(6)
RGB = GENERATOR.integers(0, 256, (3, 6, 8, 3)).astype(np.uint8)
GREY = GENERATOR.integers(0, 256, (3, 6, 8)).astype(np.uint8)
LUMINANCE = RGB @ [0.299, 0.587, 0.114]


def stack(sequence):
    return np.stack([frame for _, frame in sequence.iterate()])


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_grey_of_every_type(tmp_path, dtype, syntax):
    pixels = GREY.astype(dtype) * (1 if dtype == np.uint8 else 13) - (500 if dtype == np.int16 else 0)
    pixels = pixels.astype(dtype)
    stored = pixels.byteswap() if not syntax.is_little_endian and dtype != np.uint8 else pixels
    sequence = read_sequence(dicom_file(tmp_path / "s", pixels, syntax=syntax, data=stored.tobytes()))
    assert sequence.frames.dtype == (np.uint8 if dtype == np.uint8 else np.float32)
    np.testing.assert_array_equal(stack(sequence), pixels)


def test_monochrome1_is_turned(tmp_path):
    np.testing.assert_array_equal(
        stack(read_sequence(dicom_file(tmp_path / "s.dcm", GREY, "MONOCHROME1"))), 255 - GREY.astype(int)
    )
    path = dicom_file(tmp_path / "s.dcm", GREY.astype(np.uint16) * 4, "MONOCHROME1", BitsStored=10, HighBit=9)
    np.testing.assert_array_equal(stack(read_sequence(path)), 1023 - GREY.astype(int) * 4)


def ybr_422(ybr):
    """Native YBR_FULL_422: two luma samples, then the colour of the first of each pair (PS3.3 C.7.6.3.1.2)."""
    return np.stack([ybr[:, :, 0::2, 0], ybr[:, :, 1::2, 0], ybr[:, :, 0::2, 1], ybr[:, :, 0::2, 2]], axis=-1)


def test_colour_of_every_native_kind(tmp_path):
    path = tmp_path / "s.dcm"
    rgb = read_sequence(dicom_file(path, RGB, "RGB"))
    np.testing.assert_allclose(stack(rgb), LUMINANCE, atol=0.51)
    np.testing.assert_array_equal(colour_frame(rgb, 1), RGB[1])
    assert any("Rec. 601" in note for note in rgb.notes)
    planar = dicom_file(path, RGB, "RGB", data=np.moveaxis(RGB, 3, 1).tobytes(), PlanarConfiguration=1)
    np.testing.assert_array_equal(colour_frame(read_sequence(planar), 1), RGB[1])
    ybr = convert_color_space(RGB, "RGB", "YBR_FULL")
    np.testing.assert_allclose(stack(read_sequence(dicom_file(path, ybr, "YBR_FULL"))), LUMINANCE, atol=1.5)
    # the luma of YBR is the luminance of RGB wherever the colour is within range
    soft = convert_color_space(np.repeat(np.clip(RGB[:, :, ::2], 100, 140), 2, axis=2), "RGB", "YBR_FULL")
    read = read_sequence(dicom_file(path, soft, "YBR_FULL_422", data=ybr_422(soft).tobytes()))
    np.testing.assert_allclose(stack(read), soft[..., 0], atol=1.5)


def test_palette(tmp_path):
    table = GENERATOR.integers(0, 256, (3, 256)).astype(np.uint16) << 8
    colours = dict(zip(("Red", "Green", "Blue"), table, strict=True))
    attributes = {f"{name}PaletteColorLookupTableDescriptor": [256, 0, 16] for name in colours}
    attributes |= {f"{name}PaletteColorLookupTableData": values.tobytes() for name, values in colours.items()}
    sequence = read_sequence(dicom_file(tmp_path / "s.dcm", GREY, "PALETTE COLOR", **attributes))
    np.testing.assert_allclose(stack(sequence), np.moveaxis(table >> 8, 0, -1)[GREY] @ [0.299, 0.587, 0.114], atol=0.51)


def test_real_echo_frame_by_frame_and_with_gdcm(shared_data, monkeypatch):
    path = shared_data(ECHO)
    sequence = read_sequence(path)
    reference = pixel_array(path)
    np.testing.assert_array_equal(colour_frame(sequence, 17), reference[17])
    np.testing.assert_allclose(sequence.frame(29), reference[29] @ [0.299, 0.587, 0.114], atol=0.51)
    # without any of pydicom's plugins (no pillow, no pylibjpeg), SimpleITK's GDCM decodes the same pixels, but for the
    # rounding of another inverse cosine transform
    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.as_array", None)
    np.testing.assert_allclose(colour_frame(read_sequence(path), 17), reference[17], atol=3)


@pytest.mark.parametrize(
    ("name", "largest"),
    [
        ("examples_jpeg2k.dcm", 0),
        ("JPEGLSNearLossless_08.dcm", 0),
        ("SC_rgb_jpeg_gdcm.dcm", 0),
        ("SC_rgb_rle_2frame.dcm", 0),
    ],
)
def test_compressed_by_other_codecs(tmp_path, name, largest):
    """JPEG 2000 (YBR_RCT), JPEG-LS, lossless JPEG and RLE, against SimpleITK on the whole file."""
    import SimpleITK as sitk

    dataset = pydicom.dcmread(pydicom.data.get_testdata_file(name))
    dataset.Modality = "US"
    dataset.save_as(tmp_path / "s.dcm")
    sequence = read_sequence(tmp_path / "s.dcm")
    reference = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "s.dcm"))).astype(np.float64)
    expected = reference @ [0.299, 0.587, 0.114] if reference.shape[-1] == 3 else reference
    np.testing.assert_allclose(stack(sequence), expected.reshape(sequence.frames.shape), atol=0.51 + largest)


def test_frames_in_several_fragments(tmp_path, shared_data):
    """Frames cut into fragments are put together by the offset table; without one the file is refused, not guessed."""
    source = pydicom.dcmread(shared_data(ECHO))
    frames = list(pydicom.encaps.generate_frames(source.PixelData, number_of_frames=30))[:3]
    source.NumberOfFrames = 3
    source.PixelData = encapsulate(frames, fragments_per_frame=2, has_bot=True)
    source.save_as(tmp_path / "s.dcm")
    np.testing.assert_array_equal(read_sequence(tmp_path / "s.dcm").frame(2), read_sequence(shared_data(ECHO)).frame(2))
    source.PixelData = encapsulate(frames, fragments_per_frame=2, has_bot=False)
    source.save_as(tmp_path / "s.dcm")
    with pytest.raises(InputError, match="6 fragments for 3 frames"):
        read_sequence(tmp_path / "s.dcm")


@pytest.mark.parametrize(
    ("attributes", "times", "note"),
    [
        ({"FrameTime": 40}, [0, 0.04, 0.08], None),
        ({"FrameTimeVector": [0, 30, 50], "FrameTime": 40}, [0, 0.03, 0.08], None),
        ({"FrameTimeVector": [30, 50]}, [0, 0.03, 0.08], None),
        ({"CineRate": 50, "RecommendedDisplayFrameRate": 30}, [0, 0.02, 0.04], None),
        ({"RecommendedDisplayFrameRate": 40}, [0, 0.025, 0.05], None),
        ({"FrameTime": 0}, None, "frame rate unknown from FrameTime: it is 0 ms"),
        ({"FrameTime": 0, "CineRate": 50}, [0, 0.02, 0.04], "frame rate 50 Hz taken from CineRate"),
        ({"FrameTimeVector": [0, 30, 0]}, None, "FrameTimeVector give frame 2 the time 0.03 s after 0.03 s"),
        ({"FrameTimeVector": [0, 30]}, None, "FrameTimeVector give frame 1 the time 0 s after 0 s"),
        ({"FrameTimeVector": [0, 30, 30, 30, 30]}, None, "FrameTimeVector has 5 values for 3 frames"),
        ({}, None, "frame rate unknown"),
    ],
)
def test_frame_times(tmp_path, attributes, times, note):
    sequence = read_sequence(dicom_file(tmp_path / "s.dcm", GREY, **attributes))
    if times is None:
        assert sequence.times_s is None
    else:
        np.testing.assert_allclose(sequence.times_s, times, atol=1e-12)
    assert note is None or any(note in text for text in sequence.notes)


ECG = {"RegionSpatialFormat": 4, "RegionDataType": 10, "PhysicalUnitsXDirection": 4, "PhysicalUnitsYDirection": 0}


@pytest.mark.parametrize(
    ("regions", "spacing", "note"),
    [
        ([region(7, 5)], (0.3, 0.3), None),
        ([region(8, 6)], (0.3, 0.3), None),  # bounds one past the last pixel, as some scanners write
        ([region(7, 5, 0.03, -0.02)], (0.3, 0.2), None),
        ([region(7, 5, 0.5, 0.5, **ECG), region(7, 5)], (0.3, 0.3), None),
        ([region(7, 5, RegionSpatialFormat=3, RegionDataType=3)], None, "no calibrated region"),
        ([region(3, 5), region(7, 5, 0.05, 0.05, x0=4)], None, "regions differ (0.3 x 0.3, 0.5 x 0.5 mm)"),
        ([region(7, 5, PhysicalUnitsXDirection=0)], None, "no calibrated region in cm (its units are no unit and cm)"),
        ([region(7, 5, PhysicalUnitsXDirection=1, PhysicalUnitsYDirection=4)], None, "units are percent and seconds"),
        ([region(7, 5, RegionDataType=2)], (0.3, 0.3), None),  # colour flow
        ([region(5, 5, RegionDataType=2, x0=1), region(7, 5)], (0.3, 0.3), None),
        ([region(5, 5, 0.05, 0.05, RegionDataType=2, x0=1), region(7, 5)], None, "regions differ (0.5 x 0.5, 0.3"),
        ([region(7, 5, 0.0, 0.03)], None, "no calibrated region"),
    ],
)
def test_spacing_from_regions(tmp_path, regions, spacing, note):
    sequence = read_sequence(dicom_file(tmp_path / "s.dcm", GREY, SequenceOfUltrasoundRegions=regions))
    assert sequence.spacing_mm == (None if spacing is None else pytest.approx(spacing))
    assert note is None or any(note in text for text in sequence.notes)


def test_two_statements_of_the_spacing(tmp_path):
    """A region and PixelSpacing that differ leave it unknown; together they tell how a halved copy was reduced."""

    def spacing_of(regions, **attributes):
        return read_sequence(dicom_file(tmp_path / "s.dcm", GREY, SequenceOfUltrasoundRegions=regions, **attributes))

    assert spacing_of([region(7, 5)], PixelSpacing=[0.301, 0.3]).spacing_mm == (0.3, 0.3)
    contradiction = spacing_of([region(7, 5)], PixelSpacing=[0.6, 0.6])
    assert contradiction.spacing_mm is None
    assert "says 0.3 x 0.3 mm, but PixelSpacing 0.6 x 0.6 mm" in contradiction.notes[0]
    halved = spacing_of([region(15, 11)], PixelSpacing=[0.6, 0.6])
    assert halved.spacing_mm == pytest.approx((0.6, 0.6)) and "spacing scaled by 2 to 0.6" in halved.notes[0]
    assert spacing_of([region(15, 11)], PixelSpacing=[0.3, 0.3]).spacing_mm is None


def test_pixels_that_are_not_square_are_noted(tmp_path):
    sequence = read_sequence(dicom_file(tmp_path / "s.dcm", GREY, PixelAspectRatio=[4, 3]))
    assert sequence.spacing_mm is None
    assert any("not square (PixelAspectRatio 4 high to 3 wide)" in note for note in sequence.notes)
    square = read_sequence(dicom_file(tmp_path / "s.dcm", GREY, PixelAspectRatio=[1, 1]))
    assert not any("not square" in note for note in square.notes)


def test_a_halved_copy_whose_region_still_fits_is_doubted(tmp_path):
    regions = {"SequenceOfUltrasoundRegions": [region(200, 160, 0.05, 0.05, x0=80, y0=60)]}
    reduced = read_sequence(dicom_file(tmp_path / "s.dcm", moving_box((240, 320), (40, 30, 100, 80)), **regions))
    assert any("spacing doubtful: " in note and "a reduction by 2" in note for note in reduced.notes)
    whole = read_sequence(dicom_file(tmp_path / "s.dcm", moving_box((240, 320), (80, 60, 200, 160)), **regions))
    assert not any("doubtful" in note for note in whole.notes)


def moving_box(shape, box):
    frames = np.zeros((4, *shape), np.uint8)
    x0, y0, x1, y1 = box
    frames[:, y0 : y1 + 1, x0 : x1 + 1] = np.random.default_rng(7).integers(0, 255, (4, y1 - y0 + 1, x1 - x0 + 1))
    return frames


@pytest.mark.parametrize(
    ("shape", "box", "scale"),
    [
        ((120, 160), (21, 8, 148, 103), 4.0),  # the frames were reduced from 640 x 480 to a quarter
        ((240, 160), (21, 16, 148, 207), None),  # by 4 along x, but by 2 along y
        ((240, 320), (0, 0, 319, 239), None),  # cropped, not reduced: the picture fills the frame
    ],
)
def test_region_measured_on_another_grid(tmp_path, shape, box, scale):
    attributes = {"SequenceOfUltrasoundRegions": [region(595, 414, 0.05, 0.05, x0=84, y0=31)]}
    sequence = read_sequence(dicom_file(tmp_path / "s.dcm", moving_box(shape, box), **attributes))
    assert sequence.spacing_mm == (None if scale is None else pytest.approx((0.5 * scale, 0.5 * scale)))
    words = "spacing scaled by 4" if scale else "spacing unknown: the calibrated region reaches to pixel (595, 414)"
    assert any(words in note for note in sequence.notes)


def test_the_real_echo_was_halved(shared_data):
    """Its region is that of the 640 x 480 screen, stored are 320 x 240: 0.0510497 cm a pixel becomes twice as much."""
    sequence = read_sequence(shared_data(ECHO))
    assert sequence.spacing_mm == pytest.approx((1.0209941, 1.0209941), rel=1e-6)
    assert sequence.frame_rate_hz == pytest.approx(1000 / 33.333)
    assert any("spacing scaled by 2" in note and "640 x 480" in note for note in sequence.notes)


def test_spacing_and_orientation_of_the_image_plane(tmp_path):
    cosines, position = [0, 1, 0, 0, 0, -1], [10, 20, 30]
    path = dicom_file(
        tmp_path / "s.dcm",
        GREY,
        PixelSpacing=[0.2, 0.1],
        ImageOrientationPatient=cosines,
        ImagePositionPatient=position,
    )
    sequence = read_sequence(path)
    assert sequence.spacing_mm == (0.1, 0.2)
    np.testing.assert_allclose(sequence.pixels_to_lps_mm([[5, 3]])[0], [10, 20 + 0.5, 30 - 0.6])
    uncalibrated = read_sequence(dicom_file(tmp_path / "s.dcm", GREY, PixelSpacing=[1, 1]))
    assert uncalibrated.spacing_mm is None and any("exactly 1.0" in note for note in uncalibrated.notes)


def test_not_ultrasound_and_damaged(tmp_path, shared_data):
    for name, message in (
        ("CT_small.dcm", "not ultrasound: its modality is CT"),
        ("rtdose.dcm", "not ultrasound: its modality is RTDOSE"),
        ("reportsi.dcm", "holds no picture"),
        ("MR_truncated.dcm", "truncated: 0 of 1 frames found"),
    ):
        with pytest.raises(InputError, match=message):
            read_sequence(pydicom.data.get_testdata_file(name))
    whole = shared_data(ECHO).read_bytes()
    for size in (140, 2000, 40_000, len(whole) // 2, len(whole) - 3000):
        (tmp_path / "cut.dcm").write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"cut\.dcm: .*truncated"):
            read_sequence(tmp_path / "cut.dcm")
    with pytest.raises(InputError, match="zero frames: NumberOfFrames is 0"):
        read_sequence(dicom_file(tmp_path / "s.dcm", GREY, NumberOfFrames=0))
    assert len(read_sequence(dicom_file(tmp_path / "s.dcm", GREY[:1]))) == 1
    damaged = bytearray(whole)
    damaged[150_000:150_400] = b"\xff" * 400  # inside a frame
    (tmp_path / "damaged.dcm").write_bytes(damaged)
    sequence = read_sequence(tmp_path / "damaged.dcm")
    outcomes = []
    for index in range(30):
        try:
            outcomes.append(sequence.frame(index).shape == (240, 320))
        except InputError as error:
            outcomes.append("cannot be decoded" in str(error))
    assert all(outcomes)


def test_orientation_in_functional_groups(tmp_path):
    plane, group, measures, position = (pydicom.Dataset() for _ in range(4))
    plane.ImageOrientationPatient, position.ImagePositionPatient, measures.PixelSpacing = (
        [0, 0, 1, 0, 1, 0],
        [1, 2, 3],
        [0.4, 0.5],
    )
    group.PlaneOrientationSequence, group.PlanePositionSequence, group.PixelMeasuresSequence = (
        [plane],
        [position],
        [measures],
    )
    sequence = read_sequence(dicom_file(tmp_path / "s.dcm", GREY, SharedFunctionalGroupsSequence=[group]))
    np.testing.assert_allclose(sequence.pixels_to_lps_mm([[2, 1]])[0], [1, 2 + 0.4, 3 + 1.0])


def test_volume_from_a_folder_of_slices(tmp_path):
    """Slices in an order that their names do not tell."""
    shared = {
        "SeriesInstanceUID": generate_uid(),
        "StudyInstanceUID": generate_uid(),
        "Modality": "MR",
        "PixelSpacing": [0.5, 0.25],
    }
    for name, z in (("c", 0), ("a", 2), ("b", 4)):
        place = {
            "ImagePositionPatient": [1, 2, z],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "InstanceNumber": z + 1,
        }
        pixels = np.full((1, 6, 8), 100 + z, np.uint16)
        dicom_file(tmp_path / f"{name}.dcm", pixels, **shared, **place, SOPClassUID=pydicom.uid.MRImageStorage)
    volume = read_volume(tmp_path)
    assert volume.array[:, 0, 0].tolist() == [100, 102, 104]
    assert volume.spacing_mm == pytest.approx((0.25, 0.5, 2.0)) and volume.origin_mm == pytest.approx((1, 2, 0))
    dicom_file(tmp_path / "other.dcm", pixels, **shared | {"SeriesInstanceUID": generate_uid()}, **place)
    with pytest.raises(InputError, match="holds 2 DICOM series, expected one"):
        read_volume(tmp_path)
