"""Writer of NIfTI sequences (.nii, .nii.gz): two image axes, one of a single slice, and time."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import OutputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.readers.axes import SPACING_KEY
from UltrasoundMotionLib.images.readers.nifti import HEADER, read_nifti
from UltrasoundMotionLib.images.writers.streamed_pixels import FrameChecksum, frame_bytes
from UltrasoundMotionLib.progress import Progress

_MILLIMETRES, _SECONDS = 2, 8
_LARGEST_AXIS = 2**15 - 1


def write_nifti(path: Path, sequence: ImageSequence, *, compress: bool, progress: Progress) -> None:
    """Writes a sequence with spacing, position, direction and the frame interval; per-frame fields are lost.

    Compressed if the name ends in .gz, independent of `compress`.

    Raises:
        OutputError: cannot be written, frame times that are not evenly spaced, or more frames than NIfTI can number.
        InputError: a frame cannot be read.
    """
    interval = _interval(path, sequence)
    if max(sequence.frames.shape) > _LARGEST_AXIS:
        raise OutputError(
            f"{path}: NIfTI holds at most {_LARGEST_AXIS} frames or pixels along an axis, "
            f"got {sequence.frames.shape}; write .seq.nrrd"
        )
    header = bytearray(_header_of_one_frame(sequence))
    fields = np.frombuffer(header, dtype=HEADER.newbyteorder("<"), count=1)
    fields["dim"][0, :5] = (4, *sequence.frame_size, 1, len(sequence))
    fields["pixdim"][0, 4] = interval or 0.0
    fields["xyzt_units"] = _MILLIMETRES | (_SECONDS if interval else 0)
    fields["descrip"] = f"{SPACING_KEY}={'unknown' if sequence.spacing_mm is None else 'known'}".encode()
    checksum = FrameChecksum(sequence)
    with (
        atomic_output(path, read_back=lambda written: checksum.check(read_nifti(written))) as temporary,
        gzip.open(temporary, "wb", 4) if path.name.lower().endswith(".gz") else temporary.open("wb") as file,
    ):
        file.write(header)
        for chunk in frame_bytes(sequence, progress, checksum):
            file.write(chunk)


def _interval(path: Path, sequence: ImageSequence) -> float | None:
    if sequence.times_s is None or len(sequence) < 2:
        return None
    steps = np.diff(sequence.times_s)
    if np.ptp(steps) > 0.01 * steps.mean():
        uneven = f"frame times are not evenly spaced ({steps.min():g} to {steps.max():g} s)"
        raise OutputError(f"{path}: {uneven}, which NIfTI cannot hold; write .seq.nrrd")
    return float(steps.mean())


def _header_of_one_frame(sequence: ImageSequence) -> bytes:
    spacing = (*(sequence.spacing_mm or (1.0, 1.0)), 1.0)
    return header_of_grid(spacing, sequence.origin_mm, sequence.direction, np.dtype(sequence.frames.dtype))


def header_of_grid(
    spacing_mm: Sequence[float], origin_mm: Sequence[float], direction: np.ndarray, dtype: np.dtype | None = None
) -> bytes:
    """Returns the 352 bytes that ITK writes before the pixels of a 3D image, with the orientation as qform and sform.

    Its sizes are those of one voxel; the caller sets its own.

    Args:
        dtype: of the voxels; float32 when None.
    """
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.zeros((1, 1, 1), dtype=dtype or np.float32))
    image.SetSpacing([float(value) for value in spacing_mm])
    image.SetOrigin([float(value) for value in origin_mm])
    image.SetDirection(np.asarray(direction, dtype=np.float64).ravel().tolist())
    with tempfile.TemporaryDirectory(prefix="ultrasound-motion-") as folder:
        name = Path(folder) / "frame.nii"
        sitk.WriteImage(image, str(name))
        with name.open("rb") as file:
            return file.read(352)
