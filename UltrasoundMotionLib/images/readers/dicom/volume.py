"""Reader of DICOM volumes and stills: one file with one or several frames, or a folder with one series."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.readers.dicom.calibration import Spacing, pixel_spacing
from UltrasoundMotionLib.images.readers.dicom.frames import DicomFrames
from UltrasoundMotionLib.images.readers.dicom.functional_groups import frame_value, text
from UltrasoundMotionLib.images.readers.dicom.pixel_layout import DicomFile
from UltrasoundMotionLib.images.readers.dicom.planes import Plane, frame_planes, several_orientations
from UltrasoundMotionLib.images.readers.dicom.series import open_series, reading_header
from UltrasoundMotionLib.images.readers.dicom.slice_stack import SliceStack, stack_slices
from UltrasoundMotionLib.images.volume import Volume

_ULTRASOUND = ("US", "IVUS")


def read_dicom_volume(path: Path) -> Volume:
    """Reads a DICOM file, or a folder with the files of one series, as a volume.

    Every slice lies where its own position and orientation say. A single image without a position becomes a 2D image;
    its spacing is that of `pixel_spacing`, and unknown (1 pixel) if the file has none. Values: as stored, with
    MONOCHROME1 inverted and the rescale slope and intercept applied; colour becomes luminance.

    Raises:
        InputError: several series, no image, a clip, or slices that do not lie on one regular grid.
    """
    files = open_series(path)
    warned: list[str] = []
    with reading_header(path, warned):
        _check_one_size(path, files)
        _check_no_mosaic(path, files)
        planes = [plane for file in files for plane in frame_planes(file)]
        sources = {file.path: DicomFrames(file) for file in files}
        if len(planes) == 1 and (planes[0].position_mm is None or planes[0].directions is None):
            volume = _still(path, planes[0], sources)
        else:
            _check_no_clip(path, files[0], planes)
            volume = _stack(path, planes, sources)
    sources_notes = (note for source in sources.values() for note in source.notes)
    notes = (*(note for file in files for note in file.notes), *volume.notes, *sources_notes, *warned)
    return replace(volume, notes=tuple(dict.fromkeys(notes)))


def _still(path: Path, plane: Plane, sources: dict[Path, DicomFrames]) -> Volume:
    """Returns an image without a place in space, in 2D."""
    spacing, notes = _one_spacing(path, [plane], sources)
    array = _compact(sources[plane.file.path].values(0))
    return Volume(array, spacing or (1.0, 1.0), (0.0, 0.0), np.eye(2), str(path), spacing is not None, notes)


def _stack(path: Path, planes: list[Plane], sources: dict[Path, DicomFrames]) -> Volume:
    """Returns slices as a volume, each where it lies."""
    spacing, notes = _one_spacing(path, planes, sources)
    stack = stack_slices(path, planes)
    if spacing is None:
        reason = notes[0].removeprefix("spacing unknown: ") if notes else "no PixelSpacing"
        raise InputError(f"{path}: its slices have positions, but the size of their pixels is unknown: {reason}")
    depth, depth_notes = _depth(stack)
    notes += depth_notes
    if all(plane.value("ImagePositionPatient", "PlanePositionSequence") is None for plane in planes):
        notes += ("placed by the volume's own frame of reference: where the patient is, the file does not say",)
    array = _compact(np.stack([sources[plane.file.path].values(plane.index) for plane in stack.planes]))
    origin = stack.planes[0].position_mm
    assert origin is not None  # `stack_slices` has checked it
    return Volume(array, (*spacing, depth), tuple(origin), stack.directions, str(path), True, notes)


def _check_one_size(path: Path, files: list[DicomFile]) -> None:
    sizes = [(int(file.dataset.Columns), int(file.dataset.Rows)) for file in files]
    for file, size in zip(files, sizes, strict=True):
        if size != sizes[0]:
            raise InputError(
                f"{path}: {file.path.name} is {size[0]} x {size[1]} pixels, but {files[0].path.name} is "
                f"{sizes[0][0]} x {sizes[0][1]}"
            )


def _check_no_mosaic(path: Path, files: list[DicomFile]) -> None:
    """Raises InputError for a picture that holds all slices side by side, with one position for all of them."""
    for file in files:
        if "MOSAIC" in np.atleast_1d(np.array(file.dataset.get("ImageType") or [], dtype=str)):
            raise InputError(
                f"{path}: {file.path.name} is a mosaic of slices in one picture, whose places no standard attribute "
                "holds; convert it first, with dcm2niix for one"
            )


def _check_no_clip(path: Path, first: DicomFile, planes: list[Plane]) -> None:
    """Raises InputError for frames that are times or have no places: stacked, they would make a volume that is none."""
    positions = [plane.position_mm for plane in planes]
    if all(plane.file.frames == 1 for plane in planes) or several_orientations(planes):
        return
    modality = text(first.dataset, "Modality")
    if all(position is None for position in positions):
        what = "is a clip" if modality in _ULTRASOUND else "has no position of its frames, so it is no volume"
    elif max(np.abs(position - positions[0]).max() for position in positions if position is not None) < 1e-2:
        what = "holds frames of one plane"
    else:
        return
    raise InputError(
        f"{path}: {what}: {len(planes)} frames; follow motion in it with `track` or `register-sequence`, or export the "
        "two frames to register as images"
    )


def _one_spacing(
    path: Path, planes: list[Plane], sources: dict[Path, DicomFrames]
) -> tuple[Spacing | None, tuple[str, ...]]:
    """Returns the spacing (x, y) of all slices.

    Raises:
        InputError: slices whose spacings differ.
    """
    first = planes[0]
    spacing, notes = pixel_spacing(first.file.dataset, sources[first.file.path])
    stored = first.value("PixelSpacing", "PixelMeasuresSequence")
    for plane in planes[1:]:
        value = plane.value("PixelSpacing", "PixelMeasuresSequence")
        if (stored is None) != (value is None) or (stored is not None and not np.allclose(value, stored, rtol=1e-3)):
            raise InputError(
                f"{path}: the pixels of {plane.name} are {value} mm, but those of {first.name} {stored} mm"
            )
    return spacing, notes


def _depth(stack: SliceStack) -> tuple[float, tuple[str, ...]]:
    """Returns the spacing along the normal in mm, and notes: that of the positions, whatever the file says beside."""
    plane = stack.planes[0]
    between, thickness = (
        frame_value(plane.file.dataset, plane.index, name, "PixelMeasuresSequence")
        for name in ("SpacingBetweenSlices", "SliceThickness")
    )
    if stack.step_mm is None:
        for value in (thickness, between):
            if value is not None and float(value) > 0:
                return float(value), ()
        return 1.0, ("the thickness of the slice is unknown; it counts as 1 mm",)
    if between is not None and abs(float(between)) > 0 and abs(abs(float(between)) / stack.step_mm - 1) > 0.02:
        return stack.step_mm, (
            f"slices lie {stack.step_mm:.4g} mm apart by their positions, although SpacingBetweenSlices is "
            f"{abs(float(between)):.4g} mm",
        )
    return stack.step_mm, ()


def _compact(array: np.ndarray) -> np.ndarray:
    """Returns an array in a type that ITK knows: integers of up to 32 bits that hold its values, else float32."""
    if array.dtype.kind in "iu" and array.dtype.itemsize <= 4:
        return np.ascontiguousarray(array)
    if array.dtype.kind == "f" and np.all(array == np.rint(array)):
        low, high = float(array.min()), float(array.max())
        for kind in (np.int16, np.int32):
            if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
                return array.astype(kind)
    return array.astype(np.float32)
