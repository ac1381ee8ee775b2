"""Single images of one slice at several times, one file each, as cine magnetic resonance is stored."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.readers.dicom.frames import DicomFrames
from UltrasoundMotionLib.images.readers.dicom.planes import TIMES, Plane, distinct_positions, same_directions

_MILLISECONDS = ("TriggerTime", "NominalCardiacTriggerDelayTime")
_CLOCK = ("AcquisitionTime", "ContentTime")
_DATE_AND_CLOCK = ("AcquisitionDateTime", "FrameAcquisitionDateTime")


def phase_order(folder: Path, planes: list[Plane]) -> tuple[list[int], np.ndarray | None, tuple[str, ...]]:
    """Returns the order of images of one slice, their times in seconds from the first if known, and notes.

    Raises:
        InputError: images at several positions or of several orientations, without a position, or without a time.
    """
    positions = [plane.position_mm for plane in planes]
    if any(position is None or plane.directions is None for position, plane in zip(positions, planes, strict=True)):
        raise InputError(
            f"{folder}: holds {len(planes)} DICOM files, which is a series and no clip; a clip is one file with many "
            "frames: choose that file"
        )
    first = planes[0].directions
    places = distinct_positions(np.array(positions, dtype=np.float64))
    if places > 1 or any(not same_directions(first, plane.directions) for plane in planes):  # type: ignore[arg-type]
        raise InputError(
            f"{folder}: holds {len(planes)} DICOM files at {places} positions, which is a series and no clip; a clip "
            "is one file with many frames, or a folder with the times of one slice"
        )
    for name, sequence in TIMES:
        values = [_seconds(name, plane.value(name, sequence)) for plane in planes]
        if any(value is None for value in values) or len(set(values)) < len(values):
            continue
        numbers = np.array(values, dtype=np.float64)
        order = np.argsort(numbers).tolist()
        note = f"{len(planes)} files of one slice are the frames, in the order of their {name}"
        if name.startswith("Temporal"):
            return order, None, (note, "frame rate unknown: give it if it is known")
        return order, numbers[order] - numbers.min(), (note,)
    raise InputError(
        f"{folder}: holds {len(planes)} DICOM files of one slice that do not say their times, so they are no clip"
    )


def _seconds(name: str, value: object) -> float | None:
    """Returns the time of an attribute in seconds, an index as it is, or None."""
    if value is None:
        return None
    try:
        if name in _CLOCK:
            return _clock(str(value))
        if name in _DATE_AND_CLOCK:
            text = str(value)
            return int(text[:8]) * 86400.0 + _clock(re.split("[+-]", text[8:], maxsplit=1)[0])
        return float(value) / (1000.0 if name in _MILLISECONDS else 1.0)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _clock(text: str) -> float:
    return int(text[:2]) * 3600.0 + int(text[2:4]) * 60.0 + float(text[4:])


class DicomPhases:
    """Frames of several files of one slice, a `FrameSource` and `ColourFrameSource`."""

    def __init__(self, folder: Path, planes: list[Plane]) -> None:
        sources = {plane.file.path: DicomFrames(plane.file) for plane in planes}
        self._frames = [(sources[plane.file.path], plane.index) for plane in planes]
        self.first = planes[0]
        shapes = {source.shape[1:] for source in sources.values()}
        if len(shapes) > 1:
            listed = " and ".join(f"{width} x {height}" for height, width in sorted(shapes))
            raise InputError(f"{folder}: its pictures have different sizes, {listed} pixels")
        self.shape = (len(planes), *shapes.pop())
        eight_bit = all(source.dtype == np.uint8 for source in sources.values())
        self.dtype = np.dtype(np.uint8) if eight_bit else np.dtype(np.float32)
        self.notes = tuple(dict.fromkeys(note for source in sources.values() for note in source.notes))

    def __getitem__(self, index: int) -> np.ndarray:
        source, frame = self._frames[index]
        return source[frame].astype(self.dtype, copy=False)

    def colour_frame(self, index: int) -> np.ndarray | None:
        """Returns frame `index` as RGB (H, W, 3) uint8, or None if its file is grey."""
        source, frame = self._frames[index]
        return source.colour_frame(frame)
