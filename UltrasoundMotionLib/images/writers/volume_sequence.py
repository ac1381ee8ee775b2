"""Writer of volumes over time, one after another, as 3D Slicer's volume sequences (.seq.nrrd)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import OutputError
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.images.writers.nrrd_frames import nrrd_vector, write_nrrd_frames
from UltrasoundMotionLib.progress import Progress, no_progress

_NAMES = {
    "uint8": "unsigned char",
    "int8": "signed char",
    "int16": "short",
    "uint16": "unsigned short",
    "int32": "int",
    "uint32": "unsigned int",
    "float32": "float",
    "float64": "double",
}


def write_volume_sequence(
    path: Path,
    like: Volume,
    count: int,
    array_of: Callable[[int], np.ndarray],
    *,
    times_s: Sequence[float] | np.ndarray | None = None,
    progress: Progress = no_progress,
) -> None:
    """Writes volumes with the grid and the type of one of them, compressed.

    Args:
        like: (D, H, W), any of them.
        count: their number.
        array_of: returns the values of a frame; called once for each, in order.
        times_s: (count,) seconds; frames are numbered when None.

    Raises:
        OutputError: a type that NRRD does not have, or the file cannot be written.
    """
    dtype = like.array.dtype
    if dtype.name not in _NAMES:
        raise OutputError(f"{path}: values of type {dtype} cannot be written as NRRD")
    write_nrrd_frames(
        path, _header(like, count, times_s), count, array_of, dtype=dtype, content="frames", progress=progress
    )


def _header(like: Volume, count: int, times_s: Sequence[float] | np.ndarray | None) -> Iterator[str]:
    steps = (like.direction * like.spacing_mm).T
    timed = times_s is not None
    values = map(float, times_s) if times_s is not None else range(count)
    yield "NRRD0004"
    yield f"type: {_NAMES[like.array.dtype.name]}"
    yield "dimension: 4"
    yield "space: left-posterior-superior"
    yield "sizes: " + " ".join(map(str, (*like.array.shape[::-1], count)))
    yield "space directions: " + " ".join(nrrd_vector(step) for step in steps) + " none"
    yield "kinds: domain domain domain list"
    yield f'labels: "" "" "" "{"time" if timed else "frame"}"'
    yield f'units: "" "" "" "{"s" if timed else ""}"'
    yield "endian: little"
    yield "encoding: gzip"
    yield f"space origin: {nrrd_vector(like.origin_mm)}"
    yield "DataNodeClassName:=vtkMRMLScalarVolumeNode"
    yield "axis 3 index type:=numeric"
    yield "axis 3 index values:=" + " ".join(map(repr, values))
