"""Position, orientation and time of every frame of a DICOM file, from which clips and stacks of slices are told apart.

Attributes: DICOM PS3.3 C.7.6.2 (Image Plane), C.7.6.16.2 (Plane Position and Orientation, patient or volume),
C.8.8.3 (Grid Frame Offset Vector).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.readers.dicom.functional_groups import frame_value
from UltrasoundMotionLib.images.readers.dicom.pixel_layout import DicomFile

SAME_POSITION_MM = 0.01
_SAME_DIRECTION = 2e-3
# attributes that differ between volumes of one series, in the order in which they are named
TIMES = (
    ("TriggerTime", ""),
    ("NominalCardiacTriggerDelayTime", "CardiacSynchronizationSequence"),
    ("TemporalPositionIdentifier", ""),
    ("TemporalPositionIndex", "FrameContentSequence"),
    ("AcquisitionDateTime", ""),
    ("FrameAcquisitionDateTime", "FrameContentSequence"),
    ("AcquisitionTime", ""),
    ("ContentTime", ""),
)
OTHER_KEYS = (
    ("EchoTime", ""),
    ("EffectiveEchoTime", "MREchoSequence"),
    ("DiffusionBValue", "MRDiffusionSequence"),
    ("AcquisitionNumber", ""),
    ("ImageType", ""),
    ("StackID", "FrameContentSequence"),
    ("InstanceNumber", ""),
)
_ENHANCED_US_VOLUME = "1.2.840.10008.5.1.4.1.1.6.2"
_SLICE_VECTORS = (0x00540080, 0x3004000C)


@dataclass(frozen=True)
class Plane:
    """The place of a frame in space.

    Attributes:
        file: the file.
        index: the frame in the file.
        position_mm: (3,) LPS position of the centre of its first pixel, or None.
        directions: (2, 3) LPS unit vectors of increasing x and y, or None.
    """

    file: DicomFile
    index: int
    position_mm: np.ndarray | None
    directions: np.ndarray | None

    @property
    def name(self) -> str:
        """The file's name, and the frame's number if the file has several."""
        return self.file.path.name + (f" frame {self.index}" if self.file.frames > 1 else "")

    def value(self, name: str, sequence: str) -> Any:
        """Returns an attribute of the frame, or None."""
        return frame_value(self.file.dataset, self.index, name, sequence)


def frame_planes(file: DicomFile) -> list[Plane]:
    """Returns the planes of a file's frames.

    Raises:
        InputError: an orientation that is not orthonormal.
    """
    offsets = _grid_offsets(file)
    if "PerFrameFunctionalGroupsSequence" in file.dataset:
        return [Plane(file, index, *_place(file, index)) for index in range(file.frames)]
    position, directions = _place(file, 0)
    if offsets is None or position is None or directions is None:
        return [Plane(file, index, position, directions) for index in range(file.frames)]
    normal = np.cross(*directions)
    return [
        Plane(file, index, position + normal * (offset - offsets[0]), directions)
        for index, offset in enumerate(offsets)
    ]


def _place(file: DicomFile, index: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Returns the position and the directions of a frame, of the patient or of an ultrasound volume's own frame."""
    position = _numbers(file, index, 3, ("ImagePositionPatient", "PlanePositionSequence"),
                        ("ImagePositionVolume", "PlanePositionVolumeSequence"))  # fmt: skip
    cosines = _numbers(file, index, 6, ("ImageOrientationPatient", "PlaneOrientationSequence"),
                       ("ImageOrientationVolume", "PlaneOrientationVolumeSequence"))  # fmt: skip
    return position, None if cosines is None else _unit_vectors(file, cosines)


def _numbers(file: DicomFile, index: int, count: int, *names: tuple[str, str]) -> np.ndarray | None:
    for name, sequence in names:
        values = frame_value(file.dataset, index, name, sequence)
        if values is None or isinstance(values, str):
            continue
        numbers = np.array(values, dtype=np.float64)
        if numbers.shape != (count,) or not np.all(np.isfinite(numbers)):
            raise InputError(
                f"{file.path}: {name} is {list(map(str, np.atleast_1d(values)))}, expected {count} numbers"
            )
        return numbers
    return None


def _unit_vectors(file: DicomFile, cosines: np.ndarray) -> np.ndarray:
    x, y = cosines[:3], cosines[3:]
    if abs(np.linalg.norm(x) - 1) > 1e-2 or abs(np.linalg.norm(y) - 1) > 1e-2 or abs(x @ y) > 1e-2:
        raise InputError(
            f"{file.path}: ImageOrientationPatient {cosines.tolist()} is not orthonormal, so its place is unknown"
        )
    x = x / np.linalg.norm(x)
    y = y - x * (x @ y)
    return np.stack([x, y / np.linalg.norm(y)])


def _grid_offsets(file: DicomFile) -> np.ndarray | None:
    """Returns the offsets (T,) in mm of frames along the normal, as dose volumes have them."""
    values = file.dataset.get("GridFrameOffsetVector")
    if values in (None, "") or file.frames < 2 or np.size(values) != file.frames:
        return None
    return np.array(values, dtype=np.float64)


def frames_are_slices(file: DicomFile, planes: list[Plane]) -> str:
    """Says why the frames of a file are the slices of a volume, or returns an empty text."""
    if several_orientations(planes):
        return f"{file.frames} planes of several orientations"
    positions = [plane.position_mm for plane in planes]
    if any(position is None for position in positions):
        return _slices_by_attributes(file)
    places = distinct_positions(np.array(positions, dtype=np.float64))
    if places == 1:
        return ""
    times = file.frames / places
    each = f"{times:g} x " if times == int(times) and times > 1 else ""
    return f"{each}{places} slices at different positions"


def _slices_by_attributes(file: DicomFile) -> str:
    """Says which attribute tells that frames without positions are slices, or returns an empty text."""
    dataset = file.dataset
    if file.frames < 2:
        return ""
    pointers = dataset.get("FrameIncrementPointer")
    if pointers is not None and any(int(tag) in _SLICE_VECTORS for tag in np.atleast_1d(np.array(pointers, dtype=int))):
        return f"{file.frames} slices, as its FrameIncrementPointer says"
    if str(dataset.get("DimensionOrganizationType", "")).startswith("3D"):
        return f"{file.frames} slices, as its DimensionOrganizationType says"
    if dataset.get("SOPClassUID") == _ENHANCED_US_VOLUME:
        return f"{file.frames} slices, as an Enhanced US Volume has"
    return ""


def several_orientations(planes: list[Plane]) -> bool:
    """Returns True if planes that state their orientation differ in it."""
    known = [plane.directions for plane in planes if plane.directions is not None]
    return any(not same_directions(known[0], directions) for directions in known[1:])


def distinct_positions(positions_mm: np.ndarray) -> int:
    """Returns the number of different positions among (N, 3)."""
    left, places = positions_mm, 0
    while len(left):
        left = left[np.abs(left - left[0]).max(axis=1) > SAME_POSITION_MM]
        places += 1
    return places


def same_directions(first: np.ndarray, second: np.ndarray) -> bool:
    """Returns True if two orientations (2, 3) are one."""
    return bool(np.abs(first - second).max() < _SAME_DIRECTION)
