"""Registration of nodes of the scene: the job, and its result as nodes."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.jobs import JobRequest, registration_job
from UltrasoundMotionLib.mrml.image_nodes import image_sequence_from_node
from UltrasoundMotionLib.mrml.labels_from_nodes import Label, labels_on_grid, match_numbers
from UltrasoundMotionLib.mrml.registration_comparison import jump_to_voxel
from UltrasoundMotionLib.mrml.registration_nodes import RegistrationNodes, showing_registration
from UltrasoundMotionLib.mrml.registration_pair import VolumePair
from UltrasoundMotionLib.mrml.registration_sequence_nodes import (
    ChosenSequenceOutputs,
    SequenceRegistrationNodes,
    showing_sequence_registration,
    volumes_of_sequence,
)
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.mrml.views import show_over
from UltrasoundMotionLib.registration import Registration
from UltrasoundMotionLib.registration.largest_motion import largest_motion_index
from UltrasoundMotionLib.registration.request import RegisterRequest, SequenceRequest
from UltrasoundMotionLib.steps import Steps, run_steps
from UltrasoundMotionModuleLib.shared.clip import loadInSteps

if TYPE_CHECKING:
    from UltrasoundMotionLib.images.volume import Volume
    from UltrasoundMotionLib.jobs.capabilities.still_sequence import StillSequence

_SHOWING = _("Showing the result")
_Chosen = TypeVar("_Chosen", RegistrationNodes, ChosenSequenceOutputs)


@dataclass(frozen=True, eq=False)
class PairTask:
    """Two volumes to register, and the use of the result.

    Attributes:
        pair: their images in one space.
        job: the job of the child process.
        labels: names and colours of the moving segmentation.
        outputs: nodes to fill.
        withJacobian, applyTransform: see `showing_registration`.
    """

    pair: VolumePair
    job: JobRequest
    labels: tuple[Label, ...]
    outputs: RegistrationNodes
    withJacobian: bool
    applyTransform: bool

    def show(self, found: Registration) -> RegistrationNodes:
        """`showing` at once."""
        return run_steps(self.showing(found))

    def showing(self, found: Registration) -> Steps[RegistrationNodes]:
        """Adds the result to the scene and shows it in the slice views."""
        nodes = yield from showing_registration(
            self.pair,
            found,
            _present(self.outputs),
            labels=self.labels,
            with_jacobian=self.withJacobian,
            apply=self.applyTransform,
        )
        yield 0, 1, _SHOWING
        show_over(self.pair.fixed_node, nodes.warped)
        return nodes


def _present(chosen: _Chosen) -> _Chosen:
    """Returns the chosen outputs without those that the user has removed from the scene."""
    nodes = {field.name: getattr(chosen, field.name) for field in fields(chosen)}
    return replace(chosen, **{name: None for name, node in nodes.items() if node is None or node.GetScene() is None})


def showLargestMotion(pair: VolumePair, found: Registration) -> None:
    """Moves the slice views to where the displacement of two volumes is largest; on the labels where there are any."""
    if pair.fixed.array.ndim == 2:
        return  # the one slice is shown
    labels = found.warped_labels.array if found.warped_labels is not None else None
    jump_to_voxel(
        pair.fixed_node, largest_motion_index(found.displacement.displacement_mm, pair.fixed.spacing_mm, labels)
    )


def pairTask(
    fixedNode: slicer.vtkMRMLVolumeNode,
    movingNode: slicer.vtkMRMLVolumeNode,
    request: RegisterRequest,
    *,
    fixedSegmentation: slicer.vtkMRMLNode | None = None,
    movingSegmentation: slicer.vtkMRMLNode | None = None,
    fixedMask: slicer.vtkMRMLNode | None = None,
    movingMask: slicer.vtkMRMLNode | None = None,
    outputs: RegistrationNodes | None = None,
    withJacobian: bool = True,
    applyTransform: bool = False,
) -> PairTask:
    """Reads the nodes and makes the job.

    Raises:
        InputError: see `VolumePair.of_nodes`, `labels_on_grid` and `RegistrationNodes.check`.
    """
    given = {
        "fixed_labels": fixedSegmentation,
        "moving_labels": movingSegmentation,
        "fixed_mask": fixedMask,
        "moving_mask": movingMask,
    }
    if fixedSegmentation is not None and movingSegmentation is None:
        raise InputError(
            _("the fixed segmentation is for comparing with the moving one: choose the moving segmentation too")
        )
    outputs = outputs or RegistrationNodes()
    pair = VolumePair.of_nodes(fixedNode, movingNode)
    outputs.check(pair, tuple(node for node in given.values() if node is not None))
    images: dict[str, Volume] = {}
    labels: tuple[Label, ...] = ()
    if movingSegmentation is not None:
        moving = labels_on_grid(movingSegmentation, movingNode)
        labels, images["moving_labels"] = moving.labels, pair.moving_labels(moving.array)
        if fixedSegmentation is not None:
            images["fixed_labels"] = pair.fixed_labels(
                match_numbers(moving, labels_on_grid(fixedSegmentation, fixedNode)).array
            )
    if fixedMask is not None:
        images["fixed_mask"] = pair.fixed_labels(_mask(fixedMask, fixedNode))
    if movingMask is not None:
        images["moving_mask"] = pair.moving_labels(_mask(movingMask, movingNode))
    paths = {"fixed": fixedNode, "moving": movingNode} | {name: given[name] for name in images}
    files = {name: _filePath(node) for name, node in paths.items()}
    job = registration_job(pair.fixed, pair.moving, **images, paths=files, request=request)
    return PairTask(pair, job, labels, outputs, withJacobian, applyTransform)


@dataclass(frozen=True, eq=False)
class SequenceTask:
    """A sequence to register to one of its frames.

    Attributes:
        image: its nodes.
        sequence: the clip, or the volumes, as they are in the scene.
        request: options of the registration, with the mask as an array.
        chosen: nodes of an earlier result whose place this one takes.
    """

    image: SequenceNodes
    sequence: ImageSequence | list[Volume]
    request: SequenceRequest
    chosen: ChosenSequenceOutputs

    def inSteps(self) -> Generator[tuple[int, int, str], None, JobRequest]:
        """The preparation for a `BackgroundJob`; its result is a `StillSequence`."""
        from UltrasoundMotionLib.jobs.capabilities.still_sequence import still_sequence_job

        sequence = self.sequence
        if isinstance(sequence, ImageSequence):
            sequence = yield from loadInSteps(sequence)
        return still_sequence_job(sequence, request=self.request)

    def whyNotShown(self, found: StillSequence) -> str:
        """Returns the reason why an interrupted run gives no nodes; empty for a complete run."""
        if found.frames is not None and found.registration.reached.all():
            return ""
        text = _(
            "stopped after {done} of {count} frames; nothing was kept, since frames without motion would look like rest"
        )
        return text.format(done=int(found.registration.reached.sum()), count=len(found.registration))

    def show(self, found: StillSequence) -> SequenceRegistrationNodes:
        """`showing` at once."""
        return run_steps(self.showing(found))

    def showing(self, found: StillSequence) -> Steps[SequenceRegistrationNodes]:
        """Adds the result to the browser of the sequence, and shows the still sequence in front in the slice views.

        Raises:
            InputError: it was interrupted before every frame was reached: a transform that stands still there would
                look like rest.
        """
        if self.whyNotShown(found):
            raise InputError(self.whyNotShown(found))
        if self.image.proxy.GetScene() is None or len(self.image.index.values) != len(found.registration):
            raise InputError(_("the sequence was removed or changed while it was registered; register again"))
        chosen = _present(self.chosen)
        nodes = yield from showing_sequence_registration(self.image, found.registration, found.frames, chosen)
        yield 0, 1, _SHOWING
        for needed in (self.image, nodes.still):
            needed.check_in_scene()
        show_over(self.image.proxy, nodes.still.proxy, 1.0)
        return nodes


def sequenceTask(
    image: SequenceNodes,
    request: SequenceRequest,
    *,
    mask: slicer.vtkMRMLNode | None = None,
    chosen: ChosenSequenceOutputs | None = None,
) -> SequenceTask:
    """Reads the nodes, except for the frames, which `SequenceTask.inSteps` reads.

    Raises:
        InputError: no volumes, one frame, a reference frame that does not exist, a mask that does not lie on the
            sequence, unfit outputs.
    """
    chosen = chosen or ChosenSequenceOutputs()
    chosen.check(image)
    count = image.sequence.GetNumberOfDataNodes()
    if count < 2:
        raise InputError(_("{name}: has one frame; there is nothing to register").format(name=image.proxy.GetName()))
    if not 0 <= request.reference_frame < count:
        text = _("{name}: has no frame {frame}; there are {count}, counted from 0")
        raise InputError(text.format(name=image.proxy.GetName(), frame=request.reference_frame, count=count))
    first = image.sequence.GetNthDataNode(0)
    flat = (
        not first.IsA("vtkMRMLVolumeNode")
        or first.GetImageData() is None
        or first.GetImageData().GetDimensions()[2] == 1
    )
    sequence = image_sequence_from_node(image.sequence) if flat else volumes_of_sequence(image)
    if mask is not None:
        values = _mask(mask, image.proxy)
        request = replace(request, mask=values[0] if flat else values)
    return SequenceTask(image, sequence, request, chosen)


def allOf(steps: Generator[tuple[int, int, str], None, JobRequest]) -> JobRequest:
    """Runs a preparation without pauses, for calls that wait anyway."""
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            return finished.value


def _filePath(node: slicer.vtkMRMLStorableNode) -> str:
    """Returns the file of a node for a command line, or a name after the node's own."""
    storage = node.GetStorageNode()
    name = storage.GetFileName() if storage is not None else None
    return name if name and Path(name).is_file() else f"{node.GetName().replace(' ', '-')}.nrrd"


def _mask(node: slicer.vtkMRMLNode, image: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    return (labels_on_grid(node, image).array > 0).astype(np.uint8)
