"""Figures of a registered pair: both images, the warped moving image, differences before and after, warped grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.pictures.frame_overlay import BACKGROUND
from UltrasoundMotionLib.pictures.label_colors import label_colors
from UltrasoundMotionLib.pictures.picture_check import check_picture
from UltrasoundMotionLib.pictures.plot_packages import plain_text, require_plot_packages

if TYPE_CHECKING:
    import SimpleITK as sitk
    from matplotlib.axes import Axes

    from UltrasoundMotionLib.fields.displacement_field import DisplacementField
    from UltrasoundMotionLib.registration.registration import Registration

_COLUMNS = ("fixed", "moving", "moving, warped", "difference before", "difference after", "warped grid")
_WIDTH_INCH, _CAPTION_INCH, _GAP_INCH = 15.6, 0.32, 0.05
_GRID_LINES = 18
_GRID_COLOR = "#5ad1ff"
_GREY_PERCENTILES = (0.5, 99.5)
_PLANES = (("axial", 0), ("coronal", 1), ("sagittal", 2))
_LARGEST_ASPECT = 3.0


@dataclass(frozen=True)
class _DisplayPlane:
    """One displayed slice, rows downwards: arrays (h, w), coordinates of the moving grid (2, h, w)."""

    name: str
    fixed: np.ndarray
    moving: np.ndarray
    warped: np.ndarray
    coordinates: np.ndarray
    labels: tuple[np.ndarray, np.ndarray] | None
    colors: dict[int, np.ndarray]
    pixel_mm: tuple[float, float]

    @property
    def size_mm(self) -> tuple[float, float]:
        """The width and height."""
        return self.fixed.shape[1] * self.pixel_mm[0], self.fixed.shape[0] * self.pixel_mm[1]


@plain_text
def write_registration_picture(
    path: str | Path, fixed: Volume, moving: Volume, registration: Registration, *, fixed_labels: Volume | None = None
) -> None:
    """Writes a PNG of a 2D pair, or of the axial, coronal and sagittal slices through the middle of a volume.

    The patient's left is on the right. The grid is that of the moving image, deformed by the displacement, on the
    warped image. Differences are of intensities, each image scaled to [0, 1]. Outlines are the fixed labels (solid) and
    the warped moving labels (dashed).

    Raises:
        MissingPackageError: the extra `plot` is not installed.
        OutputError: the file cannot be written.
    """
    require_plot_packages("the registration picture")
    from matplotlib.figure import Figure

    planes = _planes(fixed, moving, registration, fixed_labels)
    rows = (
        [(planes[0], _COLUMNS[:3]), (planes[0], _COLUMNS[3:])]
        if len(planes) == 1
        else [(plane, _COLUMNS) for plane in planes]
    )
    panel_width = _WIDTH_INCH / len(rows[0][1])
    inch = panel_width / max(plane.size_mm[0] for plane in planes)
    heights = [max(plane.size_mm[1] * inch, panel_width / _LARGEST_ASPECT) for plane, _ in rows]
    captions = [_CAPTION_INCH if number == 0 or len(planes) == 1 else 0.0 for number in range(len(rows))]
    width = _WIDTH_INCH + _GAP_INCH * (len(rows[0][1]) + 1)
    height = _CAPTION_INCH + sum(heights) + sum(captions) + len(rows) * _GAP_INCH
    figure = Figure(figsize=(width, height), facecolor=BACKGROUND)
    style: dict[str, Any] = {"color": "white", "va": "center"}
    title = _title(fixed, moving, registration)
    figure.text(2 * _GAP_INCH / width, 1 - _CAPTION_INCH / 2 / height, title, fontsize=11, ha="left", **style)
    top = height - _CAPTION_INCH
    for (plane, names), panel_height, caption in zip(rows, heights, captions, strict=True):
        top -= caption + panel_height
        for number, name in enumerate(names):
            left = _GAP_INCH + number * (panel_width + _GAP_INCH)
            axes = figure.add_axes((left / width, top / height, panel_width / width, panel_height / height))
            axes.set_axis_off()
            _draw(axes, plane, _COLUMNS.index(name))
            if caption:
                x, y = (left + panel_width / 2) / width, (top + panel_height + caption / 2) / height
                figure.text(x, y, name, fontsize=10, ha="center", **style)
        top -= _GAP_INCH
    with atomic_output(path, read_back=check_picture) as temporary:
        figure.savefig(temporary, format="png", dpi=130, facecolor=BACKGROUND)


def _title(fixed: Volume, moving: Volume, registration: Registration) -> str:
    measures = registration.measures
    text = f"{moving.name} onto {fixed.name}, {registration.method}: "
    text += f"local correlation {measures.lncc_before:.2f} to {measures.lncc:.2f}"
    scores = [
        (one.dice_before, one.dice)
        for one in measures.labels.values()
        if np.isfinite(one.dice_before) and np.isfinite(one.dice)
    ]
    return text + ("" if not scores else ", Dice {:.3f} to {:.3f}".format(*np.mean(scores, axis=0)))


def _draw(axes: Axes, plane: _DisplayPlane, column: int) -> None:
    aspect = plane.pixel_mm[1] / plane.pixel_mm[0]
    if column in (3, 4):
        other = plane.moving if column == 3 else plane.warped
        axes.imshow(other - plane.fixed, cmap="RdBu_r", vmin=-0.6, vmax=0.6, aspect=aspect, interpolation="nearest")
        return
    image = {0: plane.fixed, 1: plane.moving, 2: plane.warped, 5: plane.warped * 0.75}[column]
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, aspect=aspect, interpolation="nearest")
    if column == 5:
        for coordinate, pixel in zip(plane.coordinates, plane.pixel_mm, strict=True):
            step = max(plane.size_mm) / _GRID_LINES / pixel
            levels = np.arange(np.floor(coordinate.min() / step), np.ceil(coordinate.max() / step) + 1) * step
            if min(coordinate.shape) > 1:
                axes.contour(coordinate, levels=levels, colors=_GRID_COLOR, linewidths=0.6)
    elif plane.labels is not None and column in (0, 2):
        for labels, line in zip(plane.labels if column == 2 else plane.labels[:1], ("solid", "dashed"), strict=False):
            for value, color in plane.colors.items():
                if (labels == value).any() and min(labels.shape) > 1:
                    axes.contour(labels == value, levels=[0.5], colors=[color], linewidths=1.0, linestyles=line)


def _planes(
    fixed: Volume, moving: Volume, registration: Registration, fixed_labels: Volume | None
) -> list[_DisplayPlane]:
    from UltrasoundMotionLib.fields.displacement_field import DisplacementField
    from UltrasoundMotionLib.fields.image_grid import ImageGrid

    field = registration.displacement
    unmoved = DisplacementField.zero(ImageGrid.of(fixed)).warp(moving, outside_value=float(moving.array.min()))
    images = [_upright(volume.to_sitk()) for volume in (fixed, unmoved, registration.warped)]
    arrays = [_array(image) for image in images]
    scales = [_range(arrays[0]), _range(arrays[2]), _range(arrays[2])]
    fixed_image, unmoved_image, warped_image = (
        np.clip((array - low) / (high - low), 0, 1) for array, (low, high) in zip(arrays, scales, strict=True)
    )
    upright = DisplacementField.from_sitk(_upright(field.to_sitk()))
    coordinates = _moving_coordinates(upright)
    maps = None
    if fixed_labels is not None and registration.warped_labels is not None:
        maps = (_label_array(fixed_labels), _label_array(registration.warped_labels))
    values = [] if maps is None else [int(value) for value in np.unique(maps) if value > 0]
    # the ends of the scale are too dark
    colors = dict(zip(values, label_colors(len(values) + 2)[1:-1], strict=True))
    spacing = upright.grid.spacing_mm
    if fixed.array.ndim == 2:
        pixel = (spacing[0], spacing[1])
        return [_DisplayPlane("", fixed_image, unmoved_image, warped_image, coordinates, maps, colors, pixel)]
    planes = []
    for name, axis in _PLANES:
        across, down = ((0, 1), (0, 2), (1, 2))[axis]  # of (x, y, z)
        middle = _middle(fixed_image, maps, axis)

        def cut(array: np.ndarray, axis: int = axis, middle: int = middle) -> np.ndarray:
            plane = np.take(array, middle, axis=axis)
            return plane if axis == 0 else plane[::-1]  # the patient's head at the top

        both = np.stack([cut(coordinates[across]), cut(coordinates[down])])
        label_planes = None if maps is None else (cut(maps[0]), cut(maps[1]))
        pixel = (spacing[across], spacing[down])
        planes.append(
            _DisplayPlane(
                name, cut(fixed_image), cut(unmoved_image), cut(warped_image), both, label_planes, colors, pixel
            )
        )
    return planes


def _moving_coordinates(field: DisplacementField) -> np.ndarray:
    """Returns x + u(x) in voxels of the fixed grid, (n, *spatial), components (x, y[, z])."""
    from UltrasoundMotionLib.fields.warping import voxel_coordinates

    return voxel_coordinates(field.to_voxels())[0].numpy()


def _middle(image: np.ndarray, maps: tuple[np.ndarray, np.ndarray] | None, axis: int) -> int:
    """Returns the slice through the centre of the labels, else of the image."""
    if maps is None or not (maps[0] > 0).any():
        return image.shape[axis] // 2
    return int(np.median(np.nonzero(maps[0] > 0)[axis]))


def _upright(image: sitk.Image) -> sitk.Image:
    """Reorders a volume's axes to the nearest of LPS; a 2D image is unchanged."""
    import SimpleITK as sitk

    return sitk.DICOMOrient(image, "LPS") if image.GetDimension() == 3 else image


def _array(image: sitk.Image) -> np.ndarray:
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(image).astype(np.float32)


def _label_array(labels: Volume) -> np.ndarray:
    whole = Volume(labels.array.astype(np.int32), labels.spacing_mm, labels.origin_mm, labels.direction, labels.name)
    return _array(_upright(whole.to_sitk()))


def _range(array: np.ndarray) -> tuple[float, float]:
    low, high = (float(value) for value in np.percentile(array, _GREY_PERCENTILES))
    return low, high if high > low else low + 1.0
