"""Whatever is wrong with a path, one line says so and names it."""

import gzip

import numpy as np
import pytest
import SimpleITK as sitk

from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.images import ImageSequence, read_sequence, write_sequence

PIXELS = np.random.default_rng(10).integers(0, 256, (4, 6, 8)).astype(np.uint8)
ENDINGS = [".dcm", ".mha", ".mhd", ".nrrd", ".seq.nrrd", ".nii", ".nii.gz", ".png", ".tif", ".mp4", ".avi"]


def refused(path, match=None):
    with pytest.raises(InputError, match=match) as error:
        read_sequence(path)
    message = str(error.value)
    assert path.name in message and "\n" not in message and len(message) < 400
    return message


@pytest.mark.parametrize("ending", ENDINGS)
def test_missing_empty_and_renamed_text(tmp_path, ending):
    pytest.importorskip("av")
    path = tmp_path / f"clip{ending}"
    refused(path, "no such file or folder")
    path.touch()
    refused(path, "is empty")
    path.write_text("frame,time_s,label,x,y\n0,0.0,apex,12,13\n" * 40)
    refused(path)


@pytest.mark.parametrize("name", ["clip.csv", "clip", "clip.txt", "clip.json"])
def test_unknown_format(tmp_path, name):
    (tmp_path / name).write_text("text")
    refused(tmp_path / name, "is not a format that can be read; known are .*nrrd")


@pytest.mark.parametrize("ending", [".mha", ".nrrd", ".nii", ".nii.gz", ".png"])
@pytest.mark.parametrize("compress", [True, False])
def test_truncated(tmp_path, ending, compress):
    """Every length of file that is too short is refused, on opening or (a picture) when the frame is asked for."""
    path = tmp_path / f"clip{ending}"
    if ending == ".png":
        sitk.WriteImage(sitk.GetImageFromArray(PIXELS[0]), str(path))
    else:
        write_sequence(path, ImageSequence(PIXELS, (0.3, 0.3)), compress=compress)
    whole = path.read_bytes()
    for size in np.unique(np.linspace(1, len(whole) - 20, 25).astype(int)):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="clip") as error:
            read_sequence(path).frame(0)
        assert "\n" not in str(error.value)


def test_folders(tmp_path):
    refused(tmp_path, "zero frames: the folder holds no pictures")
    (tmp_path / "1.png").write_text("not a picture")
    with pytest.raises(InputError, match=r"1\.png: is not a PNG picture"):
        read_sequence(tmp_path)


def test_zero_frames_and_one_frame(tmp_path):
    (tmp_path / "zero.nrrd").write_text("NRRD0004\ntype: uchar\ndimension: 3\nsizes: 8 6 0\nencoding: raw\n\n")
    refused(tmp_path / "zero.nrrd", "zero frames")
    (tmp_path / "zero.mha").write_text(
        "ObjectType = Image\nNDims = 3\nDimSize = 8 6 0\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    )
    refused(tmp_path / "zero.mha", "zero frames")
    for name in ("one.seq.nrrd", "one.mha", "one.nii.gz"):
        write_sequence(tmp_path / name, ImageSequence(PIXELS[:1], (0.3, 0.3)))
        sequence = read_sequence(tmp_path / name)
        assert len(sequence) == 1 and sequence.frame_rate_hz is None
        np.testing.assert_array_equal(sequence.frame(0), PIXELS[0])


def test_values_that_are_not_finite(tmp_path):
    pixels = PIXELS.astype(np.float32)
    pixels[2, 3, 4] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(pixels), str(tmp_path / "nan.nrrd"))
    sequence = read_sequence(tmp_path / "nan.nrrd")
    np.testing.assert_array_equal(sequence.frame(1), pixels[1])
    with pytest.raises(InputError, match=r"nan\.nrrd: frame 2 holds values that are not finite"):
        sequence.frame(2)


def test_a_volume_at_every_time_is_refused(tmp_path):
    sitk.WriteImage(
        sitk.GetImageFromArray(np.zeros((3, 4, 6, 8), np.uint8), isVector=False), str(tmp_path / "v.nii.gz")
    )
    refused(tmp_path / "v.nii.gz", "expected frames of two dimensions in time, got an image of 8 x 6 x 4 x 3")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("type: uchar\ndimension: 3\nsizes: 8 6\nencoding: raw", "do not fit dimension"),
        ("type: block\ndimension: 2\nsizes: 8 6\nencoding: raw", "type 'block'"),
        ("type: uchar\ndimension: 2\nsizes: 8 6\nencoding: zip", "encoding 'zip' is not supported"),
        (
            "type: uchar\ndimension: 2\nsizes: 8 6\nencoding: raw\ndata file: lost.raw",
            "its pixel file 'lost.raw' is missing",
        ),
        (
            "type: uchar\ndimension: 2\nsizes: 8 6\nencoding: raw\nspace directions: (1,0,0) (1,0,0)",
            "not at right angles",
        ),
        ("type: uchar\ndimension: 2\nsizes: 8 6\nencoding: raw\nspace directions: (0,0,0) (0,1,0)", "have no length"),
        ("type: uchar\ndimension: 3\nsizes: 7 8 6\nkinds: vector list domain\nencoding: raw", "7 components a pixel"),
        ("type: uchar\ndimension: two\nsizes: 8 6\nencoding: raw", "do not fit dimension 'two'"),
        ("type: uchar\ndimension: 2\nsizes: 8 6\nencoding: raw\nbyte skip: x", "byte skip"),
        (
            "type: uchar\ndimension: 2\nsizes: 8 6\nencoding: raw\nspace directions: (a,b) (0,1)",
            "is not a list of vectors",
        ),
        ("type: uchar\ndimension: 2\nsizes: 8 6\nencoding: raw\nspacings: a b", "spacings"),
    ],
)
def test_contradictory_nrrd_headers(tmp_path, header, message):
    (tmp_path / "s.nrrd").write_bytes(f"NRRD0004\n{header}\n\n".encode() + bytes(800))
    refused(tmp_path / "s.nrrd", message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("NDims = 3", "NDims = 7"), "NDims is 7"),
        (("DimSize = 8 6 4", "DimSize = 8 6"), "DimSize has 2 values, expected 3"),
        (("DimSize = 8 6 4", "DimSize = 8 six 4"), "DimSize is '8 six 4'"),
        (("MET_UCHAR", "MET_STRING"), "ElementType MET_STRING is not supported"),
        (("ElementDataFile = LOCAL", "ElementDataFile = lost.raw"), "its pixel file 'lost.raw' is missing"),
        (("ElementDataFile = LOCAL", "ElementDataFile = LIST"), "in several files"),
        (("ElementDataFile = LOCAL", "ElementDataFile = ."), "ElementDataFile names no file"),
        (("ObjectType = Image", "ObjectType = Mesh"), "is a MetaIO Mesh"),
        (("Kinds = domain domain list", "ElementNumberOfChannels = many"), "ElementNumberOfChannels"),
    ],
)
def test_contradictory_metaimage_headers(tmp_path, change, message):
    write_sequence(tmp_path / "s.mha", ImageSequence(PIXELS, (0.3, 0.3)), compress=False)
    text = (tmp_path / "s.mha").read_bytes()
    (tmp_path / "s.mha").write_bytes(text.replace(change[0].encode(), change[1].encode()))
    refused(tmp_path / "s.mha", message)


def test_nifti_that_is_not(tmp_path):
    (tmp_path / "s.nii.gz").write_bytes(gzip.compress(b"text" * 200))
    refused(tmp_path / "s.nii.gz", "is not a NIfTI file")
    write_sequence(tmp_path / "s.nii", ImageSequence(PIXELS, (0.3, 0.3)))
    header = bytearray((tmp_path / "s.nii").read_bytes())
    header[70:72] = (1792).to_bytes(2, "little")
    (tmp_path / "s.nii").write_bytes(header)
    refused(tmp_path / "s.nii", "NIfTI data type 1792 is not supported")


def test_outputs_that_cannot_be_written(tmp_path):
    sequence = ImageSequence(PIXELS)
    for path, message in (
        (tmp_path / "no" / "s.nrrd", "does not exist"),
        (tmp_path / "s.mp4", r"\.mp4 is not a format that can be written"),
    ):
        with pytest.raises(OutputError, match=message):
            write_sequence(path, sequence)

    def stop(done, total, message):
        if done == 2:
            raise KeyboardInterrupt

    for name in ("s.seq.nrrd", "s.mha", "s.nii.gz", "folder"):
        with pytest.raises(KeyboardInterrupt):
            write_sequence(tmp_path / name, sequence, progress=stop)
    assert not list(tmp_path.iterdir())
    write_sequence(tmp_path / "folder", sequence)
    with pytest.raises(OutputError, match="folder"):
        write_sequence(tmp_path / "folder", sequence)
    assert len(list((tmp_path / "folder").iterdir())) == 4
