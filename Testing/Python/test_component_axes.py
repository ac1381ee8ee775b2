"""Components of a pixel: frames along a vector axis, displacements and colour are told apart, or a note says it."""

import numpy as np
import pytest
import SimpleITK as sitk

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import read_sequence

FRAMES = np.random.default_rng(2).integers(0, 255, (3, 10, 12)).astype(np.uint8)


def nrrd(path, pixels, kinds):
    """Writes raw NRRD whose fastest axis is the last of `pixels`."""
    kind = {"uint8": "uint8", "float32": "float"}[pixels.dtype.name]
    sizes = " ".join(map(str, pixels.shape[::-1]))
    header = f"NRRD0004\ntype: {kind}\ndimension: {pixels.ndim}\nsizes: {sizes}\nkinds: {kinds}\nencoding: raw\n"
    path.write_bytes((header + "endian: little\n\n").encode() + pixels.tobytes())
    return path


@pytest.mark.parametrize("count", [2, 3, 4])
def test_frames_along_a_vector_axis(tmp_path, count):
    """Older versions of Slicer wrote the frames of a sequence along an axis of kind vector."""
    frames = np.concatenate([FRAMES, FRAMES[:1]])[:count]
    stored = np.ascontiguousarray(np.moveaxis(frames, 0, -1))
    sequence = read_sequence(nrrd(tmp_path / "s.seq.nrrd", stored, "vector domain domain"))
    np.testing.assert_array_equal(np.stack([frame for _, frame in sequence.iterate()]), frames)
    one = read_sequence(nrrd(tmp_path / "s.nrrd", stored, "vector domain domain"))
    assert len(one) == 1 and any("components were taken for" in n and "if they are frames" in n for n in one.notes)


def test_colour_that_says_so(tmp_path):
    stored = np.ascontiguousarray(np.moveaxis(FRAMES, 0, -1))
    sequence = read_sequence(nrrd(tmp_path / "s.nrrd", stored, "RGB-color domain domain"))
    assert len(sequence) == 1 and not any("if they are frames" in note for note in sequence.notes)
    clip = np.repeat(FRAMES[..., None], 3, axis=-1)
    sequence = read_sequence(nrrd(tmp_path / "c.seq.nrrd", clip, "vector domain domain list"))
    np.testing.assert_array_equal(sequence.frame(2), FRAMES[2])
    assert not any("if they are frames" in note for note in sequence.notes)


@pytest.mark.parametrize("name", ["u.nrrd", "u.mha", "u.nii.gz"])
def test_a_displacement_is_no_clip(tmp_path, name):
    field = sitk.GetImageFromArray(np.ones((5, 10, 12, 3), np.float32), isVector=True)
    sitk.WriteImage(field, str(tmp_path / name))
    with pytest.raises(InputError, match="has 3 components a pixel of type float32: a vector image"):
        read_sequence(tmp_path / name)
