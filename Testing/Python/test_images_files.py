"""Sequences and volumes to files and back, and from files that other programs wrote."""

import dataclasses
import gzip
import pathlib
import resource
import struct

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.images import (
    ImageSequence,
    Volume,
    colour_frame,
    read_sequence,
    read_volume,
    write_sequence,
    write_volume,
)

DIRECTION = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix()


def made_sequence(dtype=np.uint8, frames=5, **changes):
    generator = np.random.default_rng(3)
    pixels = generator.integers(0, 256, (frames, 7, 9)).astype(dtype)
    if dtype == np.float32:
        pixels = pixels * np.float32(0.37) - 20
    fields = {
        "ProbeToTrackerTransform": tuple(f"1 0 0 {frame}" for frame in range(frames)),
        "ImageStatus": ("OK",) * frames,
    }
    return dataclasses.replace(
        ImageSequence(
            pixels, (0.31, 0.27), np.arange(frames) * 0.04, (10.5, -20.0, 33.25), DIRECTION, frame_fields=fields
        ),
        **changes,
    )


def assert_same(read, written, *, tolerance=0.0):
    assert read.frames.shape == written.frames.shape and read.frames.dtype == written.frames.dtype
    for index in (len(written) - 1, *range(len(written))):
        np.testing.assert_array_equal(read.frame(index), written.frame(index))
    assert read.spacing_mm == pytest.approx(written.spacing_mm, rel=max(tolerance, 1e-15))
    np.testing.assert_allclose(read.times_s, written.times_s, rtol=tolerance, atol=0)
    np.testing.assert_allclose(read.direction, written.direction, atol=max(tolerance, 1e-12))
    np.testing.assert_allclose(read.origin_mm, written.origin_mm, rtol=max(tolerance, 1e-12))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("name", ["s.seq.nrrd", "s.mha", "s.nii", "s.nii.gz"])
def test_round_trip(tmp_path, name, compress, dtype):
    written = made_sequence(dtype)
    write_sequence(tmp_path / name, written, compress=compress)
    read = read_sequence(tmp_path / name)
    assert_same(
        read, written, tolerance=1e-6 if ".nii" in name else 0.0
    )  # NIfTI holds its geometry in single precision
    if ".nii" not in name:
        assert {key: read.frame_fields[key] for key in written.frame_fields} == dict(written.frame_fields)


@pytest.mark.parametrize("name", ["s.seq.nrrd", "s.mha", "s.nii.gz"])
def test_round_trip_of_the_unknown_and_of_one_millimetre(tmp_path, name):
    write_sequence(tmp_path / name, made_sequence(spacing_mm=None, times_s=None))
    unknown = read_sequence(tmp_path / name)
    assert unknown.spacing_mm is None and unknown.times_s is None
    assert any("spacing unknown" in note for note in unknown.notes)
    write_sequence(tmp_path / name, made_sequence(spacing_mm=(1.0, 1.0)))
    assert read_sequence(tmp_path / name).spacing_mm == (1.0, 1.0)


def test_left_handed_direction_and_uneven_times_survive_nrrd(tmp_path):
    written = made_sequence(direction=np.diag([1.0, -1.0, 1.0]), times_s=np.array([0.5, 0.5005, 0.51, 0.7, 1.9]))
    write_sequence(tmp_path / "s.seq.nrrd", written)
    assert_same(read_sequence(tmp_path / "s.seq.nrrd"), written)
    with pytest.raises(OutputError, match=r"s\.nii: frame times are not evenly spaced \(0\.0005 to 1\.2 s\)"):
        write_sequence(tmp_path / "s.nii", written)
    assert not list(tmp_path.glob("*.nii"))


def test_round_trip_of_a_png_folder(tmp_path):
    written = made_sequence(frames=11)
    write_sequence(tmp_path / "frames", written)
    read = read_sequence(tmp_path / "frames", spacing_mm=(0.31, 0.27), frame_rate_hz=25)
    assert_same(read, dataclasses.replace(written, origin_mm=(0, 0, 0), direction=np.eye(3)), tolerance=1e-12)
    with pytest.raises(OutputError, match="8-bit PNG cannot hold"):
        write_sequence(tmp_path / "float", made_sequence(np.float32))
    assert not (tmp_path / "float").exists()


def test_nrrd_is_laid_out_as_slicer_writes_it(tmp_path):
    write_sequence(tmp_path / "s.seq.nrrd", made_sequence(times_s=np.array([0, 0.1, 0.2, 0.3, 0.45])))
    header = (tmp_path / "s.seq.nrrd").read_bytes().split(b"\n\n")[0].decode().splitlines()
    assert header[0] == "NRRD0004"
    for line in (
        "sizes: 9 7 1 5",
        "kinds: domain domain domain list",
        "space: left-posterior-superior",
        'units: "" "" "" "s"',
        "axis 3 index type:=numeric",
        "axis 3 index values:=0.0 0.1 0.2 0.3 0.45",
        "DataNodeClassName:=vtkMRMLScalarVolumeNode",
        "axis 3 item 0002 ProbeToTrackerTransform:=1 0 0 2",
    ):
        assert line in header


@pytest.mark.parametrize("name", ["s.seq.nrrd", "s.mha", "s.nii.gz"])
def test_geometry_agrees_with_itk(tmp_path, name):
    """The LPS position of a pixel is where ITK's own reader puts it."""
    written = made_sequence()
    write_sequence(tmp_path / name, written)
    image = sitk.ReadImage(str(tmp_path / name))
    index = (4, 2) + (0,) * (image.GetDimension() - 2)
    expected = image.TransformIndexToPhysicalPoint(index)[:3]
    np.testing.assert_allclose(read_sequence(tmp_path / name).pixels_to_lps_mm([[4, 2]])[0], expected, atol=1e-5)


@pytest.mark.parametrize("ending", [".mha", ".mhd", ".nrrd", ".nhdr", ".nii", ".nii.gz"])
@pytest.mark.parametrize("compress", [True, False])
def test_files_written_by_itk_as_a_stack(tmp_path, ending, compress):
    """A volume whose third axis is time, as scripts write it, is read as a stack of frames; 16-bit becomes float32 of
    the same value.
    """
    pixels = np.random.default_rng(1).integers(-500, 3000, (4, 6, 5)).astype(np.int16)
    image = sitk.GetImageFromArray(pixels)
    image.SetSpacing((0.2, 0.3, 1.0))
    image.SetOrigin((1, 2, 3))
    image.SetDirection(DIRECTION.ravel())
    sitk.WriteImage(image, str(tmp_path / f"s{ending}"), useCompression=compress)
    sequence = read_sequence(tmp_path / f"s{ending}")
    assert sequence.frames.dtype == np.float32
    np.testing.assert_array_equal(np.stack([frame for _, frame in sequence.iterate()]), pixels)
    assert sequence.spacing_mm == pytest.approx((0.2, 0.3), rel=1e-6) and sequence.times_s is None
    np.testing.assert_allclose(
        sequence.pixels_to_lps_mm([[3, 4]])[0], image.TransformIndexToPhysicalPoint((3, 4, 0)), atol=1e-5
    )


@pytest.mark.parametrize("ending", [".mha", ".nrrd", ".nii.gz"])
def test_colour_stack_written_by_itk_becomes_luminance(tmp_path, ending):
    pixels = np.random.default_rng(2).integers(0, 256, (4, 6, 5, 3)).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(pixels, isVector=True), str(tmp_path / f"s{ending}"))
    sequence = read_sequence(tmp_path / f"s{ending}")
    assert sequence.frames.dtype == np.uint8 and sequence.frames.shape == (4, 6, 5)
    np.testing.assert_allclose(sequence.frame(2), pixels[2] @ [0.299, 0.587, 0.114], atol=0.51)
    np.testing.assert_array_equal(colour_frame(sequence, 2), pixels[2])
    assert any("Rec. 601" in note for note in sequence.notes)


def nrrd_file(path, pixels, header, space="left-posterior-superior"):
    text = "NRRD0005\n" + "\n".join(
        [f"type: {pixels.dtype.name}", f"dimension: {pixels.ndim}", f"space: {space}", *header, "endian: little"]
    )
    path.write_bytes((text + "\nencoding: gzip\n\n").encode() + gzip.compress(pixels.tobytes()))
    return read_sequence(path)


def test_nrrd_time_first_in_ras_milliseconds(tmp_path):
    """Slicer's older layout: the list axis is the fastest one; geometry in RAS turns to LPS."""
    frames = np.random.default_rng(4).integers(0, 256, (3, 5, 4)).astype(np.uint8)
    header = [
        "sizes: 3 4 5 1",
        "kinds: list domain domain domain",
        "space directions: none (-0.5,0,0) (0,0,-0.25) (0,1,0)",
        "space origin: (7,8,9)",
        'labels: "time" "" "" ""',
        'units: "ms" "" "" ""',
        "axis 0 index type:=numeric",
        "axis 0 index values:=10 50 95.5",
    ]
    sequence = nrrd_file(
        tmp_path / "s.seq.nrrd",
        np.ascontiguousarray(np.moveaxis(frames, 0, -1))[None],
        header,
        "right-anterior-superior",
    )
    np.testing.assert_array_equal(np.stack([frame for _, frame in sequence.iterate()]), frames)
    np.testing.assert_allclose(sequence.times_s, [0.010, 0.050, 0.0955], rtol=1e-12)
    np.testing.assert_allclose(sequence.pixels_to_lps_mm([[2, 3]])[0], [-(7 - 2 * 0.5), -8, 9 - 3 * 0.25], atol=1e-12)
    assert sequence.spacing_mm == (0.5, 0.25)


def test_nrrd_index_that_is_not_time(tmp_path):
    frames = np.zeros((3, 5, 4), np.uint8)
    header = [
        "sizes: 4 5 3",
        "kinds: domain domain list",
        "space directions: (1,0,0) (0,1,0) none",
        'labels: "" "" "dose"',
        'units: "" "" "Gy"',
        "axis 2 index values:=1 2 3",
    ]
    sequence = nrrd_file(tmp_path / "s.nrrd", frames, header)
    assert sequence.times_s is None and any("indexed by dose" in note for note in sequence.notes)
    assert sequence.spacing_mm is None and any("spacing is exactly 1.0" in note for note in sequence.notes)


def test_nrrd_with_text_encoding_time_axis_spacing_and_detached_pixels(tmp_path):
    pixels = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    np.savetxt(tmp_path / "s.txt", pixels.ravel(), fmt="%d")
    (tmp_path / "s.nhdr").write_text(
        "NRRD0004\ntype: int\ndimension: 3\nsizes: 4 3 2\nkinds: domain domain time\nspacings: 0.4 0.5 40\n"
        'units: "mm" "mm" "ms"\nencoding: text\ndata file: s.txt\n'
    )
    sequence = read_sequence(tmp_path / "s.nhdr")
    np.testing.assert_array_equal(sequence.frame(1), pixels[1])
    assert sequence.spacing_mm == (0.4, 0.5)
    np.testing.assert_allclose(sequence.times_s, [0, 0.04])


def test_given_spacing_and_frame_rate_win_and_are_noted(tmp_path):
    write_sequence(tmp_path / "s.mha", made_sequence())
    sequence = read_sequence(tmp_path / "s.mha", spacing_mm=(0.5, 0.25), frame_rate_hz=50)
    assert sequence.spacing_mm == (0.5, 0.25) and sequence.frame_rate_hz == pytest.approx(50)
    assert "spacing 0.5 x 0.25 mm as given (in the file: 0.31 x 0.27 mm)" in sequence.notes
    assert "frame rate 50 Hz as given (in the file: 25 Hz)" in sequence.notes
    with pytest.raises(InputError, match="spacing must be one or two positive numbers in mm, got -1"):
        read_sequence(tmp_path / "s.mha", spacing_mm=-1)
    with pytest.raises(InputError, match="frame rate must be a positive number in Hz, got 0"):
        read_sequence(tmp_path / "s.mha", frame_rate_hz=0)


def test_pictures_in_natural_order_in_clusts_layout(tmp_path):
    (tmp_path / "SEQ" / "Data").mkdir(parents=True)
    (tmp_path / "SEQ" / "Annotation").mkdir()
    (tmp_path / "SEQ" / "Annotation" / "P1.txt").write_text("1 3 4\n")
    for number in (1, 2, 9, 10, 100):
        sitk.WriteImage(
            sitk.GetImageFromArray(np.full((6, 8), number, np.uint8)), str(tmp_path / "SEQ" / "Data" / f"{number}.png")
        )
    sequence = read_sequence(tmp_path / "SEQ")
    assert [frame[0, 0] for _, frame in sequence.iterate()] == [1, 2, 9, 10, 100]
    assert sequence.spacing_mm is None and sequence.times_s is None and "unknown" in sequence.notes[0]
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((6, 9), np.uint8)), str(tmp_path / "SEQ" / "Data" / "11.png"))
    with pytest.raises(InputError, match=r"11\.png: is 9 x 6 pixels, but 1\.png is 8 x 6"):
        read_sequence(tmp_path / "SEQ")


def test_plus_sequence(shared_data):
    sequence = read_sequence(shared_data("plus-tracked-ultrasound/NwirePhantomFreehandCropped.igs.mha"))
    assert sequence.frames.shape == (20, 150, 200) and sequence.frames.dtype == np.uint8
    reference = sitk.GetArrayFromImage(sitk.ReadImage(str(sequence.path)))
    np.testing.assert_array_equal(np.stack([frame for _, frame in sequence.iterate()]), reference)
    np.testing.assert_allclose(sequence.times_s[:3], [0, 345.706100 - 345.627957, 345.863471 - 345.627957], atol=1e-9)
    assert sequence.frame_fields["StylusToTrackerTransformStatus"][0] == "INVALID"
    assert sequence.frame_fields["ProbeToTrackerTransform"][0].startswith("0.956683 -0.263308")
    assert sequence.spacing_mm is None
    assert any("spacing is exactly 1.0" in note for note in sequence.notes) and any(
        "MFA" in note for note in sequence.notes
    )


def test_plus_nrrd_in_colour_and_in_16_bit(shared_data):
    colour = read_sequence(shared_data("plus-tracked-ultrasound/ColorNrrdSample.igs.nrrd"))
    assert colour.frames.shape == (1, 648, 1152) and colour.frame_fields["Status"] == ("OK",)
    reference = sitk.GetArrayFromImage(sitk.ReadImage(str(colour.path)))
    np.testing.assert_allclose(colour.frame(0), reference @ [0.299, 0.587, 0.114], atol=0.51)
    grey = read_sequence(shared_data("plus-tracked-ultrasound/NrrdSample.igs.nrrd"))
    np.testing.assert_array_equal(grey.frame(0), sitk.GetArrayFromImage(sitk.ReadImage(str(grey.path))))


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz", "v.nrrd", "v.mha"])
def test_volume_round_trip(tmp_path, name):
    array = np.random.default_rng(5).normal(size=(4, 5, 6)).astype(np.float32)
    written = Volume(array, (0.5, 0.75, 2.0), (10.0, -3.0, 7.0), DIRECTION)
    write_volume(tmp_path / name, written)
    read = read_volume(tmp_path / name)
    np.testing.assert_array_equal(read.array, array)
    np.testing.assert_allclose(read.index_to_lps_mm, written.index_to_lps_mm, atol=1e-5)
    assert read.name == "v"


def test_volume_errors(tmp_path):
    with pytest.raises(InputError, match=r"no\.nii: no such file"):
        read_volume(tmp_path / "no.nii")
    (tmp_path / "text.nii").write_text("not an image")
    with pytest.raises(InputError, match=r"text\.nii: is not a NIfTI file"):
        read_volume(tmp_path / "text.nii")
    sitk.WriteImage(sitk.GetImageFromArray(np.array([[0.0, np.nan], [1.0, np.inf]])), str(tmp_path / "nan.nrrd"))
    with pytest.raises(InputError, match=r"nan\.nrrd: holds 2 values that are not finite"):
        read_volume(tmp_path / "nan.nrrd")
    with pytest.raises(OutputError, match=r"v\.txt: \.txt is not a format"):
        write_volume(tmp_path / "v.txt", Volume(np.zeros((2, 2)), (1, 1), (0, 0), np.eye(2)))


@pytest.mark.parametrize("name", ["s.seq.nrrd", "s.mha", "s.nii.gz"])
def test_large_compressed_files_go_through_a_temporary_file(tmp_path, monkeypatch, name):
    monkeypatch.setattr("UltrasoundMotionLib.images.readers.stored_frames.MAXIMUM_BYTES_IN_MEMORY", 0)
    written = made_sequence(np.float32)
    write_sequence(tmp_path / name, written)
    assert_same(read_sequence(tmp_path / name), written, tolerance=1e-6)


def test_large_file_with_time_first_is_turned_through_a_temporary_file(tmp_path, monkeypatch):
    monkeypatch.setattr("UltrasoundMotionLib.images.readers.stored_frames.MAXIMUM_BYTES_IN_MEMORY", 0)
    frames = np.random.default_rng(11).integers(0, 256, (3, 5, 4)).astype(np.uint8)
    header = ["sizes: 3 4 5", "kinds: list domain domain", "space directions: none (0.5,0,0) (0,0.5,0)"]
    sequence = nrrd_file(tmp_path / "s.nrrd", np.ascontiguousarray(np.moveaxis(frames, 0, -1)), header)
    np.testing.assert_array_equal(np.stack([frame for _, frame in sequence.iterate()]), frames)


@pytest.mark.slow
def test_memory_stays_flat_over_15000_frames(tmp_path):
    statm = pathlib.Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("needs /proc to see the memory in use")

    class Counted:
        shape, dtype = (15_000, 64, 96), np.dtype(np.uint8)

        def __getitem__(self, index):
            return np.full((64, 96), index % 251, np.uint8)

    def resident_mb():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20

    write_sequence(tmp_path / "s.mha", ImageSequence(Counted(), (0.3, 0.3)), compress=False)  # 92 MB
    sequence = read_sequence(tmp_path / "s.mha")
    before, most = resident_mb(), 0.0
    for index, frame in sequence.iterate(start=len(sequence) - 1, step=-1):
        if index % 1000 == 0:
            most = max(most, resident_mb())
            assert frame[63, 95] == index % 251
    assert most - before < 20


def test_warnings_of_itk_are_notes(tmp_path, capfd):
    """ITK doubts a NIfTI header with odd scales: it is read, with the doubt among the notes, not on the terminal."""
    path = tmp_path / "v.nii"
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((4, 5, 6), np.float32) * np.arange(6, dtype=np.float32)), str(path))
    header = bytearray(path.read_bytes())
    struct.pack_into("<4f", header, 280, -1.01, 0, 0, 0)
    path.write_bytes(header)
    volume = read_volume(path)
    assert volume.notes == ("ITK: has unexpected scales in sform",)
    assert "WARNING" not in capfd.readouterr().err
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((4, 5, 6), np.float32)), str(path))
    assert read_volume(path).notes == ()
