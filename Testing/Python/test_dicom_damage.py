"""Damaged DICOM files: a clear error in one line, or an image; never another exception."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from dicom_samples import dicom_file, frame_groups, region
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import read_sequence, read_volume

FRAMES = np.arange(4 * 6 * 8).reshape(4, 6, 8).astype(np.uint8)
COMPRESSED = ("SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_rle_2frame.dcm", "MR_small_jp2klossless.dcm", "examples_palette.dcm")
HEADER = 2500


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dicom")
    drawn = [
        dicom_file(folder / "clip.dcm", FRAMES, FrameTime=20, SequenceOfUltrasoundRegions=[region(7, 5)]),
        dicom_file(folder / "volume.dcm", FRAMES, Modality="MR", **frame_groups([(0, 0, k) for k in range(4)])),
    ]
    return [path.read_bytes() for path in (*drawn, *(Path(get_testdata_file(name)) for name in COMPRESSED))]


def read_both_ways(path):
    for read in (read_sequence, read_volume):
        try:
            image = read(path)
            if read is read_sequence:
                for index in range(len(image)):
                    image.frame(index)
        except InputError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(which=st.integers(0, 1 + len(COMPRESSED)), share=st.floats(0.0, 1.0))
@pytest.mark.slow
def test_truncated(files, tmp_path_factory, which, share):
    path = tmp_path_factory.mktemp("cut") / "cut.dcm"
    whole = files[which]
    path.write_bytes(whole[: 132 + int(share * (len(whole) - 133))])
    read_both_ways(path)
    # half a file is never read whole: all but the padding byte at its end must be there
    with contextlib.suppress(InputError):
        sequence = read_sequence(path)
        assert len(path.read_bytes()) >= len(whole) - 1 and len(sequence) > 0


@settings(max_examples=250, deadline=None, derandomize=True)
@given(
    which=st.integers(0, 1 + len(COMPRESSED)),
    flips=st.lists(st.tuples(st.integers(132, HEADER), st.integers(1, 255)), min_size=1, max_size=3),
)
@pytest.mark.slow
def test_flipped_bytes(files, tmp_path_factory, which, flips):
    path = tmp_path_factory.mktemp("flip") / "flip.dcm"
    damaged = bytearray(files[which])
    for place, bits in flips:
        damaged[132 + place % (min(HEADER, len(damaged)) - 132)] ^= bits
    path.write_bytes(damaged)
    read_both_ways(path)
