"""A registered pair at one glance: both images, the moving one warped, what differs before and after, and the warped
grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.pictures.frame_overlay import BACKGROUND
from UltrasoundMotionLib.pictures.label_colors import label_colors
from UltrasoundMotionLib.pictures.plot_packages import require_plot_packages

if TYPE_CHECKING:
    import SimpleITK as sitk
    from matplotlib.axes import Axes

    from UltrasoundMotionLib.fields import DisplacementField
    from UltrasoundMotionLib.registration import Registration

COLUMNS = ("fixed", "moving", "moving, warped", "difference before", "difference after", "warped grid")
WIDTH_INCH, CAPTION_INCH, GAP_INCH = 15.6, 0.32, 0.05
GRID_LINES = 18
GRID_COLOR = "#5ad1ff"
GREY_PERCENTILES = (0.5, 99.5)
PLANES = (("axial", 0), ("coronal", 1), ("sagittal", 2))
MOST_ELONGATED = 3.0


@dataclass(frozen=True)
class _Plane:
    """One slice of everything, rows downwards as shown: arrays (h, w), coordinates of the moving grid (2, h, w)."""

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
        """Width and height."""
        return self.fixed.shape[1] * self.pixel_mm[0], self.fixed.shape[0] * self.pixel_mm[1]


def write_registration_picture(
    path: str | Path, fixed: Volume, moving: Volume, registration: Registration, *, fixed_labels: Volume | None = None
) -> None:
    """Writes a PNG: one slice of a 2D pair; of a volume an axial, a coronal and a sagittal one through its middle, the
    patient's left on the right.

    The grid is the moving image's own, drawn where the displacement carries it, on the warped image. Differences are of
    intensities, each image scaled to [0, 1]. Outlines are the fixed labels (solid) and the carried moving labels
    (dashed).

    Raises:
        MissingPackageError: the extra `plot` is not installed.
        OutputError: the file cannot be written.
    """
    require_plot_packages("the registration picture")
    from matplotlib.figure import Figure

    planes = _planes(fixed, moving, registration, fixed_labels)
    rows = (
        [(planes[0], COLUMNS[:3]), (planes[0], COLUMNS[3:])]
        if len(planes) == 1
        else [(plane, COLUMNS) for plane in planes]
    )
    panel_width = WIDTH_INCH / len(rows[0][1])
    inch = panel_width / max(plane.size_mm[0] for plane in planes)
    heights = [max(plane.size_mm[1] * inch, panel_width / MOST_ELONGATED) for plane, _ in rows]
    captions = [CAPTION_INCH if number == 0 or len(planes) == 1 else 0.0 for number in range(len(rows))]
    width = WIDTH_INCH + GAP_INCH * (len(rows[0][1]) + 1)
    height = CAPTION_INCH + sum(heights) + sum(captions) + len(rows) * GAP_INCH
    figure = Figure(figsize=(width, height), facecolor=BACKGROUND)
    style = {"color": "white", "va": "center"}
    figure.text(
        2 * GAP_INCH / width,
        1 - CAPTION_INCH / 2 / height,
        _title(fixed, moving, registration),
        fontsize=11,
        ha="left",
        **style,
    )
    top = height - CAPTION_INCH
    for (plane, names), panel_height, caption in zip(rows, heights, captions, strict=True):
        top -= caption + panel_height
        for number, name in enumerate(names):
            left = GAP_INCH + number * (panel_width + GAP_INCH)
            axes = figure.add_axes((left / width, top / height, panel_width / width, panel_height / height))
            axes.set_axis_off()
            _draw(axes, plane, COLUMNS.index(name))
            if caption:
                place = ((left + panel_width / 2) / width, (top + panel_height + caption / 2) / height)
                figure.text(*place, name, fontsize=10, ha="center", **style)
        top -= GAP_INCH
    with atomic_output(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130, facecolor=BACKGROUND)


def _title(fixed: Volume, moving: Volume, registration: Registration) -> str:
    measures = registration.measures
    text = f"{moving.name} onto {fixed.name}, {registration.method}: local correlation {measures.lncc_before:.2f} to {measures.lncc:.2f}"
    scores = [
        (one.dice_before, one.dice)
        for one in measures.labels.values()
        if np.isfinite(one.dice_before) and np.isfinite(one.dice)
    ]
    return text + ("" if not scores else ", Dice {:.3f} to {:.3f}".format(*np.mean(scores, axis=0)))


def _draw(axes: Axes, plane: _Plane, column: int) -> None:
    aspect = plane.pixel_mm[1] / plane.pixel_mm[0]
    if column in (3, 4):
        other = plane.moving if column == 3 else plane.warped
        axes.imshow(other - plane.fixed, cmap="RdBu_r", vmin=-0.6, vmax=0.6, aspect=aspect, interpolation="nearest")
        return
    image = (plane.fixed, plane.moving, plane.warped, None, None, plane.warped * 0.75)[column]
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, aspect=aspect, interpolation="nearest")
    if column == 5:
        for coordinate, pixel in zip(plane.coordinates, plane.pixel_mm, strict=True):
            step = (
                max(size * mm for size, mm in zip(plane.fixed.shape[::-1], plane.pixel_mm, strict=True))
                / GRID_LINES
                / pixel
            )
            levels = np.arange(np.floor(coordinate.min() / step), np.ceil(coordinate.max() / step) + 1) * step
            if min(coordinate.shape) > 1:
                axes.contour(coordinate, levels=levels, colors=GRID_COLOR, linewidths=0.6)
    elif plane.labels is not None and column in (0, 2):
        for labels, line in zip(plane.labels if column == 2 else plane.labels[:1], ("solid", "dashed"), strict=False):
            for value, color in plane.colors.items():
                if (labels == value).any() and min(labels.shape) > 1:
                    axes.contour(labels == value, levels=[0.5], colors=[color], linewidths=1.0, linestyles=line)


def _planes(fixed: Volume, moving: Volume, registration: Registration, fixed_labels: Volume | None) -> list[_Plane]:
    from UltrasoundMotionLib.fields import DisplacementField, ImageGrid

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
        maps = tuple(
            _array(_upright(_whole(volume).to_sitk())) for volume in (fixed_labels, registration.warped_labels)
        )
    values = [] if maps is None else [int(value) for value in np.unique(maps) if value > 0]
    # the two ends of the scale are too dark to see
    colors = dict(zip(values, label_colors(len(values) + 2)[1:-1], strict=True))
    spacing = upright.grid.spacing_mm
    if fixed.array.ndim == 2:
        return [_Plane("", fixed_image, unmoved_image, warped_image, coordinates, maps, colors, spacing)]
    planes = []
    for name, axis in PLANES:
        across, down = ((0, 1), (0, 2), (1, 2))[axis]  # of (x, y, z)
        middle = _middle(fixed_image, maps, axis)

        def cut(array: np.ndarray, axis: int = axis, middle: int = middle) -> np.ndarray:
            plane = np.take(array, middle, axis=axis)
            return plane if axis == 0 else plane[::-1]  # the patient's head at the top

        both = np.stack([cut(coordinates[across]), cut(coordinates[down])])
        label_planes = None if maps is None else tuple(cut(one) for one in maps)
        pixel = (spacing[across], spacing[down])
        planes.append(
            _Plane(name, cut(fixed_image), cut(unmoved_image), cut(warped_image), both, label_planes, colors, pixel)
        )
    return planes


def _moving_coordinates(field: DisplacementField) -> np.ndarray:
    """(n, *spatial): x + u(x) in voxels of the fixed grid, (x, y[, z])."""
    from UltrasoundMotionLib.fields import voxel_coordinates

    return voxel_coordinates(field.to_voxels())[0].numpy()


def _middle(image: np.ndarray, maps: tuple[np.ndarray, np.ndarray] | None, axis: int) -> int:
    """The slice through the centre of the labels, or else of the image."""
    if maps is None or not (maps[0] > 0).any():
        return image.shape[axis] // 2
    return int(np.median(np.nonzero(maps[0] > 0)[axis]))


def _upright(image: sitk.Image) -> sitk.Image:
    """A volume's axes along the patient's (x to the left, y to the back, z to the head) as nearly as voxels allow; a 2D
    image as it is.
    """
    import SimpleITK as sitk

    return sitk.DICOMOrient(image, "LPS") if image.GetDimension() == 3 else image


def _array(image: sitk.Image) -> np.ndarray:
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(image).astype(np.float32)


def _whole(labels: Volume) -> Volume:
    return Volume(labels.array.astype(np.int32), labels.spacing_mm, labels.origin_mm, labels.direction, labels.name)


def _range(array: np.ndarray) -> tuple[float, float]:
    low, high = (float(value) for value in np.percentile(array, GREY_PERCENTILES))
    return low, high if high > low else low + 1.0
