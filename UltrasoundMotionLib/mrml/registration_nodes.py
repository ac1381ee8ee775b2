"""The result of a registration as Slicer's nodes, for the module and for scenes that the command line writes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import reduce

import numpy as np
import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.image_grid import ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.mrml.displacement_transforms import observe_grid_transform, oriented_grid_transform
from UltrasoundMotionLib.mrml.jacobian_nodes import mapping_jacobian, show_jacobian
from UltrasoundMotionLib.mrml.labels_from_nodes import Label
from UltrasoundMotionLib.mrml.node_removal import remove_node, undone_unless_finished
from UltrasoundMotionLib.mrml.registration_pair import VolumePair, parent_before_registration, put_under
from UltrasoundMotionLib.mrml.registration_table import fill_measures_table
from UltrasoundMotionLib.mrml.scene_nodes import nodes_of_class
from UltrasoundMotionLib.mrml.subject_hierarchy import putting_in_folder
from UltrasoundMotionLib.mrml.volume_nodes import comparable_levels, fill_segmentation, fill_volume, grey_levels
from UltrasoundMotionLib.registration.registration import Registration
from UltrasoundMotionLib.steps import Steps, not_cancelled, run_steps

_MAKING = "making the images of the result"
_PUTTING = "putting the result into the scene"
_CHECKERS = 6
_VALUES_LOOKED_AT = 1_000_000
_GRID_CLASSES = ("vtkMRMLTransformNode", "vtkMRMLGridTransformNode")
_GRID_TOLERANCE_MM = 1e-3


@dataclass(frozen=True)
class RegistrationNodes:
    """The nodes of a registration result; as an argument, the nodes to fill, where None makes a new one.

    Attributes:
        transform: grid transform for the moving volume, in place of its present parent transform.
        warped: the moving volume resampled onto the fixed grid.
        jacobian: growth (above 1) or shrinkage (below 1) at each point from the fixed to the moving image; the field
            folds where it is 0 or less.
        checkerboard: fixed and warped image in alternating blocks.
        segmentation: the moving labels on the fixed volume; None without labels.
        table: measures of the registration.
    """

    transform: slicer.vtkMRMLTransformNode | None = None
    warped: slicer.vtkMRMLScalarVolumeNode | None = None
    jacobian: slicer.vtkMRMLScalarVolumeNode | None = None
    checkerboard: slicer.vtkMRMLScalarVolumeNode | None = None
    segmentation: slicer.vtkMRMLSegmentationNode | None = None
    table: slicer.vtkMRMLTableNode | None = None

    def nodes(self) -> Iterator[slicer.vtkMRMLNode]:
        """Yields the nodes that exist."""
        return (node for node in (getattr(self, field.name) for field in fields(self)) if node is not None)

    def remove(self) -> None:
        """Removes all nodes from the scene; the moving volume gets its previous parent transform back."""
        if self.transform is not None and self.transform.GetScene() is not None:
            for volume in nodes_of_class(self.transform.GetScene(), "vtkMRMLVolumeNode"):
                if volume.GetTransformNodeID() == self.transform.GetID():
                    before = parent_before_registration(volume)
                    volume.SetAndObserveTransformNodeID(before.GetID() if before is not None else None)
        for node in self.nodes():
            remove_node(node)

    def check(self, pair: VolumePair, inputs: tuple[slicer.vtkMRMLNode, ...] = ()) -> None:
        """Checks that the chosen nodes can be outputs.

        Raises:
            InputError: an output is an input, is used twice, or is a transform that cannot hold a displacement or that
                moves an input.
        """
        chosen = list(self.nodes())
        for node in chosen:
            if node in (pair.fixed_node, pair.moving_node, *inputs):
                raise InputError(
                    f"{node.GetName()}: is an input; choose another node for the output, or none to make a new one"
                )
            if sum(node is other for other in chosen) > 1:
                raise InputError(f"{node.GetName()}: is chosen for two outputs")
        if self.transform is None:
            return
        if self.transform.GetClassName() not in _GRID_CLASSES:
            kind = self.transform.GetNodeTagName()
            raise InputError(
                f"{self.transform.GetName()}: is a {kind}, which holds no displacements;"
                " choose none to make a new transform"
            )
        for parent in (pair.fixed_node.GetParentTransformNode(), parent_before_registration(pair.moving_node)):
            if parent is not None and (parent is self.transform or parent.IsTransformNodeMyParent(self.transform)):
                raise InputError(
                    f"{self.transform.GetName()}: moves an input; choose another node for the output,"
                    " or none to make a new one"
                )


def show_registration(
    pair: VolumePair,
    found: Registration,
    chosen: RegistrationNodes | None = None,
    *,
    labels: tuple[Label, ...] = (),
    with_jacobian: bool = True,
    with_checkerboard: bool = False,
    fill_labels: bool = False,
    apply: bool = False,
) -> RegistrationNodes:
    """`showing_registration` at once."""
    return run_steps(
        showing_registration(
            pair,
            found,
            chosen,
            labels=labels,
            with_jacobian=with_jacobian,
            with_checkerboard=with_checkerboard,
            fill_labels=fill_labels,
            apply=apply,
        )
    )


def showing_registration(
    pair: VolumePair,
    found: Registration,
    chosen: RegistrationNodes | None = None,
    *,
    labels: tuple[Label, ...] = (),
    with_jacobian: bool = True,
    with_checkerboard: bool = False,
    fill_labels: bool = False,
    apply: bool = False,
) -> Steps[RegistrationNodes]:
    """Adds a registration result to the scene, in a folder beside the fixed volume, and returns its nodes.

    Args:
        found: the registration of `pair.fixed` and `pair.moving`.
        chosen: nodes to fill instead of new ones; those that were removed from the scene are made anew.
        labels: names and colours of the moving labels.
        with_jacobian, with_checkerboard: also make these volumes.
        fill_labels: fill the moving labels in slice views; otherwise only their outlines are drawn.
        apply: put the moving volume under the transform; without it the inputs do not change.

    Raises:
        InputError: the displacement lies on another grid than the fixed image, a chosen node cannot be an output, or
            an input has changed. The scene is then as it was.
    """
    chosen = chosen or RegistrationNodes()
    chosen.check(pair)
    pair.check_unchanged()
    grid = found.displacement.grid
    if not ImageGrid.of(pair.fixed).matches(grid, tolerance_mm=_GRID_TOLERANCE_MM):
        raise InputError(
            f"{pair.fixed.name}: the displacement lies on another grid"
            f" ({grid.shape[::-1]} voxels against {pair.fixed.array.shape[::-1]})"
        )
    images = yield from _making_images(pair, found, with_jacobian=with_jacobian, with_checkerboard=with_checkerboard)
    pair.check_unchanged()
    putting = _putting(pair, found, chosen, images, labels=labels, fill_labels=fill_labels)
    # Not left halfway: a chosen node may be filled already, and what it held is gone.
    nodes = yield from undone_unless_finished(pair.fixed_node.GetScene(), not_cancelled(putting))
    if apply:
        put_under(pair.moving_node, nodes.transform)
    return nodes


@dataclass(frozen=True)
class _Images:
    """The images of a result, not yet in a scene."""

    transform: slicer.vtkOrientedGridTransform
    warped: Volume
    levels: tuple[float, float]
    jacobian: Volume | None
    board: Volume | None


def _making_images(
    pair: VolumePair, found: Registration, *, with_jacobian: bool, with_checkerboard: bool
) -> Steps[_Images]:
    displacement_mm = found.displacement.displacement_mm
    yield 0, 4, _MAKING
    grid = pair.displacement_grid(displacement_mm)
    yield 1, 4, _MAKING
    transform = oriented_grid_transform(grid)
    yield 2, 4, _MAKING
    fixed, warped = (pair.on_fixed_node(image.array, image.name) for image in (pair.fixed, found.warped))
    levels = grey_levels(fixed)
    yield 3, 4, _MAKING
    levels = comparable_levels(levels, warped)
    jacobian = board = None
    if with_jacobian:
        determinant = yield from mapping_jacobian(displacement_mm, pair.fixed)
        jacobian = pair.on_fixed_node(determinant.array, "Jacobian")
    if with_checkerboard:
        yield 4, 4, _MAKING
        board = checkerboard(fixed, warped)
    return _Images(transform, warped, levels, jacobian, board)


def _putting(
    pair: VolumePair,
    found: Registration,
    chosen: RegistrationNodes,
    images: _Images,
    *,
    labels: tuple[Label, ...],
    fill_labels: bool,
) -> Steps[RegistrationNodes]:
    """Makes each node and fills it, one in each step."""
    scene, fixed, moving = pair.fixed_node.GetScene(), pair.fixed_node.GetName(), pair.moving_node.GetName()
    suffix = " (interrupted)" if found.interrupted else ""
    volume = "vtkMRMLScalarVolumeNode"

    def node(before: slicer.vtkMRMLNode | None, class_name: str, name: str) -> slicer.vtkMRMLNode:
        """Returns the chosen node, or a new one where none is in the scene, under the fixed volume's transform."""
        pair.check_unchanged()
        if before is None or before.GetScene() is None:
            before = scene.AddNewNodeByClass(class_name, scene.GenerateUniqueName(name + suffix))
        if before.IsA("vtkMRMLTransformableNode"):
            before.SetAndObserveTransformNodeID(pair.fixed_node.GetTransformNodeID())
        return before

    yield 0, 6, _PUTTING
    transform = node(chosen.transform, "vtkMRMLTransformNode", f"{moving} to {fixed}")
    observe_grid_transform(transform, images.transform)
    yield 1, 6, _PUTTING
    warped = node(chosen.warped, volume, f"{moving} on {fixed}")
    fill_volume(warped, images.warped, levels=images.levels)
    jacobian = board = segmentation = None
    if images.jacobian is not None:
        yield 2, 6, _PUTTING
        jacobian = node(chosen.jacobian, volume, f"{moving} to {fixed} Jacobian")
        show_jacobian(jacobian, images.jacobian, legend=True)
    if images.board is not None:
        yield 3, 6, _PUTTING
        board = node(chosen.checkerboard, volume, f"{fixed} checkerboard")
        fill_volume(board, images.board, levels=(0.0, 1.0))
    names = {label.number: label.name for label in labels}
    if found.warped_labels is not None:
        yield 4, 6, _PUTTING
        segmentation = node(chosen.segmentation, "vtkMRMLSegmentationNode", f"{moving} segmentation on {fixed}")
        carried = pair.on_fixed_node(found.warped_labels.array, "labels")
        colors = {label.number: label.color for label in labels if label.color is not None}
        fill_segmentation(segmentation, carried, pair.fixed_node, names=names, colors=colors, filled=fill_labels)
    yield 5, 6, _PUTTING
    table = node(chosen.table, "vtkMRMLTableNode", f"{moving} to {fixed} measures")
    fill_measures_table(
        table,
        found.measures,
        method=found.method,
        label_names=names,
        notes=found.notes,
        interrupted=found.interrupted,
    )
    nodes = RegistrationNodes(transform, warped, jacobian, board, segmentation, table)
    yield from putting_in_folder(scene, pair.fixed_node, nodes.nodes(), f"{fixed} registration")
    return nodes


def checkerboard(fixed: Volume, warped: Volume, tile_mm: float | None = None) -> Volume:
    """Returns two images of one grid, scaled to [0, 1], in alternating blocks of equal size in mm; float32.

    Args:
        tile_mm: edge of a block; None: a sixth of the longest side.

    Raises:
        InputError: a tile that is not larger than 0.
    """
    spacing = np.array(fixed.spacing_mm[::-1])
    edge_mm = (np.array(fixed.array.shape) * spacing).max() / _CHECKERS if tile_mm is None else tile_mm
    if not edge_mm > 0:
        raise InputError(f"tile_mm: expected a length above 0 mm, got {edge_mm:g}")
    lines = [
        (np.arange(size) * step + 1e-6) // edge_mm % 2 == 1
        for size, step in zip(fixed.array.shape, spacing, strict=True)
    ]
    is_warped = reduce(np.not_equal.outer, lines)
    array = _in_unit_range(fixed)
    np.copyto(array, _in_unit_range(warped), where=is_warped)
    return Volume(array, fixed.spacing_mm, fixed.origin_mm, fixed.direction, "checkerboard")


def _in_unit_range(volume: Volume) -> np.ndarray:
    """Returns the grey levels scaled to [0, 1], float32; of a large image, a million voxels give the range."""
    array = volume.array
    every = math.ceil((array.size / _VALUES_LOOKED_AT) ** (1 / array.ndim))
    low, high = grey_levels(replace(volume, array=array[(slice(None, None, every),) * array.ndim]))
    scaled = np.subtract(array, low, dtype=np.float32)
    scaled /= high - low
    return np.clip(scaled, 0, 1, out=scaled)
