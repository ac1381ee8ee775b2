"""Size of a pixel in a DICOM file.

Attributes: DICOM PS3.3 C.8.5.5 (US Region Calibration), C.10.7 (Basic Pixel Spacing Calibration), C.7.6.2 (Image
Plane), C.7.6.16 (Functional Groups).
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import FrameSource
from UltrasoundMotionLib.images.readers.axes import calibrated_spacing
from UltrasoundMotionLib.images.readers.dicom.functional_groups import frame_value, number

if TYPE_CHECKING:
    import pydicom

Spacing = tuple[float, float]
_TWO_DIMENSIONAL, _CENTIMETRES = 1, 3
_TISSUE, _COLOUR_FLOW, _BACKSCATTER = 1, 2, 0xF
_IMAGE_DATA = (_TISSUE, _COLOUR_FLOW, _BACKSCATTER)
_UNITS = {0: "no unit", 1: "percent", 2: "dB", 3: "cm", 4: "seconds", 5: "Hz"}
_SAME = 0.01  # relative difference of two spacings that are one


def pixel_spacing(dataset: pydicom.Dataset, frames: FrameSource) -> tuple[Spacing | None, tuple[str, ...]]:
    """Returns the spacing (x, y) in mm, or None if the file has none or contradicts itself, and notes.

    From the two-dimensional image regions (tissue, colour flow) of SequenceOfUltrasoundRegions in cm, else
    PixelSpacing, NominalScannedPixelSpacing or ImagerPixelSpacing. Regions that extend beyond the stored frames were
    calibrated before the frames were reduced: a PixelSpacing that fits says by how much, else `_reduction` finds it.
    """
    stored, name = _stored_spacing(dataset)
    items = list(dataset.get("SequenceOfUltrasoundRegions") or [])
    regions = [region for region in items if _is_image(region)]
    if regions:
        spacing, notes = _region_spacing(regions, frames, stored)
        return _compared(spacing, notes, stored, name)
    if stored is not None:
        oriented = frame_value(dataset, 0, "ImageOrientationPatient", "PlaneOrientationSequence") is not None
        return (stored, ()) if oriented else calibrated_spacing(stored, None)
    return None, (
        f"spacing unknown: the file has no calibrated region{_why(items)} and no pixel spacing (give the spacing if it "
        "is known)",
        *_aspect_note(dataset),
    )


def _stored_spacing(dataset: pydicom.Dataset) -> tuple[Spacing | None, str]:
    for name in ("PixelSpacing", "NominalScannedPixelSpacing", "ImagerPixelSpacing"):
        values = frame_value(dataset, 0, name, "PixelMeasuresSequence")
        if values is not None and not isinstance(values, str) and len(values) == 2 and min(map(float, values)) > 0:
            return (float(values[1]), float(values[0])), name
    return None, ""


def _why(items: list[pydicom.Dataset]) -> str:
    """Says why no region of a file gives the size of a pixel."""
    for region in items:
        if region.get("RegionSpatialFormat") == _TWO_DIMENSIONAL and region.get("RegionDataType") in _IMAGE_DATA:
            units = [region.get(f"PhysicalUnits{axis}Direction") for axis in "XY"]
            if units != [_CENTIMETRES, _CENTIMETRES]:
                return f" in cm (its units are {' and '.join(_UNITS.get(unit, f'code {unit}') for unit in units)})"
            return f" (its step is {region.get('PhysicalDeltaX')} x {region.get('PhysicalDeltaY')} cm)"
    return " of tissue or colour flow" if items else ""


def _aspect_note(dataset: pydicom.Dataset) -> tuple[str, ...]:
    ratio = dataset.get("PixelAspectRatio")
    if ratio in (None, "") or isinstance(ratio, str) or len(ratio) != 2:
        return ()
    vertical, horizontal = (float(part) for part in ratio)
    if min(vertical, horizontal) <= 0 or abs(vertical / horizontal - 1) < 1e-3:
        return ()
    return (
        f"its pixels are not square (PixelAspectRatio {vertical:g} high to {horizontal:g} wide), so a length in pixels "
        "depends on its direction",
    )


def _is_image(region: pydicom.Dataset) -> bool:
    units = (region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection"))
    deltas = (number(region, "PhysicalDeltaX"), number(region, "PhysicalDeltaY"))
    return (
        region.get("RegionSpatialFormat") == _TWO_DIMENSIONAL
        and region.get("RegionDataType") in _IMAGE_DATA
        and units == (_CENTIMETRES, _CENTIMETRES)
        and all(delta is not None and delta != 0 for delta in deltas)
    )


def _compared(
    spacing: Spacing | None, notes: tuple[str, ...], stored: Spacing | None, name: str
) -> tuple[Spacing | None, tuple[str, ...]]:
    """Returns the spacing of the regions, or None if the spacing that the file also states is another."""
    if spacing is None or stored is None or np.allclose(spacing, stored, rtol=_SAME) or stored == (1.0, 1.0):
        return spacing, notes
    return None, (
        f"spacing unknown: the calibrated region says {spacing[0]:.4g} x {spacing[1]:.4g} mm, but {name} "
        f"{stored[0]:.4g} x {stored[1]:.4g} mm (give the spacing if it is known)",
    )


def _region_spacing(
    regions: list[pydicom.Dataset], frames: FrameSource, stored: Spacing | None
) -> tuple[Spacing | None, tuple[str, ...]]:
    # a negative step means that the physical axis has the opposite direction
    spacings = np.abs([[region.PhysicalDeltaX, region.PhysicalDeltaY] for region in regions]) * 10.0
    if not np.allclose(spacings, spacings[0], rtol=_SAME):
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
    # centimetres become millimetres without rounding noise in the last digit
    spacing = (float(f"{spacings[0, 0]:.14g}"), float(f"{spacings[0, 1]:.14g}"))
    if box[2] <= width and box[3] <= height:  # some scanners store the first pixel beyond
        return spacing, _doubt(box, frames)
    extent = (
        f"the calibrated region reaches to pixel ({box[2]:.0f}, {box[3]:.0f}) "
        f"but the stored frames are {width} x {height}"
    )
    scale = _stated_reduction(box, frames, spacing, stored) or _reduction(box, frames)
    if scale is None:
        unknown = f"spacing unknown: {extent}, and no single scale fits it to the moving image"
        return None, (f"{unknown} (give the spacing if it is known)",)
    scaled = (spacing[0] * scale, spacing[1] * scale)
    return scaled, (
        f"spacing scaled by {scale:g} to {scaled[0]:.4g} x {scaled[1]:.4g} mm: {extent}, so it was measured before the "
        f"frames were reduced from {width * scale:g} x {height * scale:g}",
    )


_REDUCTIONS = (1.25, 1.28, 4 / 3, 1.5, 1.6, 5 / 3, 1.75, 1.875, 2.0, 2.4, 2.5, 8 / 3, 3.0, 3.2, 4.0, 5.0, 6.0)


def _stated_reduction(box: np.ndarray, frames: FrameSource, spacing: Spacing, stored: Spacing | None) -> float | None:
    """Returns the factor by which frames were reduced if PixelSpacing tells it and brings the region into the frame."""
    if stored is None:
        return None
    factors = np.array(stored) / spacing
    scale = float(factors.mean())
    _, height, width = frames.shape
    fits = box[2] / scale <= width and box[3] / scale <= height
    return float(f"{scale:.4g}") if np.allclose(factors, scale, rtol=_SAME) and scale > 1 and fits else None


def _reduction(box: np.ndarray, frames: FrameSource) -> float | None:
    """Returns the factor by which frames were reduced after their region (x0, y0, x1, y1) was calibrated, or None.

    Tries the usual factors, the same for both axes, that bring the region into the stored frame. A factor fits if the
    four sides agree, within 5 % of the region's size, with the extent of the pixels that change over time; the best is
    returned. A crop, or different factors for x and y, fits none.
    """
    _, height, width = frames.shape
    fits = [
        (mean, scale)
        for scale, (largest, mean) in _misfits(box, frames, _REDUCTIONS).items()
        if box[2] / scale <= width and box[3] / scale <= height and largest < 0.05
    ]
    return min(fits)[1] if fits else None


def _doubt(box: np.ndarray, frames: FrameSource) -> tuple[str, ...]:
    """Returns a note if the moving image fills a reduced copy of the region rather than the region itself."""
    misfits = {scale: largest for scale, (largest, _) in _misfits(box, frames, (1.0, *_REDUCTIONS)).items()}
    if not misfits or misfits[1.0] < 0.15:
        return ()
    scale = min(_REDUCTIONS, key=misfits.__getitem__)
    # a region that begins at the corner of the frame shows a reduction by two of its sides only: no evidence
    if misfits[scale] >= 0.03 or box[:2].max() <= 0.05 * (box[2:] - box[:2]).min():
        return ()
    return (
        f"spacing doubtful: the moving image fills what the calibrated region would be after a reduction by {scale:g}; "
        "check the spacing with a ruler in the image",
    )


def _misfits(box: np.ndarray, frames: FrameSource, scales: tuple[float, ...]) -> dict[float, tuple[float, float]]:
    """Returns for each scale how far the sides of the reduced region are from the moving pixels: largest and mean.

    As a share of the region's size; empty if nothing moves.
    """
    moving = _moving_pixels(frames) if frames.shape[0] > 1 else np.zeros(frames.shape[1:], dtype=bool)
    if not moving.any():
        return {}
    columns, rows = np.flatnonzero(moving.any(axis=0)), np.flatnonzero(moving.any(axis=1))
    extent = np.array([columns[0], rows[0], columns[-1], rows[-1]])
    found = {}
    for scale in scales:
        off = np.abs(box / scale - extent) / np.tile((box[2:] - box[:2]) / scale, 2)
        found[scale] = float(off.max()), float(off.mean())
    return found


def _moving_pixels(frames: FrameSource, samples: int = 8) -> np.ndarray:
    """Finds pixels that change by more than compression noise in a few frames spread over the clip; (H, W) bool."""
    read = []
    for index in np.unique(np.linspace(0, frames.shape[0] - 1, samples).astype(int)):
        with suppress(InputError):  # a damaged frame is reported when it is read
            read.append(np.asarray(frames[index], dtype=np.float32))
    if not read:
        return np.zeros(frames.shape[1:], dtype=bool)
    stack = np.stack(read)
    span = np.ptp(stack, axis=0)
    return span > max(4.0, 0.03 * float(stack.max() - stack.min()))
