"""Files of the motions of a sequence: one NRRD, one .seq.mha of matrices, or a folder with a file for each frame."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.exchange.motions.motion import MotionContext
from UltrasoundMotionLib.exchange.motions.registry import read_motion, recognised_motion_format, write_motion
from UltrasoundMotionLib.exchange.motions.sequences.field_sequence import (
    is_field_sequence,
    read_field_sequence,
    write_field_sequence,
)
from UltrasoundMotionLib.exchange.motions.sequences.linear_sequence import read_linear_sequence, write_linear_sequence
from UltrasoundMotionLib.exchange.motions.sequences.motion_sequence import FrameIndex, MotionSequence
from UltrasoundMotionLib.fields.displacement_field import DisplacementField
from UltrasoundMotionLib.images.readers.nrrd import nrrd_header
from UltrasoundMotionLib.progress import Progress, no_progress

FIELDS_ENDINGS = (".nrrd",)
MATRICES_ENDINGS = (".seq.mha",)
FRAME_ENDINGS = (".nrrd", ".mha", ".nii.gz", ".h5", ".tfm")
"""Endings of the files of single frames that a folder is written with."""

_NUMBER = re.compile(r"(\d+)(?!.*\d)")
_NOTHING_GIVEN = MotionContext()


def is_motion_sequence(path: Path) -> bool:
    """Returns True for a file or folder that holds the motions of several frames, and nothing else."""
    if path.is_dir():
        try:
            return bool(_frame_files(path))
        except InputError:  # a file among others that is empty or damaged
            return False
    name = path.name.lower()
    if not path.is_file() or path.stat().st_size == 0:
        return False
    if name.endswith((".seq.mha", ".igs.mha")):
        with path.open("rb") as file:
            head = file.read(2**16)
        return b"Transform =" in head and b"DimSize = 0 0 " in head  # matrices without an image
    return name.endswith((".nrrd", ".nhdr")) and is_field_sequence(nrrd_header(path))


def read_motion_sequence(path: str | Path, *, context: MotionContext = _NOTHING_GIVEN) -> MotionSequence:
    """Reads the motions of a sequence, one when it is asked for: Slicer's NRRD of fields, its .seq.mha of matrices, or
    a folder with a file for each frame, in the order of the last number of their names.

    Raises:
        InputError: none of these, or as `read_motion`.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path, context)
    if path.name.lower().endswith((".seq.mha", ".igs.mha")):
        sequence = read_linear_sequence(path, invert=context.invert)
    elif path.name.lower().endswith((".nrrd", ".nhdr")):
        sequence = read_field_sequence(path, invert=context.invert)
    else:
        raise InputError(f"{path}: is no sequence of motions: expected .seq.nrrd, .seq.mha or a folder")
    if not context.invert:
        return sequence
    read = sequence.read
    return replace(sequence, read=lambda frame: read(frame).inverse(context.moving).motion)


def _read_folder(path: Path, context: MotionContext) -> MotionSequence:
    files = _frame_files(path)
    if not files:
        raise InputError(f"{path}: holds no motions of frames (files with a number in their names)")
    numbers, paths = [number for number, _ in files], [one for _, one in files]
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        wrong = next(one for one, other in zip(numbers[1:], numbers[:-1], strict=True) if one != other + 1)
        raise InputError(
            f"{path}: its files do not count up by one: see number {wrong}; a frame is missing, or twice there"
        )
    index = FrameIndex(tuple(map(str, range(len(files)))))
    return MotionSequence(index, lambda frame: read_motion(paths[frame], context=context))


def _frame_files(folder: Path) -> list[tuple[int, Path]]:
    """Returns the files of motions in a folder with the last numbers of their names, in order.

    Raises:
        InputError: a file that is empty or damaged.
    """
    files = [one for one in folder.iterdir() if one.is_file() and not one.name.startswith(".")]
    numbered = []
    for one in files:
        match = _NUMBER.search(one.name.split(".")[0])
        if match and recognised_motion_format(one) is not None:
            numbered.append((int(match[1]), one))
    return sorted(numbered)


def write_motion_sequence(
    path: str | Path,
    sequence: MotionSequence,
    *,
    context: MotionContext = _NOTHING_GIVEN,
    ending: str | None = None,
    progress: Progress = no_progress,
) -> tuple[str, ...]:
    """Writes the motions of a sequence, one after another, and returns what could not be kept, one line each.

    Args:
        path: `.seq.nrrd` or `.nrrd` for fields, `.seq.mha` for matrices; a name without an ending is a new folder.
        context: the fixed image, on whose grid motions without a grid of their own are sampled; and what single files
            need.
        ending: of the files in a folder (`FRAME_ENDINGS`): `.tfm` for matrices and `.nrrd` for fields when None.

    Raises:
        InputError: motions that the format cannot hold.
        OutputError: another ending, a folder that exists, or a file that cannot be written.
    """
    path = Path(path)
    name = path.name.lower()
    if name.endswith(MATRICES_ENDINGS):
        return write_linear_sequence(path, sequence)
    if name.endswith(FIELDS_ENDINGS):
        _write_fields(path, sequence, context, progress)
        return ()
    if path.suffix:
        raise OutputError(
            f"{path}: expected .seq.nrrd for displacement fields, .seq.mha for matrices, or a folder's name"
        )
    if path.exists():
        raise OutputError(f"{path}: exists already; name a new folder for the motions of the frames")
    _write_folder(path, sequence, context, ending, progress)
    return ()


def _write_fields(path: Path, sequence: MotionSequence, context: MotionContext, progress: Progress) -> None:
    grid = context.fixed or sequence.grid
    if grid is None:
        raise InputError(
            f"{path}: the motions are matrices, and no grid is known to sample them on; write .seq.mha, which is small,"
            " or give the fixed image (--fixed)"
        )

    def field_of(frame: int) -> DisplacementField:
        return sequence[frame].field(grid)

    write_field_sequence(
        path, grid, sequence.index, field_of, carries_points=sequence.carries_points, progress=progress
    )


def _write_folder(
    path: Path, sequence: MotionSequence, context: MotionContext, ending: str | None, progress: Progress
) -> None:
    digits = max(4, len(str(len(sequence) - 1)))
    with atomic_output(path) as folder:
        folder.mkdir()
        for frame, motion in enumerate(sequence):
            chosen = ending or (".nrrd" if motion.matrix is None else ".tfm")
            write_motion(folder / f"frame_{frame:0{digits}d}{chosen}", motion, context=context)
            progress(frame + 1, len(sequence), "writing motions")
