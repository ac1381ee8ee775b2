"""The clip that a user chose: its nodes, and its frames in memory without a pause that the user notices."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np
import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.images.colour import SampledColour, WithSampledColour
from UltrasoundMotionLib.mrml.image_nodes import image_sequence_from_node
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, find_sequence_nodes

_Loading = Generator[tuple[int, int, str], None, ImageSequence]


@dataclass(frozen=True)
class Clip:
    """An ultrasound clip in the scene.

    Attributes:
        nodes: its sequence, the proxy that shows the current frame, and the browser that plays it.
        sequence: its frames and geometry; frames are read from the scene one by one, on the main thread.
    """

    nodes: SequenceNodes
    sequence: ImageSequence

    @property
    def shownFrame(self) -> int:
        """The frame that the views show."""
        return shownFrame(self.nodes)


def clipOf(node: slicer.vtkMRMLNode | None) -> Clip:
    """The clip that a sequence node, its browser or its proxy (the volume that the views show) belongs to.

    Raises:
        InputError: None, a node that no browser plays, or a sequence of something else than one-slice images.
    """
    if node is None:
        raise InputError(_("no clip is chosen; load an ultrasound clip and select it"))
    nodes = find_sequence_nodes(node)
    return Clip(nodes, image_sequence_from_node(nodes.sequence))


def whyNotClip(node: slicer.vtkMRMLNode) -> str:
    """Returns the reason why points cannot be followed in a node, or an empty text; looks at the first frame only."""
    try:
        nodes = find_sequence_nodes(node)
        first = nodes.sequence.GetNthDataNode(0)
    except InputError as error:
        return str(error)
    if nodes.sequence.GetNumberOfDataNodes() < 2:
        return _("{clip} has one frame; there is nothing to follow points through").format(clip=node.GetName())
    if (
        first is None
        or not first.IsA("vtkMRMLVolumeNode")
        or first.GetImageData() is None
        or first.GetImageData().GetDimensions()[2] != 1
    ):
        return _("{clip} is not a sequence of single-slice images; select an ultrasound clip").format(
            clip=node.GetName()
        )
    return ""


def shownFrame(nodes: SequenceNodes) -> int:
    """The number of the item of `nodes.sequence` that its proxy shows."""
    return nodes.shown_item


def showFrame(nodes: SequenceNodes, frame: int) -> None:
    """Shows an item of `nodes.sequence`, and with it everything else that its browser plays."""
    browser, sequence = nodes.browser, nodes.sequence
    master = browser.GetMasterSequenceNode()
    if master is not sequence and master is not None:
        frame = master.GetItemNumberFromIndexValue(sequence.GetNthIndexValue(frame), False)
    browser.SetSelectedItemNumber(frame)


def loadInSteps(sequence: ImageSequence) -> _Loading:
    """Copies the frames out of the scene, one at a step: nodes are read on the main thread only, which goes on in
    between.

    Yields (done, total, message); returns the clip with its frames in memory.
    """
    count = len(sequence)
    frames = np.empty((count, *sequence.frames.shape[1:]), sequence.frames.dtype)
    for frame in range(count):
        yield frame, count, _("Reading the clip")
        frames[frame] = sequence.frames[frame]
    colour = SampledColour.of(sequence)
    if colour is None:
        return replace(sequence, frames=frames)
    sampled = []
    for place in range(colour.shape[0]):
        yield place, colour.shape[0], _("Reading the colours")
        sampled.append(colour[place])
    return replace(sequence, frames=WithSampledColour(frames, np.stack(sampled)))


def loaded(sequence: ImageSequence) -> ImageSequence:
    """`loadInSteps` without a pause, for calls that wait anyway."""
    steps = loadInSteps(sequence)
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            return finished.value


def clipDescription(sequence: ImageSequence) -> str:
    """`30 frames of 320 x 240 px, 0.27 x 0.27 mm, 18.1 frames/s`, and what is not known."""
    width, height = sequence.frame_size
    parts = [_("{count} frames of {width} x {height} px").format(count=len(sequence), width=width, height=height)]
    if sequence.spacing_mm is None:
        parts.append(_("pixel size unknown (lengths in pixels)"))
    else:
        parts.append(_("{x} x {y} mm").format(x=f"{sequence.spacing_mm[0]:.3g}", y=f"{sequence.spacing_mm[1]:.3g}"))
    if sequence.frame_rate_hz:
        parts.append(_("{rate} frames/s").format(rate=f"{sequence.frame_rate_hz:.3g}"))
    return ", ".join(parts)
