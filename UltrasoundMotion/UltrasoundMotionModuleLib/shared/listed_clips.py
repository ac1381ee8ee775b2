"""The images of a scene that a panel offers as clips, and the reason why others are not offered."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.scene_nodes import nodes_of_class
from UltrasoundMotionLib.mrml.sequence_nodes import browsers_of, find_sequence_nodes

PROXY_ATTRIBUTE = "Sequences.BaseName"
"""Attribute that Slicer gives to the nodes that show the items of sequences."""


def listedClips(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLScalarVolumeNode]:
    """Returns the volumes that show sequences, as the selectors list them, in the order in which they were added."""
    return [node for node in _images(scene) if node.GetAttribute(PROXY_ATTRIBUTE) is not None]


def unlistedImages(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLNode]:
    """Returns the volumes that are no sequences and the sequences of volumes that nothing shows, without drawings of
    this extension such as the bull's-eye.
    """
    volumes = [node for node in _images(scene) if node.GetAttribute(PROXY_ATTRIBUTE) is None and not _isOwn(node)]
    sequences = [node for node in nodes_of_class(scene, "vtkMRMLSequenceNode") if _holdsImages(node)]
    return [*volumes, *(node for node in sequences if not _isShown(node))]


def whyNotListed(node: slicer.vtkMRMLNode) -> str:
    """Returns the reason why a node of `unlistedImages` is not offered, with the next step, in one line."""
    name = node.GetName()
    if node.IsA("vtkMRMLSequenceNode"):
        if browsers_of(node):
            text = _(
                "\u201c{name}\u201d is not listed: the volume that shows it was deleted. Load it again with Load clip, "
                "or remove it from its browser in the Sequences module and add it again."
            )
        else:
            text = _(
                "\u201c{name}\u201d is not listed: no sequence browser plays it. Make one for it in the Sequences "
                "module."
            )
        return text.format(name=name)
    image = node.GetImageData()
    depth = image.GetDimensions()[2] if image is not None else 0
    if depth > 1:
        text = _(
            "\u201c{name}\u201d is not listed: it is a volume of {depth} slices, not a sequence. If they are frames, "
            "press Load clip, Volume that is loaded."
        )
        return text.format(name=name, depth=depth)
    return _("\u201c{name}\u201d is not listed: it is a single image, not a sequence of frames.").format(name=name)


def _images(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLScalarVolumeNode]:
    return [
        node
        for node in nodes_of_class(scene, "vtkMRMLScalarVolumeNode")
        if not node.IsA("vtkMRMLLabelMapVolumeNode") and not node.GetHideFromEditors()
    ]


def _isOwn(node: slicer.vtkMRMLNode) -> bool:
    return any(name.startswith("UltrasoundMotion.") for name in node.GetAttributeNames())


def _holdsImages(sequence: slicer.vtkMRMLSequenceNode) -> bool:
    first = sequence.GetNthDataNode(0) if sequence.GetNumberOfDataNodes() else None
    return first is not None and first.IsA("vtkMRMLScalarVolumeNode")


def _isShown(sequence: slicer.vtkMRMLSequenceNode) -> bool:
    try:
        find_sequence_nodes(sequence)
    except InputError:
        return False
    return True
