"""Half a file is not a file: cut and damaged images, and headers whose numbers make no sense, are refused in words."""

import gzip
import os
import re
import struct
import zlib

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from command_line import assert_refused
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import DisplacementField, read_displacement, write_displacement
from UltrasoundMotionLib.fields.image_grid import ImageGrid
from UltrasoundMotionLib.images import read_sequence, read_volume
from UltrasoundMotionLib.images.readers.nifti import HEADER

COMPRESSED = (".nii.gz", ".gz.nrrd", ".z.mha")
ENDINGS = (".nii", ".raw.nrrd", ".raw.mha", *COMPRESSED)


def smooth(shape=(12, 24, 28), seed=3):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return (100 + 400 * noise).astype("f4")


def write(path, array, vector=False):
    image = sitk.GetImageFromArray(array, isVector=vector)
    image.SetSpacing([0.7] * image.GetDimension())
    sitk.WriteImage(image, str(path), path.name.endswith(COMPRESSED))
    return path


def refused(read, path):
    with pytest.raises(InputError) as error:
        read(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)
    return str(error.value)


def read_all_frames(path):
    sequence = read_sequence(path)
    return [sequence.frame(index) for index in range(len(sequence))]


READERS = {"volume": read_volume, "labels": read_volume, "displacement": read_displacement, "sequence": read_all_frames}


def sample(kind, path):
    if kind == "displacement":
        grid = ImageGrid((6, 12, 14), (0.7,) * 3, (0.0,) * 3, np.eye(3))
        field = np.stack([smooth((6, 12, 14), seed) for seed in range(3)], axis=-1)
        if not path.name.endswith(COMPRESSED):
            return write(path, field, vector=True)
        write_displacement(path, DisplacementField(field, grid))
        return path
    return write(path, (smooth() > 100).astype("u1") if kind == "labels" else smooth())


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", READERS)
def test_a_file_that_is_cut_anywhere_is_refused(tmp_path, kind, ending):
    path = sample(kind, tmp_path / f"image{ending}")
    READERS[kind](path)
    whole = path.read_bytes()
    for size in np.unique(np.linspace(1, len(whole) - 4, 15).astype(int)):
        path.write_bytes(whole[:size])
        refused(READERS[kind], path)


@pytest.mark.parametrize("ending", COMPRESSED)
@pytest.mark.parametrize("kind", READERS)
def test_a_compressed_file_with_a_changed_byte_is_refused(tmp_path, kind, ending):
    """In the pixels; the header of MetaImage and NRRD is not compressed, and has no checksum."""
    path = sample(kind, tmp_path / f"image{ending}")
    whole = path.read_bytes()
    start = 12 if ending == ".nii.gz" else whole.index(b"\n\n" if ending == ".gz.nrrd" else b"LOCAL\n") + 14
    for place in np.unique(np.linspace(start, len(whole) - 1, 25).astype(int)):
        changed = bytearray(whole)
        changed[place] ^= 0x55
        path.write_bytes(changed)
        refused(READERS[kind], path)


@pytest.mark.parametrize("size", [b"CompressedDataSize = 40", b"CompressedDataSize = 0", b"CompressedDatSize = 40"])
def test_metaimage_whose_compressed_size_is_wrong_is_refused(tmp_path, size):
    """ITK goes by that number, and fills the rest of the image with whatever was in memory."""
    path = write(tmp_path / "image.z.mha", (smooth() > 100).astype("u1"))
    path.write_bytes(re.sub(rb"CompressedDataSize = \d+", size, path.read_bytes()))
    assert "CompressedDataSize" in refused(read_volume, path)


@pytest.mark.parametrize("ending", [".vtk", ".gipl", ".img", ".hdr"])
def test_formats_whose_half_cannot_be_told_from_the_whole_are_named(tmp_path, ending):
    path = write(tmp_path / "image.mha", smooth()).rename(tmp_path / f"image{ending}")
    assert "convert it to .nrrd" in refused(read_volume, path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_values_that_are_not_finite_are_counted_before_itk_fills_them(tmp_path, ending):
    array = smooth()
    array[3, 4, 5:9] = (np.nan, np.inf, -np.inf, np.nan)
    path = write(tmp_path / f"image{ending}", array)
    assert "holds 4 values that are not finite" in refused(read_volume, path)


def changed_nifti(path, **changes):
    data = bytearray(path.read_bytes())
    fields = np.frombuffer(data, dtype=HEADER, count=1)
    for name, value in changes.items():
        if name.startswith("pixdim"):
            fields["pixdim"][0, int(name[6:])] = value
        else:
            fields[name][0] = value
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pixdim1": 0.0}, "pixdim[1] is 0"),
        ({"pixdim2": np.nan}, "pixdim[2] is nan"),
        ({"pixdim3": np.inf}, "pixdim[3] is inf"),
        ({"pixdim1": -0.7}, "pixdim[1] is -0.7"),
        ({"pixdim1": 1e-7}, "spacing"),
        ({"vox_offset": np.nan}, "vox_offset is nan"),
        ({"vox_offset": 1e30}, "vox_offset is 1.0"),
        ({"vox_offset": 352.5}, "vox_offset is 352.5"),
        ({"vox_offset": 100.0}, "vox_offset is 100"),
        ({"vox_offset": -8.0}, "vox_offset is -8"),
        ({"scl_slope": np.inf}, "scl_slope is inf"),
        ({"scl_slope": 2.0, "scl_inter": np.nan}, "scl_inter is nan"),
        ({"scl_slope": 1.0, "scl_inter": 1e30}, "lost in single precision"),
        ({"bitpix": 8}, "bitpix"),
        ({"datatype": 4}, "bitpix"),
        ({"datatype": 1}, "data type 1"),
        ({"dim": (3, 28, 24, 11, 1, 1, 1, 1)}, "damaged"),
        ({"dim": (3, 28, 24, 13, 1, 1, 1, 1)}, "truncated"),
        ({"dim": (3, 28, -24, 12, 1, 1, 1, 1)}, "zero frames or pixels"),
        ({"dim": (7, 32767, 32767, 32767, 32767, 32767, 32767, 32767)}, "truncated"),
        ({"magic": b"abc"}, "is not a NIfTI file"),
        ({"sform_code": 1, "srow": [[0.7, 0.2, 0, 0], [0, 0.7, 0, 0], [0, 0, 0.7, 0]]}, "not at right angles"),
        ({"sform_code": 1, "srow": [[np.nan, 0, 0, 0], [0, 0.7, 0, 0], [0, 0, 0.7, 0]]}, "srow"),
        ({"sform_code": 1, "srow": [[0, 0, 0, 0], [0, 0.7, 0, 0], [0, 0, 0.7, 0]]}, "no length"),
        ({"qform_code": 1, "qoffset": (np.inf, 0, 0)}, "qoffset"),
    ],
)
def test_nifti_headers_that_make_no_sense(tmp_path, changes, words):
    path = write(tmp_path / "image.nii", smooth())
    changed_nifti(path, **changes)
    assert words in refused(read_volume, path)


def test_what_itk_says_of_a_header_is_a_note(tmp_path, capfd):
    path = write(tmp_path / "image.nii", smooth())
    changed_nifti(path, pixdim1=0.9)  # the sform says 0.7
    assert any("unexpected scales" in note for note in read_sequence(path).notes)
    assert capfd.readouterr().err == ""


def test_nifti_2_is_named(tmp_path):
    path = tmp_path / "image.nii"
    path.write_bytes(struct.pack("<i", 540) + bytes(600))
    assert "NIfTI-2" in refused(read_volume, path)
    assert "NIfTI-2" in refused(read_sequence, path)


NRRD = "NRRD0004\ntype: {type}\ndimension: {dimension}\nsizes: 8 6 4\nencoding: {encoding}\n{more}\n"
AS_USUAL = {"type": "uint8", "dimension": 3, "encoding": "raw", "more": ""}


@pytest.mark.parametrize("read", [read_volume, read_all_frames])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dimension": 0}, "dimension"),
        ({"dimension": 100}, "dimension"),
        ({"more": "line skip: 999999999999\n"}, "line skip is 999999999999"),
        ({"more": "byte skip: -7\n"}, "byte skip is '-7'"),
        ({"more": "byte skip: 999999999999\n"}, "truncated"),
        ({"more": "spacings: nan 1 1\n", "type": "uint8"}, ""),
        ({"more": "space directions: (inf,0,0) (0,1,0) (0,0,1)\n"}, ""),
        ({"type": "float", "more": "endian: little\n"}, "truncated"),
    ],
)
def test_nrrd_headers_that_make_no_sense(tmp_path, changes, words, read):
    path = tmp_path / "image.nrrd"
    path.write_bytes(NRRD.format(**{**AS_USUAL, **changes}).encode() + bytes(range(192)))
    if "nan" in str(changes):  # a spacing that is not given
        return
    assert words in refused(read, path)


@pytest.mark.parametrize("read", [read_volume, read_all_frames])
@pytest.mark.parametrize("value", ["300", "-1", "2.5", "1e3", "x"])
def test_text_pixels_that_do_not_fit_their_type(tmp_path, value, read):
    path = tmp_path / "image.nrrd"
    header = NRRD.format(**{**AS_USUAL, "encoding": "ascii"}).encode()
    path.write_bytes(header + b"7 " * 191 + value.encode() + b"\n")
    assert value in refused(read, path)
    path.write_bytes(header + b"7 " * 192)
    read(path)
    path.write_bytes(header + b"7 " * 193)
    refused(read, path)


@pytest.mark.parametrize("read", [read_volume, read_all_frames])
def test_a_header_that_claims_more_than_its_file_can_hold_costs_no_memory(tmp_path, read):
    import resource

    def largest():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    small = zlib.compress(bytes(1000))
    files = {
        "a.nrrd": b"NRRD0004\ntype: float\ndimension: 3\nsizes: 30000 30000 300\nencoding: gzip\nendian: little\n\n"
        + gzip.compress(bytes(1000)),
        "a.mha": b"ObjectType = Image\nNDims = 3\nCompressedData = True\nDimSize = 30000 30000 300\n"
        b"ElementType = MET_FLOAT\nElementDataFile = LOCAL\n" + small,
    }
    write(tmp_path / "b.nii", smooth())
    changed_nifti(tmp_path / "b.nii", dim=(3, 30000, 30000, 300, 1, 1, 1, 1))
    files["c.nii.gz"] = gzip.compress((tmp_path / "b.nii").read_bytes())
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        before = largest()
        assert "truncated" in refused(read, tmp_path / name)
        assert largest() - before < 50_000  # kB


@pytest.mark.skipif(os.name != "posix", reason="of POSIX")
def test_pipes_and_devices_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "clip.nrrd")
    (tmp_path / "zero.nii").symlink_to("/dev/zero")
    for name in ("clip.nrrd", "zero.nii"):
        for read in READERS.values():
            assert "pipe or a device" in refused(read, tmp_path / name)


@pytest.mark.skipif(os.name != "posix", reason="of POSIX")
def test_headers_that_name_a_pipe_or_a_volume_that_no_memory_holds(tmp_path):
    os.mkfifo(tmp_path / "pipe.raw")
    lines = NRRD.format(**{**AS_USUAL, "more": "line skip: 1\ndata file: pipe.raw\n"})
    (tmp_path / "a.nhdr").write_text(lines)
    (tmp_path / "b.mhd").write_text(
        "ObjectType = Image\nNDims = 2\nDimSize = 4 4\nElementType = MET_UCHAR\n"
        "CompressedData = True\nCompressedDataSize = 9\nElementDataFile = pipe.raw\n"
    )
    for name in ("a.nhdr", "b.mhd"):
        for read in (read_volume, read_all_frames):
            with pytest.raises(InputError, match="pipe or a device"):
                read(tmp_path / name)
    path = tmp_path / "sparse.nrrd"
    with path.open("wb") as file:
        file.write(NRRD.format(**AS_USUAL).replace("8 6 4", "100000 100000 1000").encode())
        file.truncate(file.tell() + 10**13)
    assert "do not fit into" in refused(read_volume, path)
    assert len(read_sequence(path)) == 1000  # frame by frame: nobody has the time to read all of it


def test_evaluate_refuses_half_a_label_map_and_fractions(run, tmp_path):
    labels = sample("labels", tmp_path / "labels.nii.gz")
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(labels.read_bytes()[:-40])
    fractions = write(tmp_path / "fractions.nii.gz", 1.7 * (smooth() > 100).astype("f4"))
    for bad in (cut, fractions):
        assert_refused(run("evaluate", "registration", bad, "--fixed-labels", labels), bad.name.split(".")[0])
        assert_refused(run("evaluate", "registration", labels, "--fixed-labels", bad), bad.name.split(".")[0])
    assert run("evaluate", "registration", labels, "--fixed-labels", labels)[0] == 0


def test_register_refuses_half_a_volume(run, tmp_path):
    fixed, moving = sample("volume", tmp_path / "fixed.nrrd"), sample("volume", tmp_path / "moving.nii.gz")
    moving.write_bytes(moving.read_bytes()[: moving.stat().st_size * 6 // 10])
    assert_refused(run("register", fixed, moving, "--out-displacement", tmp_path / "u.nrrd"), moving)


@pytest.mark.parametrize("name", ["pages.tif", "packed.tif", "one.tif", "one.bmp", "one.png", "one.jpg"])
def test_pictures_that_are_cut_are_refused(tmp_path, name):
    """ITK gives fewer pages, or grey where pixels are missing."""
    path = tmp_path / name
    array = smooth().clip(0, 255).astype("u1")
    image = sitk.GetImageFromArray(array if "one" not in name else array[0])
    sitk.WriteImage(image, str(path), "packed" in name)
    np.testing.assert_array_equal(read_volume(path).array.shape, array.shape if "one" not in name else array[0].shape)
    whole = path.read_bytes()
    for size in np.unique(np.linspace(1, len(whole) - 2, 20).astype(int)):
        path.write_bytes(whole[:size])
        refused(read_volume, path)
        if "one" in name:
            refused(read_all_frames, path)


# ---- any cut, any changed byte of the header

HEADERS = {}


def whole_file(ending, folder):
    if ending not in HEADERS:
        path = write(folder / f"image{ending}", np.arange(4 * 5 * 6, dtype="f4").reshape(4, 5, 6))
        HEADERS[ending] = path.read_bytes(), read_volume(path).array
    return HEADERS[ending]


def header_bytes(ending, data):
    if ending == ".nii":
        return 352
    return len(data) if ending == ".nii.gz" else data.index(b"\n\n" if ending.endswith("nrrd") else b"LOCAL\n") + 2


@pytest.mark.parametrize("read", [read_volume, read_all_frames])
@pytest.mark.parametrize("ending", ENDINGS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(choice=st.data())
def test_any_cut_and_any_changed_byte_is_a_clear_error_or_the_same_pixels(tmp_path_factory, ending, read, choice):
    folder = tmp_path_factory.getbasetemp() / f"bytes{ending}"
    folder.mkdir(exist_ok=True)
    data, pixels = whole_file(ending, folder)
    changed = bytearray(data)
    if choice.draw(st.booleans()):
        changed = changed[: choice.draw(st.integers(0, len(data) - 1))]
    else:
        changed[choice.draw(st.integers(0, header_bytes(ending, data) - 1))] = choice.draw(st.integers(0, 255))
    path = folder / f"changed{ending}"
    path.write_bytes(changed)
    try:
        found = read(path)
    except InputError as error:
        assert "\n" not in str(error)
        return
    array = np.stack(found) if isinstance(found, list) else found.array
    # another byte order, type or slope gives other numbers that no checksum holds; the number of pixels is the same
    assert array.size == pixels.size


def video_bytes(folder):
    av = pytest.importorskip("av")
    with av.open(str(folder / "whole.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=20)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuvj420p"
        for frame in np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3), dtype=np.uint8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())
    return (folder / "whole.avi").read_bytes()


def picture_bytes(ending):
    def make(folder):
        image = sitk.GetImageFromArray(np.arange(20 * 24, dtype="u2").reshape(20, 24).astype("u1"))
        sitk.WriteImage(image, str(folder / f"whole{ending}"))
        return (folder / f"whole{ending}").read_bytes()

    return make


def dicom_bytes(folder):
    from dicom_samples import dicom_file

    return dicom_file(folder / "whole.dcm", np.arange(3 * 6 * 8).reshape(3, 6, 8).astype("u1")).read_bytes()


MAKERS = {
    ".avi": video_bytes,
    ".dcm": dicom_bytes,
    **{ending: picture_bytes(ending) for ending in (".png", ".bmp", ".tif", ".jpg")},
}
WHOLE = {}


@pytest.mark.parametrize("ending", MAKERS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(choice=st.data())
def test_any_cut_and_any_changed_byte_of_clips_and_pictures_is_a_clear_error_or_frames(
    tmp_path_factory, ending, choice
):
    folder = tmp_path_factory.getbasetemp() / f"clips{ending}"
    folder.mkdir(exist_ok=True)
    if ending not in WHOLE:
        WHOLE[ending] = MAKERS[ending](folder)
    changed = bytearray(WHOLE[ending])
    if choice.draw(st.booleans()):
        changed = changed[: choice.draw(st.integers(0, len(changed) - 1))]
    else:
        changed[choice.draw(st.integers(0, min(len(changed), 1000) - 1))] = choice.draw(st.integers(0, 255))
    path = folder / f"changed{ending}"
    path.write_bytes(changed)
    try:
        frames = read_all_frames(path)
    except InputError as error:
        assert "\n" not in str(error)
        return
    assert all(np.isfinite(frame).all() and frame.ndim == 2 for frame in frames)
