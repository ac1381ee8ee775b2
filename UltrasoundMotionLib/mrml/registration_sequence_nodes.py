"""A sequence registered to one of its frames, as nodes in the browser that plays it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import slicer
import vtk
from vtkmodules.util.numpy_support import numpy_to_vtk

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.mrml.displacement_transforms import Carries, DisplacementGrid, adding_displacement_sequence
from UltrasoundMotionLib.mrml.linear_transforms import adding_linear_sequence
from UltrasoundMotionLib.mrml.node_removal import remove_node, remove_sequence, undone_unless_finished
from UltrasoundMotionLib.mrml.registration_table import fill_frames_table
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, add_with_proxy, join_browser
from UltrasoundMotionLib.mrml.subject_hierarchy import putting_in_folder
from UltrasoundMotionLib.mrml.volume_nodes import GREY_PERCENTILES, volume_from_node
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.registration.sequences.sequence_registration import SequenceRegistration
from UltrasoundMotionLib.steps import Steps, not_cancelled, run_steps

_PUTTING = "putting the still frames into the scene"
_REPLACING = "showing the result"


@dataclass(frozen=True)
class SequenceRegistrationNodes:
    """The nodes of a registered sequence.

    Attributes:
        transform: transform sequence that moves nodes under its proxy from the reference frame with the tissue.
        still: the sequence with the motion removed.
        table: similarity to the reference before and after, one row per frame.
    """

    transform: SequenceNodes
    still: SequenceNodes
    table: slicer.vtkMRMLTableNode

    def remove(self) -> None:
        """Removes all nodes from the scene."""
        remove_sequence(self.transform)
        remove_sequence(self.still)
        remove_node(self.table)


@dataclass(frozen=True)
class ChosenSequenceOutputs:
    """Proxy nodes and table of an earlier result that a new result replaces; None makes new ones."""

    transform: slicer.vtkMRMLTransformNode | None = None
    still: slicer.vtkMRMLScalarVolumeNode | None = None
    table: slicer.vtkMRMLTableNode | None = None

    def check(self, image: SequenceNodes) -> None:
        """Raises InputError if an output is the input, moves it, or belongs to another browser."""
        if image.proxy in (self.transform, self.still):
            raise InputError(
                f"{image.proxy.GetName()}: is the input; choose another node for the output, or none to make a new one"
            )
        for node in (self.transform, self.still):
            if node is not None and image.browser.GetSequenceNode(node) is None:
                raise InputError(
                    f"{node.GetName()}: is not played by {image.browser.GetName()}; choose none to make a new output"
                )
        parent = image.proxy.GetParentTransformNode()
        if (
            self.transform is not None
            and parent is not None
            and (parent is self.transform or parent.IsTransformNodeMyParent(self.transform))
        ):
            raise InputError(f"{self.transform.GetName()}: moves the input; choose none to make a new output")


def volumes_of_sequence(image: SequenceNodes) -> list[Volume]:
    """Returns the items of a sequence of volumes in the sequence's own coordinates.

    Raises:
        InputError: an item is no volume.
    """
    items = [image.sequence.GetNthDataNode(number) for number in range(image.sequence.GetNumberOfDataNodes())]
    for number, item in enumerate(items):
        if item is None or not item.IsA("vtkMRMLVolumeNode"):
            raise InputError(
                f"{image.sequence.GetName()}: item {number} is {item.GetClassName() if item else 'missing'},"
                " expected an image volume"
            )
    return [
        replace(volume_from_node(item), name=f"{image.sequence.GetName()} frame {number}")
        for number, item in enumerate(items)
    ]


def add_sequence_registration(
    image: SequenceNodes, registration: SequenceRegistration, name: str, *, progress: Progress = no_progress
) -> SequenceNodes:
    """`adding_sequence_registration` at once."""
    return run_steps(adding_sequence_registration(image, registration, name), progress)


def adding_sequence_registration(
    image: SequenceNodes, registration: SequenceRegistration, name: str
) -> Steps[SequenceNodes]:
    """Adds the fields of a registered sequence as a transform sequence in the clip's browser.

    Landmarks, a contour or a mask of the reference frame under the transform move with the tissue. The fields are
    stored on their control grids, a few kilobytes per frame; rigid and affine motions as matrices.

    Raises:
        InputError: fields from frame to frame (they cannot carry one frame's landmarks), frames that were not reached,
            another frame count.
    """
    if registration.mode != "to-reference":
        raise InputError(
            f"{name}: a transform sequence needs fields to a reference frame, these are {registration.mode}"
        )
    if len(registration) != len(image.index.values):
        raise InputError(
            f"{name}: {len(registration)} fields but the clip in the scene has {len(image.index.values)} frames"
        )
    if not registration.reached.all():
        missing = int(np.flatnonzero(~registration.reached)[0])
        raise InputError(f"{name}: frame {missing} has no field; the registration was interrupted")

    if registration.matrices is not None:
        return adding_linear_sequence(image, registration.matrices, name)

    def field_of(frame: int) -> DisplacementGrid:
        """Returns a frame's field on its control grid, as one slice where it is 2D."""
        registered = registration.frames[frame]
        assert registered is not None  # every frame was reached
        field = registered.field(coarse=True).as_single_slice()
        return DisplacementGrid(
            field.displacement_mm, field.grid.spacing_mm, field.grid.origin_mm, field.grid.direction
        )

    return adding_displacement_sequence(image, field_of, name, carries=Carries.FIXED_TO_MOVING)


def show_sequence_registration(
    image: SequenceNodes,
    registration: SequenceRegistration,
    still: np.ndarray,
    chosen: ChosenSequenceOutputs | None = None,
) -> SequenceRegistrationNodes:
    """`showing_sequence_registration` at once."""
    return run_steps(showing_sequence_registration(image, registration, still, chosen))


def showing_sequence_registration(
    image: SequenceNodes,
    registration: SequenceRegistration,
    still: np.ndarray,
    chosen: ChosenSequenceOutputs | None = None,
) -> Steps[SequenceRegistrationNodes]:
    """Adds fields and warped frames to the image's browser, and a table of measures.

    Args:
        registration: fields to a reference frame, every frame reached.
        still: (T, H, W) or (T, D, H, W) frames warped to the reference.
        chosen: nodes of an earlier result to replace; nodes under its transform stay under it.

    Raises:
        InputError: the fields do not fit, see `add_sequence_registration`, or a chosen node cannot be an output; the
            scene is then as it was.
    """
    chosen = chosen or ChosenSequenceOutputs()
    chosen.check(image)
    scene, name = image.scene, image.proxy.GetName()

    def add() -> Steps[SequenceRegistrationNodes]:
        """Adds all nodes beside those that are chosen, which are replaced only when these are complete."""
        transform = yield from adding_sequence_registration(image, registration, f"{name} motion")
        volumes = yield from _adding_still(image, still, f"{name} without motion")
        yield 0, 1, "adding the table of measures"
        table = chosen.table
        if table is None or table.GetScene() is None:
            table = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(f"{name} motion measures"))
        times = image.index.times_s()
        title, index = ("frame", range(len(registration))) if times is None else ("time (s)", times)
        notes = (
            *registration.notes,
            f"{registration.seconds:.3g} s on {registration.device}, reference frame {registration.reference_frame}",
        )
        measures = [frame.measures for frame in registration.frames if frame is not None]
        fill_frames_table(table, measures, title, index, notes=notes)
        return SequenceRegistrationNodes(transform, volumes, table)

    added = yield from undone_unless_finished(scene, add())
    yield 0, 1, _REPLACING
    for needed in (image, added.transform, added.still):
        needed.check_in_scene()
    outputs = SequenceRegistrationNodes(
        _replace_proxy(chosen.transform, added.transform), _replace_proxy(chosen.still, added.still), added.table
    )
    shown = (outputs.transform.proxy, outputs.still.proxy, outputs.table)
    yield from not_cancelled(putting_in_folder(scene, image.proxy, shown, f"{name} motion"))
    return outputs


def _adding_still(image: SequenceNodes, frames: np.ndarray, name: str) -> Steps[SequenceNodes]:
    """Adds frames with geometry and grey levels of the image."""
    index = image.index
    sequence = slicer.vtkMRMLSequenceNode()
    index.apply(sequence)
    for number, value in enumerate(index.values):
        yield number, len(index.values), _PUTTING
        image.check_unchanged(index)
        like = image.sequence.GetNthDataNode(number)
        pixels = vtk.vtkImageData()
        pixels.SetDimensions(like.GetImageData().GetDimensions())
        pixels.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(frames[number]).ravel(), deep=False))
        volume, matrix = slicer.vtkMRMLScalarVolumeNode(), vtk.vtkMatrix4x4()
        volume.SetName(name)
        like.GetIJKToRASMatrix(matrix)
        volume.SetIJKToRASMatrix(matrix)
        volume.SetAndObserveImageData(pixels)
        sequence.SetDataNodeAtValue(volume, value)  # copies the pixels
    yield len(index.values), len(index.values), "showing the still sequence"
    image.check_unchanged(index)
    proxy = add_with_proxy(image, sequence, "vtkMRMLScalarVolumeNode", name)
    nodes = join_browser(image.browser, sequence, proxy, editable=False)
    proxy.CreateDefaultDisplayNodes()
    display = proxy.GetDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(*_levels(image.proxy, frames[0]))
    return nodes


def _levels(shown: slicer.vtkMRMLVolumeNode, frame: np.ndarray) -> tuple[float, float]:
    """Returns the grey levels of the image where it is grey, else those of the frame."""
    display = shown.GetDisplayNode()
    if display is not None and shown.GetImageData().GetNumberOfScalarComponents() == 1:
        return display.GetWindowLevelMin(), display.GetWindowLevelMax()
    low, high = np.percentile(frame, GREY_PERCENTILES)
    return float(low), float(max(high, low + 1))


def _replace_proxy(proxy: slicer.vtkMRMLNode | None, nodes: SequenceNodes) -> SequenceNodes:
    """Plays the sequence through an older proxy, whose previous sequence is removed; None, or one that was removed from
    the scene, changes nothing.
    """
    if proxy is None or proxy.GetScene() is None:
        return nodes
    old = nodes.browser.GetSequenceNode(proxy)
    new_proxy = nodes.proxy
    replaced = join_browser(nodes.browser, nodes.sequence, proxy, editable=False)
    remove_node(new_proxy)
    remove_node(old)
    return replaced
