"""Frame times, spacing, position and orientation of an ultrasound DICOM file.

Attributes: DICOM PS3.3 C.7.6.5 (Cine), C.8.5.5 (US Region Calibration), C.7.6.2 (Image Plane), C.7.6.16 (Functional
Groups).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.images.image_sequence import FrameSource
from UltrasoundMotionLib.images.readers.axes import calibrated_spacing
from UltrasoundMotionLib.images.readers.header_fields import increasing_times

if TYPE_CHECKING:
    import pydicom

_SLOWEST_HZ, _FASTEST_HZ = 0.01, 50_000.0
_TWO_DIMENSIONAL, _TISSUE, _CENTIMETRES = 1, 1, 3


def _number(dataset: pydicom.Dataset, name: str) -> float | None:
    try:
        value = dataset.get(name)
        return None if value in (None, "") else float(value)
    except (TypeError, ValueError):
        return None


def frame_times(dataset: pydicom.Dataset, frames: int) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Returns frame times (T,) in seconds from the first frame, or None if the file has no usable ones, and notes.

    From the first usable attribute of FrameTimeVector, FrameTime (both in ms), CineRate, RecommendedDisplayFrameRate
    (both in frames per second). A time of zero, a repeated time or an impossible rate is not used, and noted.
    """
    notes: list[str] = []
    if frames < 2:
        return None, ()
    vector = dataset.get("FrameTimeVector")
    if vector not in (None, ""):
        steps = np.atleast_1d(np.array(vector, dtype=np.float64))
        if len(steps) in (frames, frames - 1):
            times, vector_notes = increasing_times(
                np.concatenate([[0.0], np.cumsum(steps[len(steps) - frames + 1 :])]) / 1000.0, "FrameTimeVector"
            )
            if times is not None:
                return times, ()
            notes += vector_notes
        else:
            notes.append(f"FrameTimeVector has {len(steps)} values for {frames} frames, so it was not used")
    for name, unit in (("FrameTime", "ms"), ("CineRate", "Hz"), ("RecommendedDisplayFrameRate", "Hz")):
        value = _number(dataset, name)
        if value is None:
            continue
        rate = (1000.0 / value if value else 0.0) if unit == "ms" else value
        if _SLOWEST_HZ <= rate <= _FASTEST_HZ:
            if notes:
                notes.append(f"frame rate {rate:.4g} Hz taken from {name}")
            return np.arange(frames) / rate, tuple(notes)
        notes.append(f"frame rate unknown from {name}: it is {value:g} {unit}")
    return None, (*notes, "frame rate unknown: give it if it is known")


def orientation(dataset: pydicom.Dataset) -> tuple[tuple[float, float, float], np.ndarray, tuple[str, ...]]:
    """Returns origin (LPS mm), direction (3, 3) and notes from ImagePositionPatient and ImageOrientationPatient.

    The direction is the identity if absent or not orthonormal.
    """
    cosines = _nested(dataset, "ImageOrientationPatient", "PlaneOrientationSequence")
    position = _nested(dataset, "ImagePositionPatient", "PlanePositionSequence")
    origin = (0.0, 0.0, 0.0)
    if position is not None and len(position) == 3:
        origin = (float(position[0]), float(position[1]), float(position[2]))
    if cosines is None or len(cosines) != 6:
        return origin, np.eye(3), ()
    x, y = np.array(cosines[:3], dtype=np.float64), np.array(cosines[3:], dtype=np.float64)
    if abs(np.linalg.norm(x) - 1) > 1e-3 or abs(np.linalg.norm(y) - 1) > 1e-3 or abs(x @ y) > 1e-3:
        return (
            origin,
            np.eye(3),
            (f"orientation unknown: ImageOrientationPatient {list(map(float, cosines))} is not orthonormal",),
        )
    x /= np.linalg.norm(x)
    y -= x * (x @ y)
    y /= np.linalg.norm(y)
    return origin, np.column_stack([x, y, np.cross(x, y)]), ()


def _nested(dataset: pydicom.Dataset, name: str, sequence: str) -> Sequence | None:
    """Returns an attribute of the file, or of its functional groups (shared, else those of the first frame)."""
    if dataset.get(name) not in (None, ""):
        return dataset.get(name)
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in list(dataset.get(groups) or [])[:1]:
            for item in list(group.get(sequence) or [])[:1]:
                if item.get(name) not in (None, ""):
                    return item.get(name)
    return None


def pixel_spacing(dataset: pydicom.Dataset, frames: FrameSource) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """Returns the spacing (x, y) in mm, or None if the file has none or contradicts itself, and notes.

    From the two-dimensional tissue regions of SequenceOfUltrasoundRegions in cm, else PixelSpacing,
    NominalScannedPixelSpacing or ImagerPixelSpacing. Regions that extend beyond the stored frames were calibrated
    before the frames were reduced; `_reduction` finds by how much.
    """
    regions = [region for region in dataset.get("SequenceOfUltrasoundRegions") or [] if _is_tissue(region)]
    if regions:
        return _region_spacing(regions, frames)
    for name in ("PixelSpacing", "NominalScannedPixelSpacing", "ImagerPixelSpacing"):
        values = _nested(dataset, name, "PixelMeasuresSequence")
        if values is not None and len(values) == 2 and min(map(float, values)) > 0:
            return calibrated_spacing((float(values[1]), float(values[0])), None)
    return None, (
        "spacing unknown: the file has no calibrated region and no pixel spacing (give the spacing if it is known)",
    )


def _is_tissue(region: pydicom.Dataset) -> bool:
    units = (region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection"))
    deltas = (_number(region, "PhysicalDeltaX"), _number(region, "PhysicalDeltaY"))
    return (
        region.get("RegionSpatialFormat") == _TWO_DIMENSIONAL
        and region.get("RegionDataType") == _TISSUE
        and units == (_CENTIMETRES, _CENTIMETRES)
        and all(delta is not None and np.isfinite(delta) and delta != 0 for delta in deltas)
    )


def _region_spacing(
    regions: list[pydicom.Dataset], frames: FrameSource
) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    # a negative step means that the physical axis has the opposite direction
    spacings = np.abs([[region.PhysicalDeltaX, region.PhysicalDeltaY] for region in regions]) * 10.0
    if not np.allclose(spacings, spacings[0], rtol=0.01):
        listed = ", ".join(f"{x:.4g} x {y:.4g}" for x, y in spacings)
        return None, (
            f"spacing unknown: the calibrated regions differ ({listed} mm); give the spacing of the region you follow",
        )
    _, height, width = frames.shape
    bounds = np.array(
        [
            [region.get(f"RegionLocation{corner}") or 0 for corner in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
            for region in regions
        ]
    )
    box = np.concatenate([bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)]).astype(np.float64)
    spacing = (float(spacings[0, 0]), float(spacings[0, 1]))
    if box[2] <= width and box[3] <= height:  # some scanners store the first pixel beyond
        return spacing, ()
    extent = (
        f"the calibrated region reaches to pixel ({box[2]:.0f}, {box[3]:.0f}) "
        f"but the stored frames are {width} x {height}"
    )
    scale = _reduction(box, frames)
    if scale is None:
        unknown = f"spacing unknown: {extent}, and no single scale fits it to the moving image"
        return None, (f"{unknown} (give the spacing if it is known)",)
    scaled = (spacing[0] * scale, spacing[1] * scale)
    return scaled, (
        f"spacing scaled by {scale:g} to {scaled[0]:.4g} x {scaled[1]:.4g} mm: {extent}, so it was measured before the "
        f"frames were reduced from {width * scale:g} x {height * scale:g}",
    )


_REDUCTIONS = (1.25, 1.28, 4 / 3, 1.5, 1.6, 5 / 3, 1.75, 1.875, 2.0, 2.4, 2.5, 8 / 3, 3.0, 3.2, 4.0, 5.0, 6.0)


def _reduction(box: np.ndarray, frames: FrameSource) -> float | None:
    """Returns the factor by which frames were reduced after their region (x0, y0, x1, y1) was calibrated, or None.

    Tries the usual factors, the same for both axes, that bring the region into the stored frame. A factor fits if the
    four sides agree, within 5 % of the region's size, with the extent of the pixels that change over time; the best is
    returned. A crop, or different factors for x and y, fits none.
    """
    count, height, width = frames.shape
    moving = _moving_pixels(frames)
    if count < 2 or not moving.any():
        return None
    columns, rows = np.flatnonzero(moving.any(axis=0)), np.flatnonzero(moving.any(axis=1))
    extent = np.array([columns[0], rows[0], columns[-1], rows[-1]])
    fits = []
    for scale in _REDUCTIONS:
        reduced = box / scale
        if reduced[2] <= width and reduced[3] <= height:
            off = np.abs(reduced - extent) / np.tile(reduced[2:] - reduced[:2], 2)
            if off.max() < 0.05:
                fits.append((off.mean(), scale))
    return min(fits)[1] if fits else None


def _moving_pixels(frames: FrameSource, samples: int = 8) -> np.ndarray:
    """Finds pixels that change by more than compression noise in a few frames spread over the clip; (H, W) bool."""
    stack = np.stack(
        [
            np.asarray(frames[index], dtype=np.float32)
            for index in np.unique(np.linspace(0, frames.shape[0] - 1, samples).astype(int))
        ]
    )
    span = np.ptp(stack, axis=0)
    return span > max(4.0, 0.03 * float(stack.max() - stack.min()))
