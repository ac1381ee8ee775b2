"""A sequence of displacement fields in one NRRD file of five axes, as 3D Slicer 5.10 and later store grid transforms.

Axes: vector, x, y, z, list; vectors in LPS mm (vtkMRMLTransformSequenceStorageNode; `intent_code` 1006 marks it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.motions.formats.image import MODELING, SLICER_KEY
from UltrasoundMotionLib.exchange.motions.motion import Motion
from UltrasoundMotionLib.exchange.motions.sequences.motion_sequence import FrameIndex, MotionSequence
from UltrasoundMotionLib.fields.displacement_field import DisplacementField
from UltrasoundMotionLib.fields.image_grid import ImageGrid
from UltrasoundMotionLib.images.readers.header_fields import header_numbers
from UltrasoundMotionLib.images.readers.nrrd import NrrdHeader, nrrd_header, pixel_block
from UltrasoundMotionLib.images.readers.stored_frames import check_pixels, load_pixels
from UltrasoundMotionLib.images.writers.nrrd_frames import nrrd_vector, write_nrrd_frames
from UltrasoundMotionLib.progress import Progress, no_progress

RESAMPLING = "resampling"
_OWN_KEY = "UltrasoundMotion.carries"
_POINTS = "points of the reference"
_LPS = ("left-posterior-superior", "lps")
_KINDS = ["vector", "domain", "domain", "domain", "list"]


def write_field_sequence(
    path: Path,
    grid: ImageGrid,
    index: FrameIndex,
    field_of: Callable[[int], DisplacementField],
    *,
    carries_points: bool = True,
    progress: Progress = no_progress,
) -> None:
    """Writes the fields one after another, float32, compressed.

    Args:
        grid: of all fields, 3D.
        field_of: returns the field of a frame; called once for each, in order.

    Raises:
        InputError: a field on another grid, a 2D grid.
        OutputError: the file cannot be written.
    """
    if grid.dimension != 3:
        raise InputError(f"{path}: a sequence of fields for 3D Slicer is 3D, these are {grid.dimension}D")

    def values_of(frame: int) -> np.ndarray:
        field = field_of(frame)
        if not field.grid.matches(grid):
            raise InputError(f"{path}: the field of frame {frame} lies on another grid than the first")
        return field.displacement_mm

    write_nrrd_frames(
        path,
        _header(grid, index, carries_points),
        len(index),
        values_of,
        dtype=np.dtype(np.float32),
        content="displacements",
        progress=progress,
    )


def _header(grid: ImageGrid, index: FrameIndex, carries_points: bool) -> Iterator[str]:
    steps = (grid.direction * grid.spacing_mm).T
    yield "NRRD0005"
    yield "type: float"
    yield "dimension: 5"
    yield "space: left-posterior-superior"
    yield "sizes: 3 " + " ".join(map(str, (*grid.shape[::-1], len(index))))
    yield "space directions: none " + " ".join(nrrd_vector(step) for step in steps) + " none"
    yield "kinds: " + " ".join(_KINDS)
    yield f'labels: "" "" "" "" "{index.name}"'
    yield f'units: "" "" "" "" "{index.unit}"'
    yield "endian: little"
    yield "encoding: gzip"
    yield f"space origin: {nrrd_vector(grid.origin_mm)}"
    yield "measurement frame: (1,0,0) (0,1,0) (0,0,1)"
    yield "axis 3 index type:=numeric"
    yield "axis 3 index values:=" + " ".join(quote(value) for value in index.values)
    yield f"{SLICER_KEY}:={MODELING if carries_points else RESAMPLING}"
    if carries_points:
        yield f"{_OWN_KEY}:={_POINTS}"
    yield "intent_code:=1006"


def is_field_sequence(header: NrrdHeader) -> bool:
    """Returns True for the header of a sequence of fields."""
    return header.per_axis("kinds") == _KINDS and header.sizes[0] == 3


def read_field_sequence(path: Path, *, invert: bool | None = None) -> MotionSequence:
    """Reads a sequence of fields; each is read when it is asked for.

    Args:
        invert: None refuses a file of another program whose transforms carry points (see `check_direction`).

    Raises:
        InputError: another file, damaged, not in LPS, values that are not finite, a direction that is not known.
    """
    from UltrasoundMotionLib.exchange.motions.formats.image import check_direction

    header = nrrd_header(path)
    if not is_field_sequence(header):
        raise InputError(f"{path}: is no sequence of displacement fields: expected the kinds {' '.join(_KINDS)}")
    if header.fields.get("space", "").lower() not in _LPS:
        raise InputError(f"{path}: its space is {header.fields.get('space', 'not named')!r}, expected {_LPS[0]}")
    stored = header.pairs.get(SLICER_KEY, RESAMPLING)
    if invert is None and header.pairs.get(_OWN_KEY) != _POINTS:
        check_direction(path, stored)
    grid, block = _grid(path, header), pixel_block(header, tuple(reversed(header.sizes)))
    check_pixels(path, block)
    pixels, count = load_pixels(path, block), header.sizes[4]
    axis = header.per_axis("labels")[4], header.per_axis("units")[4]
    values = tuple(unquote(word) for word in header.pairs.get("axis 3 index values", "").split())
    index = FrameIndex(
        values if len(values) == count else tuple(map(str, range(count))), axis[0] or "frame", axis[1] or ""
    )

    def read(frame: int) -> Motion:
        return Motion.of_field(DisplacementField(np.array(pixels()[frame], dtype=np.float32), grid))

    return MotionSequence(index, read, carries_points=stored == MODELING)


def _grid(path: Path, header: NrrdHeader) -> ImageGrid:
    steps = [part for part in header.fields.get("space directions", "").split() if part != "none"]
    origin = header.fields.get("space origin", "")
    words = " ".join([*steps, origin]).replace("(", " ").replace(")", " ").replace(",", " ")
    numbers = header_numbers(path, "space directions", words, float, 12)
    vectors, place = np.reshape(numbers[:9], (3, 3)), numbers[9:]
    spacing = np.linalg.norm(vectors, axis=1)
    if not (spacing > 0).all():
        raise InputError(f"{path}: its space directions have no length")
    return ImageGrid(
        tuple(header.sizes[3:0:-1]), tuple(spacing), tuple(map(float, place)), (vectors / spacing[:, None]).T
    )
