"""A placement as a file of transforms that Slicer reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.images import ImageSequence, write_sequence
from UltrasoundMotionLib.placement.linear_files import write_linear_transform
from UltrasoundMotionLib.placement.placement import Placement

FIELD = "ClipToVolumeTransform"
SEQUENCE_ENDINGS = (".seq.mha", ".igs.mha")
SINGLE_ENDINGS = (".tfm", ".h5", ".txt")


def write_transforms(path: str | Path, sequence: ImageSequence, placement: Placement) -> None:
    """Writes the transforms from the clip's own space to the volume's.

    One place: an ITK transform (.tfm, .h5, .txt). Places that differ, or a name that ends in .seq.mha: the clip as a
    sequence metafile with a field `ClipToVolumeTransform` on each frame (RAS, row by row), which Slicer opens as the
    clip and a sequence of transforms; a frame without a place has its status INVALID and no transform.

    Raises:
        InputError: places that differ in a file for one.
        OutputError: another ending, or the file cannot be written.
    """
    path, name = Path(path), Path(path).name.lower()
    transforms = placement.clip_to_volume(sequence)
    if name.endswith(SEQUENCE_ENDINGS):
        texts = tuple(
            _text(matrix) if there else "" for matrix, there in zip(transforms, placement.placed, strict=True)
        )
        status = tuple("OK" if there else "INVALID" for there in placement.placed)
        # first: Slicer's reader of transform sequences takes the first transform
        fields = {FIELD: texts, f"{FIELD}Status": status, **sequence.frame_fields}
        write_sequence(path, replace(sequence, frame_fields=fields))
        return
    if not name.endswith(SINGLE_ENDINGS):
        raise OutputError(f"{path}: transforms are written as {', '.join(SINGLE_ENDINGS + SEQUENCE_ENDINGS)}")
    if placement.moving or not placement.placed.all():
        raise InputError(f"{path}: each frame has its own place; write a sequence: .seq.mha")
    write_linear_transform(path, transforms[0])


def _text(matrix: np.ndarray) -> str:
    return " ".join(repr(float(value)) for value in matrix.ravel())
