"""Sequences and volumes of any shape, type and geometry, through their files and back; and files that end early."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import (
    ImageSequence,
    Volume,
    read_sequence,
    read_volume,
    write_sequence,
    write_volume,
)

SEEDS = st.integers(0, 2**32 - 1)
SPACINGS = st.floats(1e-3, 100)
VOLUME_TYPES = (np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64)
SINGLE_PRECISION = 2e-6
"""Relative precision of what NIfTI holds of a geometry."""


def pixels(shape, dtype):
    """Arrays of any finite values."""
    if np.dtype(dtype).kind == "f":
        bits = 8 * np.dtype(dtype).itemsize
        return arrays(dtype, shape, elements=st.floats(width=bits, allow_nan=False, allow_infinity=False))
    return arrays(dtype, shape)


def direction_of(seed, dimension=3, *, left_handed=True):
    """A random orthonormal basis, left-handed ones among them where they are asked for."""
    random = np.random.default_rng(seed)
    if dimension == 2:
        angle = random.uniform(0, 2 * np.pi)
        basis = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    else:
        basis = Rotation.random(random_state=random).as_matrix()
    return basis * random.choice([-1, 1], dimension) if left_handed else basis


@st.composite
def sequences(draw, *, even_times=False, left_handed=False):
    """Sequences of up to 5 small frames; times from 0, unknown with one frame.

    MetaImage and NIfTI sequences have no axis through the plane: their normal comes back as x cross y.
    """
    count, height, width = draw(st.integers(1, 5)), draw(st.integers(1, 7)), draw(st.integers(1, 7))
    frames = draw(pixels((count, height, width), draw(st.sampled_from([np.uint8, np.float32]))))
    times = None
    if count > 1 and draw(st.booleans()):
        step = draw(st.floats(1e-4, 10))
        steps = [step] * (count - 1) if even_times else [step * draw(st.floats(1, 20)) for _ in range(count - 1)]
        times = np.cumsum([0.0, *steps])
    spacing = draw(st.none() | st.tuples(SPACINGS, SPACINGS))
    origin = draw(st.tuples(*[st.floats(-1e3, 1e3)] * 3))
    return ImageSequence(frames, spacing, times, origin, direction_of(draw(SEEDS), left_handed=left_handed))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("images")


def assert_same(read, written, tolerance):
    assert read.frames.shape == written.frames.shape
    assert read.frames.dtype == written.frames.dtype
    for number in range(len(written)):
        np.testing.assert_array_equal(read.frame(number), written.frame(number))
    assert (read.spacing_mm is None) == (written.spacing_mm is None)
    assert read.spacing_mm is None or read.spacing_mm == pytest.approx(written.spacing_mm, rel=tolerance)
    assert (read.times_s is None) == (written.times_s is None)
    assert read.times_s is None or read.times_s == pytest.approx(written.times_s, rel=tolerance)
    np.testing.assert_allclose(read.direction, written.direction, rtol=0, atol=tolerance)
    np.testing.assert_allclose(read.origin_mm, written.origin_mm, rtol=tolerance, atol=tolerance)


@given(sequences(left_handed=True), st.booleans())
def test_a_sequence_comes_back_from_nrrd(folder, sequence, compress):
    write_sequence(folder / "s.seq.nrrd", sequence, compress=compress)
    assert_same(read_sequence(folder / "s.seq.nrrd"), sequence, 1e-12)


@given(sequences(), st.booleans())
def test_a_sequence_comes_back_from_metaimage(folder, sequence, compress):
    write_sequence(folder / "s.mha", sequence, compress=compress)
    assert_same(read_sequence(folder / "s.mha"), sequence, 1e-12)


@pytest.mark.parametrize("name", ["s.nii", "s.nii.gz"])
@given(sequences(even_times=True))
def test_a_sequence_comes_back_from_nifti(folder, name, sequence):
    write_sequence(folder / name, sequence)
    assert_same(read_sequence(folder / name), sequence, SINGLE_PRECISION)


@st.composite
def volumes(draw, dimensions=(2, 3)):
    dimension = draw(st.sampled_from(dimensions))
    array = draw(pixels(tuple(draw(st.integers(1, 6)) for _ in range(dimension)), draw(st.sampled_from(VOLUME_TYPES))))
    origin = draw(st.tuples(*[st.floats(-1e3, 1e3)] * dimension))
    return Volume(array, draw(st.tuples(*[SPACINGS] * dimension)), origin, direction_of(draw(SEEDS), dimension))


def assert_same_volume(read, written, tolerance):
    assert read.array.dtype == written.array.dtype
    np.testing.assert_array_equal(read.array, written.array)
    assert read.spacing_mm == pytest.approx(written.spacing_mm, rel=tolerance)
    np.testing.assert_allclose(read.direction, written.direction, rtol=0, atol=tolerance)
    np.testing.assert_allclose(read.origin_mm, written.origin_mm, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["v.nrrd", "v.mha"])
@given(volumes())
def test_a_volume_comes_back_from_nrrd_and_metaimage(folder, name, volume):
    write_volume(folder / name, volume)
    assert_same_volume(read_volume(folder / name), volume, 1e-9)


@given(volumes(dimensions=(3,)))
def test_a_volume_comes_back_from_nifti(folder, volume):
    write_volume(folder / "v.nii.gz", volume)
    assert_same_volume(read_volume(folder / "v.nii.gz"), volume, SINGLE_PRECISION)


@pytest.mark.parametrize("name", ["t.seq.nrrd", "t.mha", "t.nii", "t.nii.gz"])
@given(sequences(even_times=True), st.booleans(), st.floats(0, 1, exclude_max=True))
def test_a_sequence_that_ends_early_is_refused_or_whole(folder, name, sequence, compress, share):
    path = folder / name
    write_sequence(path, sequence, compress=compress)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    try:
        read = read_sequence(path)
        frames = [read.frame(number) for number in range(len(read))]
    except InputError as error:
        assert path.name in str(error)
        assert "\n" not in str(error)
    else:
        np.testing.assert_array_equal(frames, sequence.frames)


@pytest.mark.parametrize("name", ["t.nrrd", "t.mha", "t.nii", "t.nii.gz"])
@given(volumes(dimensions=(3,)), st.floats(0, 1, exclude_max=True))
def test_a_volume_that_ends_early_is_refused_or_whole(folder, name, volume, share):
    path = folder / name
    write_volume(path, volume)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    try:
        read = read_volume(path)
    except InputError as error:
        assert path.name in str(error)
        assert "\n" not in str(error)
    else:
        np.testing.assert_array_equal(read.array, volume.array)
