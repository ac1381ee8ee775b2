"""Reader of clips in DICOM: ultrasound files of one or many frames, and folders with the times of one slice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.readers.dicom.calibration import pixel_spacing
from UltrasoundMotionLib.images.readers.dicom.frame_times import frame_times
from UltrasoundMotionLib.images.readers.dicom.frames import DicomFrames
from UltrasoundMotionLib.images.readers.dicom.functional_groups import text
from UltrasoundMotionLib.images.readers.dicom.phases import DicomPhases, phase_order
from UltrasoundMotionLib.images.readers.dicom.pixel_layout import open_dicom
from UltrasoundMotionLib.images.readers.dicom.planes import Plane, frame_planes, frames_are_slices
from UltrasoundMotionLib.images.readers.dicom.series import open_series, reading_header

_ULTRASOUND = ("US", "IVUS")
_VIDEO_CAPTURES = ("", "OT", "XC", "ES")  # modalities written by converters of exported clips


def read_dicom(path: Path) -> ImageSequence:
    """Reads an ultrasound DICOM file, decoding one frame at a time.

    Colour becomes luminance, and MONOCHROME1 is inverted. Frame times as in `frame_times`, spacing as in
    `pixel_spacing`. Position and orientation are those of the Image Plane if present (LPS), otherwise the identity.

    Raises:
        InputError: not DICOM, no image, truncated, a volume, or of another modality than ultrasound.
    """
    file = open_dicom(path)
    dataset = file.dataset
    warned: list[str] = []
    with reading_header(path, warned):
        modality = text(dataset, "Modality")
        if modality not in _ULTRASOUND and not (modality in _VIDEO_CAPTURES and file.frames > 1):
            raise InputError(
                f"{path}: not ultrasound: its modality is {modality or 'not given'} with {file.frames} frame(s), "
                "expected US or IVUS"
            )
        planes = frame_planes(file)
        slices = frames_are_slices(file, planes)
        if slices:
            raise InputError(
                f"{path}: holds a volume ({slices}), not frames of one plane; export a two-dimensional clip"
            )
        frames = DicomFrames(file)
        times, time_notes = frame_times(dataset, file.frames)
        spacing, spacing_notes = pixel_spacing(dataset, frames)
        origin, direction = _geometry(planes[0])
    notes = (*spacing_notes, *time_notes, *frames.notes, *file.notes, *warned)
    return ImageSequence(frames, spacing, times, origin, direction, path.stem, path, notes=notes)


def read_dicom_phases(folder: Path) -> ImageSequence:
    """Reads a folder of single images of one slice, which differ in time, as a sequence in the order of their times.

    Raises:
        InputError: several series, or files that are no times of one slice.
    """
    files = open_series(folder)
    if len(files) == 1:  # beside reports, or an index
        return read_dicom(files[0].path)
    warned: list[str] = []
    with reading_header(folder, warned):
        planes = [plane for file in files for plane in frame_planes(file)]
        order, times, notes = phase_order(folder, planes)
        frames = DicomPhases(folder, [planes[index] for index in order])
        first = frames.first
        spacing, spacing_notes = pixel_spacing(first.file.dataset, frames)
        origin, direction = _geometry(first)
    file_notes = dict.fromkeys(note for file in files for note in file.notes)
    notes = (*spacing_notes, *notes, *frames.notes, *file_notes, *warned)
    return ImageSequence(frames, spacing, times, origin, direction, folder.name, folder, notes=notes)


def _geometry(plane: Plane) -> tuple[tuple[float, float, float], np.ndarray]:
    """Returns the origin (LPS mm) and the direction (3, 3) of a plane; zero and the identity if it has none."""
    position: Any = (0.0, 0.0, 0.0) if plane.position_mm is None else plane.position_mm
    origin = (float(position[0]), float(position[1]), float(position[2]))
    if plane.directions is None:
        return origin, np.eye(3)
    return origin, np.column_stack([*plane.directions, np.cross(*plane.directions)])
