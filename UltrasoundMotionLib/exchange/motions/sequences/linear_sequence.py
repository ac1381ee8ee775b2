"""A sequence of matrices in the MetaImage header that 3D Slicer and PLUS use for linear transforms (.seq.mha).

The matrices are RAS mm, to the parent (vtkMRMLLinearTransformSequenceStorageNode); Slicer rounds the times to 1 ms.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import write_text_file
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.motions.motion import Motion
from UltrasoundMotionLib.exchange.motions.sequences.motion_sequence import FrameIndex, MotionSequence
from UltrasoundMotionLib.input_files import check_regular_file

_COMMENT = "UltrasoundMotion: carries points of the reference"
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_FIELD = re.compile(rb"^Seq_Frame(\d{1,6})_(\w+)\s*=\s*(.*?)\s*$", re.MULTILINE)
_COMMENT_LINE = re.compile(rb"^Comment = (.*?)\s*$", re.MULTILINE)
_HEADER_BYTES = 2**26
_HEADER = """ObjectType = Image
NDims = 3
AnatomicalOrientation = RAI
BinaryData = True
CompressedData = False
DimSize = 0 0 {count}
ElementSpacing = 1 1 1
Offset = 0 0 0
TransformMatrix = 1 0 0 0 1 0 0 0 1
ElementType = MET_UCHAR
Kinds = domain domain list
Comment = {comment}
"""


def write_linear_sequence(path: Path, sequence: MotionSequence, name: str = "Motion") -> tuple[str, ...]:
    """Writes the matrices of linear motions, and returns what could not be kept, one line each.

    Raises:
        InputError: a motion that is not linear, or a 2D one.
        OutputError: the file cannot be written.
    """
    times, notes = _times(path, sequence.index)
    lines = []
    for frame, (motion, time) in enumerate(zip(sequence, times, strict=True)):
        matrix = motion.matrix
        if matrix is None or len(matrix) != 4:
            raise InputError(f"{path}: the motion of frame {frame} is no 3D matrix; write .seq.nrrd")
        shown = matrix if sequence.carries_points else np.linalg.inv(matrix)
        ras = _LPS_TO_RAS @ shown @ _LPS_TO_RAS
        lines += [
            f"Seq_Frame{frame:04d}_{name}Transform = {' '.join(f'{value:.17g}' for value in ras.ravel())}",
            f"Seq_Frame{frame:04d}_{name}TransformStatus = OK",
            f"Seq_Frame{frame:04d}_Timestamp = {time}",
        ]
    comment = _COMMENT if sequence.carries_points else "frames are put onto the reference"
    header = _HEADER.format(count=len(sequence), comment=comment)
    write_text_file(path, header + "\n".join(lines) + "\nElementDataFile = LOCAL\n")
    return notes


def _times(path: Path, index: FrameIndex) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns a timestamp for each frame; the numbers of frames where Slicer, which rounds to 1 ms, would join some."""
    try:
        rounded = [f"{float(value):.3f}" for value in index.values]
    except ValueError:
        rounded = []
    if len(set(rounded)) == len(index):
        return index.values, ()
    return tuple(map(str, range(len(index)))), (
        f"{path.name}: frames are numbered instead of timed, since Slicer rounds the times of such a file to 1 ms",
    )


def read_linear_sequence(path: Path, *, invert: bool | None = None) -> MotionSequence:
    """Reads the transforms of a .seq.mha or .igs.mha file.

    Args:
        invert: None refuses a file of another program, which does not say what its transforms carry.

    Raises:
        InputError: no transform, several, one that is not a matrix, a direction that is not known.
    """
    check_regular_file(path)
    with path.open("rb") as file:
        text = file.read(_HEADER_BYTES).split(b"ElementDataFile", 1)[0]
    matrices: dict[str, dict[int, bytes]] = {}
    times: dict[int, str] = {}
    for number, name, value in _FIELD.findall(text):
        if name.endswith(b"Transform"):
            matrices.setdefault(name.decode(), {})[int(number)] = value
        elif name == b"Timestamp":
            times[int(number)] = value.decode("ascii", "replace")
    if len(matrices) != 1:
        listed = ", ".join(sorted(matrices)) or "none"
        raise InputError(f"{path}: expected one transform for each frame, found {listed}")
    (found,) = matrices.values()
    if sorted(found) != list(range(len(found))):
        raise InputError(f"{path}: has {len(found)} transforms, which do not count from frame 0 on")
    comment = _COMMENT_LINE.search(text)
    carries = comment is not None and comment[1].decode("ascii", "replace") == _COMMENT
    own = carries or (comment is not None and b"onto the reference" in comment[1])
    if invert is None and not own:
        raise InputError(
            f"{path}: does not say what its transforms carry; give --no-invert if they take points of the reference to"
            " the frames, or --invert if they put the frames onto the reference"
        )
    values = [_matrix(path, frame, found[frame]) for frame in range(len(found))]
    if own and not carries:
        values = [np.linalg.inv(value) for value in values]
    timed = sorted(times) == list(range(len(found)))
    index = FrameIndex(
        tuple(times[frame] if timed else str(frame) for frame in range(len(found))),
        "time" if timed else "frame",
        "s" if timed else "",
    )
    return MotionSequence(index, lambda frame: Motion.of_matrix(values[frame]), carries_points=carries or not own)


def _matrix(path: Path, frame: int, text: bytes) -> np.ndarray:
    try:
        values = np.array([float(word) for word in text.split()])
    except ValueError:
        values = np.empty(0)
    if values.size != 16 or not np.isfinite(values).all() or abs(np.linalg.det(values.reshape(4, 4))) < 1e-12:
        raise InputError(f"{path}: the transform of frame {frame} is no invertible matrix of 4 x 4 numbers")
    return _LPS_TO_RAS @ values.reshape(4, 4) @ _LPS_TO_RAS
