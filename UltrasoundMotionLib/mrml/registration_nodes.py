"""The result of a registration as Slicer's nodes, for the module and for scenes that the command line writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.image_grid import ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.mrml.displacement_transforms import fill_displacement_transform
from UltrasoundMotionLib.mrml.jacobian_nodes import jacobian_map, show_jacobian
from UltrasoundMotionLib.mrml.labels_from_nodes import Label
from UltrasoundMotionLib.mrml.node_removal import remove_node, undone_on_error
from UltrasoundMotionLib.mrml.registration_pair import VolumePair, parent_before_registration, put_under
from UltrasoundMotionLib.mrml.registration_table import fill_measures_table
from UltrasoundMotionLib.mrml.scene_nodes import nodes_of_class
from UltrasoundMotionLib.mrml.subject_hierarchy import put_in_folder
from UltrasoundMotionLib.mrml.volume_nodes import comparable_levels, fill_segmentation, fill_volume, grey_levels
from UltrasoundMotionLib.registration.registration import Registration

_CHECKERS = 6
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
    """Adds a registration result to the scene, in a folder beside the fixed volume, and returns its nodes.

    Args:
        found: the registration of `pair.fixed` and `pair.moving`.
        chosen: nodes to fill instead of new ones.
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
    scene, fixed, moving = pair.fixed_node.GetScene(), pair.fixed_node.GetName(), pair.moving_node.GetName()
    suffix = " (interrupted)" if found.interrupted else ""

    def new(class_name: str, name: str) -> slicer.vtkMRMLNode:
        return scene.AddNewNodeByClass(class_name, scene.GenerateUniqueName(name + suffix))

    volume, made_jacobian, made_board = "vtkMRMLScalarVolumeNode", with_jacobian, with_checkerboard
    labelled = found.warped_labels is not None
    with undone_on_error(scene):
        nodes = RegistrationNodes(
            transform=chosen.transform or new("vtkMRMLTransformNode", f"{moving} to {fixed}"),
            warped=chosen.warped or new(volume, f"{moving} on {fixed}"),
            jacobian=(chosen.jacobian or new(volume, f"{moving} to {fixed} Jacobian")) if made_jacobian else None,
            checkerboard=(chosen.checkerboard or new(volume, f"{fixed} checkerboard")) if made_board else None,
            segmentation=(
                (chosen.segmentation or new("vtkMRMLSegmentationNode", f"{moving} segmentation on {fixed}"))
                if labelled
                else None
            ),
            table=chosen.table or new("vtkMRMLTableNode", f"{moving} to {fixed} measures"),
        )
        for node in nodes.nodes():
            if node.IsA("vtkMRMLTransformableNode"):
                node.SetAndObserveTransformNodeID(pair.fixed_node.GetTransformNodeID())
        _fill(nodes, pair, found, labels, fill_labels)
        put_in_folder(scene, pair.fixed_node, nodes.nodes(), f"{fixed} registration")
    if apply:
        put_under(pair.moving_node, nodes.transform)
    return nodes


def _fill(
    nodes: RegistrationNodes,
    pair: VolumePair,
    found: Registration,
    labels: tuple[Label, ...],
    fill_labels: bool,
) -> None:
    displacement_mm = found.displacement.displacement_mm
    fill_displacement_transform(nodes.transform, pair.displacement_grid(displacement_mm))
    fixed, warped = (pair.on_fixed_node(image.array, image.name) for image in (pair.fixed, found.warped))
    fill_volume(nodes.warped, warped, levels=comparable_levels(grey_levels(fixed), warped))
    if nodes.jacobian is not None:
        jacobian = pair.on_fixed_node(jacobian_map(displacement_mm, pair.fixed).array, "Jacobian")
        show_jacobian(nodes.jacobian, jacobian, legend=True)
    if nodes.checkerboard is not None:
        fill_volume(nodes.checkerboard, checkerboard(fixed, warped), levels=(0.0, 1.0))
    names = {label.number: label.name for label in labels}
    if nodes.segmentation is not None and found.warped_labels is not None:
        carried = pair.on_fixed_node(found.warped_labels.array, "labels")
        colors = {label.number: label.color for label in labels if label.color is not None}
        fill_segmentation(nodes.segmentation, carried, pair.fixed_node, names=names, colors=colors, filled=fill_labels)
    fill_measures_table(
        nodes.table,
        found.measures,
        method=found.method,
        label_names=names,
        notes=found.notes,
        interrupted=found.interrupted,
    )


def checkerboard(fixed: Volume, warped: Volume, tile_mm: float | None = None) -> Volume:
    """Returns two images of one grid, scaled to [0, 1], in alternating blocks of equal size in mm; float32.

    Args:
        tile_mm: edge of a block; None: a sixth of the longest side.

    Raises:
        InputError: a tile that is not larger than 0.
    """
    pictures = [_in_unit_range(volume) for volume in (fixed, warped)]
    spacing = np.array(fixed.spacing_mm[::-1])
    edge_mm = (np.array(fixed.array.shape) * spacing).max() / _CHECKERS if tile_mm is None else tile_mm
    if not edge_mm > 0:
        raise InputError(f"tile_mm: expected a length above 0 mm, got {edge_mm:g}")
    lines = [(np.arange(size) * step + 1e-6) // edge_mm for size, step in zip(fixed.array.shape, spacing, strict=True)]
    odd = np.sum(np.meshgrid(*lines, indexing="ij"), axis=0) % 2 == 1
    array = np.where(odd, pictures[1], pictures[0]).astype(np.float32)
    return Volume(array, fixed.spacing_mm, fixed.origin_mm, fixed.direction, "checkerboard")


def _in_unit_range(volume: Volume) -> np.ndarray:
    low, high = grey_levels(volume)
    return np.clip((volume.array.astype(np.float32) - low) / (high - low), 0, 1)
