"""The Jacobian determinant of a displacement as a coloured volume: blue shrinks, white keeps, red grows."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.mrml.volume_nodes import fill_volume
from UltrasoundMotionLib.steps import Steps, run_steps

_JACOBIAN_COLORS = "Jacobian (blue shrinks, white keeps, red grows)"
_COLOR_COUNT = 255
_MAPPING = "mapping where tissue grows or shrinks"
_JACOBIAN_RANGE = (0.0, 2.0)


def jacobian_map(displacement_mm: np.ndarray, image: Volume) -> Volume:
    """`mapping_jacobian` at once."""
    return run_steps(mapping_jacobian(displacement_mm, image))


def mapping_jacobian(displacement_mm: np.ndarray, image: Volume) -> Steps[Volume]:
    """Returns det(I + grad u) at every voxel, float32, by central differences (one-sided at the border).

    It equals `fields.jacobian_determinant`, without torch, which takes seconds to load into the application.

    Args:
        displacement_mm: (H, W, 2) or (D, H, W, 3) in LPS mm on the grid of the image, components (x, y[, z]).
        image: the image on whose grid the displacement lies.

    Raises:
        InputError: the displacement has another shape.
    """
    dimension = image.array.ndim
    if displacement_mm.shape != (*image.array.shape, dimension):
        raise InputError(
            f"{image.name}: a displacement on this grid is {(*image.array.shape, dimension)},"
            f" got {displacement_mm.shape}"
        )
    yield 0, 1, _MAPPING
    voxels = (displacement_mm @ np.linalg.inv(image.index_to_lps_mm[:-1, :-1]).T).astype(np.float32)
    unit = np.eye(dimension, dtype=np.float32)
    g: list[list[Any]] = []
    for i in range(dimension):
        g.append([])
        for j in range(dimension):
            yield i * dimension + j, dimension**2, _MAPPING
            g[i].append(unit[i, j] + _slope(voxels[..., i], dimension - 1 - j))
    yield dimension**2, dimension**2, _MAPPING
    if dimension == 2:
        determinant = g[0][0] * g[1][1] - g[0][1] * g[1][0]
    else:
        minors = [g[1][(j + 1) % 3] * g[2][(j + 2) % 3] - g[1][(j + 2) % 3] * g[2][(j + 1) % 3] for j in range(3)]
        determinant = g[0][0] * minors[0] + g[0][1] * minors[1] + g[0][2] * minors[2]
    return Volume(np.asarray(determinant), image.spacing_mm, image.origin_mm, image.direction, "Jacobian")


def _slope(values: np.ndarray, axis: int) -> np.ndarray | float:
    return np.gradient(values, axis=axis) if values.shape[axis] > 1 else 0.0


def show_jacobian(node: slicer.vtkMRMLScalarVolumeNode, jacobian: Volume, *, legend: bool = False) -> None:
    """Fills a volume node with a 3D Jacobian map in its colours, with a legend in views that show it if asked for."""
    fill_volume(node, jacobian, levels=_JACOBIAN_RANGE)
    node.GetDisplayNode().SetAndObserveColorNodeID(_jacobian_colors(node.GetScene()).GetID())
    if legend:
        shown = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(node)
        shown.SetTitleText("Jacobian")
        shown.SetLabelFormat("%.2f")
        for text in (shown.GetTitleTextProperty(), shown.GetLabelTextProperty()):
            text.SetShadow(True)  # legible where the map is white


def _jacobian_colors(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLColorTableNode:
    """Returns the scene's colours from blue over white to red, added if missing.

    Slicer's own table of these colours comes from a file that only the application has.
    """
    node = scene.GetFirstNodeByName(_JACOBIAN_COLORS)
    if node is None:
        node = scene.AddNewNodeByClass("vtkMRMLColorTableNode", _JACOBIAN_COLORS)
        node.SetTypeToUser()
        node.SetNumberOfColors(_COLOR_COUNT)
        for number, share in enumerate(np.linspace(-1, 1, _COLOR_COUNT).tolist()):
            fade = 1 - abs(share)
            node.SetColor(number, f"{1 + share:.2f}", *((1.0, fade, fade) if share > 0 else (fade, fade, 1.0)), 1.0)
    return node
