"""The result of registering two volume nodes, put into nodes that are new or that the user chose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.displacement_transforms import oriented_grid_transform
from UltrasoundMotionLib.mrml.jacobian_nodes import jacobian_map, show_jacobian
from UltrasoundMotionLib.mrml.labels_from_nodes import Label
from UltrasoundMotionLib.mrml.node_removal import remove_node, undone_on_error
from UltrasoundMotionLib.mrml.registration_pair import RegistrationPair, parent_before_registration, put_under
from UltrasoundMotionLib.mrml.registration_table import fill_measures_table
from UltrasoundMotionLib.mrml.scene_nodes import nodes_of_class
from UltrasoundMotionLib.mrml.subject_hierarchy import put_in_folder
from UltrasoundMotionLib.mrml.volume_nodes import comparable_levels, fill_segmentation, fill_volume, grey_levels
from UltrasoundMotionLib.registration import Registration

GRID_CLASSES = ("vtkMRMLTransformNode", "vtkMRMLGridTransformNode")


@dataclass(frozen=True)
class RegistrationOutputs:
    """The nodes of a result; as an argument, those to fill, where None makes a new one.

    Attributes:
        transform: grid transform for the moving volume, in the place of the transform that it stands under (if any).
        warped: the moving volume on the fixed grid.
        jacobian: how much each point grows (above 1) or shrinks (below 1) from the fixed to the moving image; at 0 and
            below the field folds.
        segmentation: the moving labels on the fixed volume; None where there were none.
        table: measures.
    """

    transform: slicer.vtkMRMLTransformNode | None = None
    warped: slicer.vtkMRMLScalarVolumeNode | None = None
    jacobian: slicer.vtkMRMLScalarVolumeNode | None = None
    segmentation: slicer.vtkMRMLSegmentationNode | None = None
    table: slicer.vtkMRMLTableNode | None = None

    def nodes(self) -> Iterator[slicer.vtkMRMLNode]:
        """Those there are."""
        return (node for node in (getattr(self, one.name) for one in fields(self)) if node is not None)

    def remove(self) -> None:
        """Takes all of it out of the scene; a moving volume under the transform goes back to where it was."""
        scene = self.transform.GetScene() if self.transform is not None else None
        if scene is not None:
            for volume in nodes_of_class(scene, "vtkMRMLVolumeNode"):
                if volume.GetTransformNodeID() == self.transform.GetID():
                    before = parent_before_registration(volume)
                    volume.SetAndObserveTransformNodeID(before.GetID() if before is not None else None)
        for node in self.nodes():
            remove_node(node)

    def check(self, pair: RegistrationPair, inputs: tuple[slicer.vtkMRMLNode, ...] = ()) -> None:
        """Raises InputError where an output is an input, is used twice, or is a transform that cannot hold a
        displacement or moves an input.
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
        if self.transform.GetClassName() not in GRID_CLASSES:
            kind = self.transform.GetNodeTagName()
            raise InputError(
                f"{self.transform.GetName()}: is a {kind}, which holds no displacements; choose none to make a new transform"
            )
        for parent in (pair.fixed_node.GetParentTransformNode(), parent_before_registration(pair.moving_node)):
            if parent is not None and (parent is self.transform or parent.IsTransformNodeMyParent(self.transform)):
                raise InputError(
                    f"{self.transform.GetName()}: moves an input; choose another node for the output, or none to make a new one"
                )


def show_registration(
    pair: RegistrationPair,
    found: Registration,
    outputs: RegistrationOutputs | None = None,
    *,
    labels: tuple[Label, ...] = (),
    with_jacobian: bool = True,
    apply: bool = False,
) -> RegistrationOutputs:
    """Puts a result into the scene beside the fixed volume and returns its nodes. The inputs stay as they are.

    Args:
        found: what `register` gave for `pair.fixed` and `pair.moving`.
        outputs: nodes to fill instead of new ones.
        labels: names and colours of the moving labels.
        with_jacobian: also make the Jacobian map.
        apply: put the moving volume under the transform, which is the only change to it.

    Raises:
        InputError: as `RegistrationOutputs.check` and `RegistrationPair.check_unchanged`; the scene is then as it was.
    """
    outputs = outputs or RegistrationOutputs()
    outputs.check(pair)
    pair.check_unchanged()
    scene, fixed, moving = pair.fixed_node.GetScene(), pair.fixed_node.GetName(), pair.moving_node.GetName()
    displacement_mm = found.displacement.displacement_mm
    grid = pair.displacement_grid(displacement_mm)
    warped = pair.on_fixed_node(found.warped.array, "warped")
    levels = grey_levels(pair.on_fixed_node(pair.fixed.array, fixed))
    jacobian = (
        pair.on_fixed_node(jacobian_map(displacement_mm, pair.fixed).array, "Jacobian") if with_jacobian else None
    )

    names = {label.number: label.name for label in labels}

    suffix = " (interrupted)" if found.interrupted else ""

    def chosen(node: slicer.vtkMRMLNode | None, class_name: str, name: str) -> slicer.vtkMRMLNode:
        return node or scene.AddNewNodeByClass(class_name, scene.GenerateUniqueName(name + suffix))

    with undone_on_error(scene):
        nodes = RegistrationOutputs(
            transform=chosen(outputs.transform, "vtkMRMLTransformNode", f"{moving} to {fixed}"),
            warped=chosen(outputs.warped, "vtkMRMLScalarVolumeNode", f"{moving} on {fixed}"),
            jacobian=None
            if jacobian is None
            else chosen(outputs.jacobian, "vtkMRMLScalarVolumeNode", f"{moving} to {fixed} Jacobian"),
            segmentation=None
            if found.warped_labels is None
            else chosen(outputs.segmentation, "vtkMRMLSegmentationNode", f"{moving} segmentation on {fixed}"),
            table=chosen(outputs.table, "vtkMRMLTableNode", f"{moving} to {fixed} measures"),
        )
        for node in nodes.nodes():
            if node.IsA("vtkMRMLTransformableNode"):
                node.SetAndObserveTransformNodeID(pair.fixed_node.GetTransformNodeID())
        nodes.transform.CreateDefaultDisplayNodes()
        nodes.transform.SetAndObserveTransformFromParent(oriented_grid_transform(grid))
        fill_volume(nodes.warped, warped, levels=comparable_levels(levels, warped))
        if jacobian is not None:
            show_jacobian(nodes.jacobian, jacobian, legend=True)
        if nodes.segmentation is not None:
            carried = pair.on_fixed_node(found.warped_labels.array, "labels")
            colors = {label.number: label.color for label in labels if label.color is not None}
            fill_segmentation(nodes.segmentation, carried, pair.fixed_node, names=names, colors=colors, filled=False)
        fill_measures_table(
            nodes.table,
            found.measures,
            method=found.method,
            label_names=names,
            notes=found.notes,
            interrupted=found.interrupted,
        )
        put_in_folder(scene, pair.fixed_node, nodes.nodes(), f"{fixed} registration")
    if apply:
        put_under(pair.moving_node, nodes.transform)
    return nodes
