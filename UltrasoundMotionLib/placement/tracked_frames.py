"""Places of frames from a tracked probe: PLUS' per-frame transforms and its calibration.

PLUS names transforms `FromToToTransform` in each frame's fields (`ProbeToTrackerTransform`, and `...Status`, OK or
INVALID), and `Transform From= To= Matrix=` in `CoordinateDefinitions` of its configuration file. `Image` counts pixels
from the centre of the first one; `Reference` is taken as RAS, as Slicer does with OpenIGTLink. A transform that is not
there is found through others, forwards or backwards, as PLUS' transform repository does.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.input_files import read_text_file
from UltrasoundMotionLib.placement.linear_files import read_linear_transform
from UltrasoundMotionLib.placement.placement import Placement, check_affine, check_rigid, plane_matrices

IMAGE, CROPPED, REFERENCE, PROBE = "Image", "CroppedImage", "Reference", "Probe"
_FIELD = re.compile(r"([A-Z]\w*?)To([A-Z]\w*)Transform")
_ORIENTATION = re.compile(r"ultrasound image orientation (\w+)")
_CALIBRATED_FOR = ("MF", "MFA")
_LISTED = 6


@dataclass(frozen=True, eq=False)
class _Step:
    """A transform between two coordinate systems: (T, 4, 4), NaN on frames without a valid one."""

    source: str
    target: str
    matrices: np.ndarray
    moving: bool


def place_by_tracking(
    sequence: ImageSequence, *, calibration: Path | None = None, image: str = "", reference: str = ""
) -> Placement:
    """Places each frame by the transforms in its fields.

    Args:
        calibration: PLUS' configuration (.xml), or the matrix from the image's pixels to the probe; None: the file's
            fields have it.
        image: name of the image's coordinate system; "": `CroppedImage` where a transform to it is there, else `Image`.
        reference: name of the coordinate system in which the frames are placed; "": `Reference`, which must be there.

    Returns:
        The placement in the reference, with notes; frames whose transform is not valid have no place.

    Raises:
        InputError: no transforms, no way from the image to the reference, no valid frame, or a matrix that shears or is
            not rigid.
    """
    where = str(sequence.path or sequence.name)
    steps = list(_frame_steps(sequence, where))
    if not steps:
        raise InputError(f"{where}: its frames have no transforms (fields such as ProbeToTrackerTransform)")
    fixed = {} if calibration is None else _read_calibration(calibration)
    for (source, target), matrix in fixed.items():
        repeated = np.repeat(matrix[None], len(sequence), axis=0)
        steps.append(_Step(source, target, repeated, moving=False))
    names = {name for step in steps for name in (step.source, step.target)}
    start = image or (CROPPED if CROPPED in names else IMAGE)
    end = reference or REFERENCE
    path = _find_path(steps, start, end)
    if path is None:
        there = ", ".join(sorted({f"{step.source}To{step.target}" for step in steps}))
        hint = "; give PLUS' configuration or a matrix with --calibration" if start not in names else ""
        raise InputError(f"{where}: no way from {start} to {end} by the transforms {there}{hint}")
    total = np.repeat(np.eye(4)[None], len(sequence), axis=0)
    for step, backwards in path:
        _check(step, where, start, backwards=backwards)
        total = (np.linalg.inv(step.matrices) if backwards else step.matrices) @ total
    placed = np.asarray(np.isfinite(total).all(axis=(1, 2)))
    if not placed.any():
        raise InputError(f"{where}: no frame has a valid way from {start} to {end}: {_reasons(path)}")
    total, hand_notes = plane_matrices(total, f"{where}: from {start} to {end}")
    shown = " then ".join(f"{step.source}To{step.target}{' inverted' if backwards else ''}" for step, backwards in path)
    notes = [f"placed in {end} by {shown}"]
    if not placed.all():
        missing = np.flatnonzero(~placed)
        listed = ", ".join(map(str, missing[:_LISTED].tolist())) + (" ..." if len(missing) > _LISTED else "")
        notes.append(f"{len(missing)} of {len(placed)} frames have no valid transform and no place ({listed})")
    if not any(step.moving for step, _ in path):
        notes.append("doubtful: none of these transforms changes over the clip, so every frame has the same place")
    return Placement(total, "tracking", (*notes, *hand_notes, *_orientation_doubt(sequence)))


def _frame_steps(sequence: ImageSequence, where: str) -> Iterable[_Step]:
    for field, values in sequence.frame_fields.items():
        match = _FIELD.fullmatch(field)
        if match is None:
            continue
        status = sequence.frame_fields.get(f"{field}Status")
        matrices = np.full((len(sequence), 4, 4), np.nan)
        for frame, text in enumerate(values):
            if not text or (status is not None and status[frame] not in ("OK", "")):
                continue
            matrix = _parse(text)
            if matrix is None:
                raise InputError(f"{where}: frame {frame}: {field} is {text[:60]!r}, expected 16 numbers")
            matrices[frame] = matrix
        valid = matrices[np.isfinite(matrices).all(axis=(1, 2))]
        moving = bool(len(valid) > 1 and np.abs(valid - valid[0]).max() > 1e-9)
        yield _Step(match[1], match[2], matrices, moving)


def _check(step: _Step, where: str, start: str, *, backwards: bool) -> None:
    """Checks each valid matrix of a step: rigid, but for those that count in pixels."""
    pixels = not {step.source, step.target}.isdisjoint({IMAGE, CROPPED, start})
    for frame in np.flatnonzero(np.isfinite(step.matrices).all(axis=(1, 2))).tolist():
        name = f"{where}: frame {frame}: {step.source}To{step.target}"
        if pixels:
            check_affine(step.matrices[frame], name, plane=not backwards)
        else:
            check_rigid(step.matrices[frame], name)
        if not step.moving:
            return


def _parse(text: str) -> np.ndarray | None:
    try:
        numbers = np.array([float(word.replace("_", "?")) for word in text.split()])
    except ValueError:
        return None
    return numbers.reshape(4, 4) if numbers.size == 16 and np.isfinite(numbers).all() else None


def _read_calibration(path: Path) -> Mapping[tuple[str, str], np.ndarray]:
    """Returns the fixed transforms of a PLUS configuration, or a single matrix as that from the image to the probe."""
    if path.suffix.lower() != ".xml":
        return {(IMAGE, PROBE): read_linear_transform(path)}
    try:
        root = Xml.fromstring(read_text_file(path, encoding="utf-8-sig"))
    except Xml.ParseError as error:
        raise InputError(f"{path}: is not valid XML: {error}") from error
    found: dict[tuple[str, str], np.ndarray] = {}
    for definitions in root.iter("CoordinateDefinitions"):
        for element in definitions.iter("Transform"):
            source, target = element.get("From", ""), element.get("To", "")
            matrix = _parse(element.get("Matrix", ""))
            where = f"{path}: transform from {source} to {target}"
            if matrix is None:
                raise InputError(f"{where}: Matrix is {element.get('Matrix', '')[:60]!r}, expected 16 numbers")
            check_affine(matrix, where, plane=True)
            found[source, target] = matrix
    if not found:
        raise InputError(f"{path}: has no Transform in CoordinateDefinitions; is it a configuration of PLUS?")
    return found


def _find_path(steps: list[_Step], start: str, end: str) -> list[tuple[_Step, bool]] | None:
    """Returns the shortest way as steps, each with True where it is taken backwards."""
    waiting: deque[tuple[str, list[tuple[_Step, bool]]]] = deque([(start, [])])
    seen = {start}
    while waiting:
        name, way = waiting.popleft()
        if name == end:
            return way
        for step in steps:
            for here, there, backwards in ((step.source, step.target, False), (step.target, step.source, True)):
                if here == name and there not in seen:
                    seen.add(there)
                    waiting.append((there, [*way, (step, backwards)]))
    return None


def _reasons(path: list[tuple[_Step, bool]]) -> str:
    counts = [
        f"{step.source}To{step.target} is valid on {int(np.isfinite(step.matrices).all(axis=(1, 2)).sum())}"
        for step, _ in path
    ]
    return ", ".join(counts)


def _orientation_doubt(sequence: ImageSequence) -> tuple[str, ...]:
    """Returns a note where the pixels are stored in another orientation than the one PLUS calibrates, MF."""
    found = [match[1] for note in sequence.notes if (match := _ORIENTATION.search(note))]
    if not found or found[0] in _CALIBRATED_FOR:
        return ()
    return (f"doubtful: the frames are stored as {found[0]}, and PLUS' calibrations are for MF: flip them first",)
