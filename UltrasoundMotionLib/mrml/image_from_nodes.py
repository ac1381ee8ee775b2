"""The inverse of `image_nodes`: what a module has in its selector, as an ImageSequence."""

from __future__ import annotations

import numpy as np
import slicer
from vtkmodules.util.numpy_support import vtk_to_numpy

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.images.colour import LUMINANCE_NOTE, grey_dtype, luminance
from UltrasoundMotionLib.mrml.image_geometry import geometry_of
from UltrasoundMotionLib.mrml.image_nodes import SPACING_KNOWN_ATTRIBUTE
from UltrasoundMotionLib.mrml.sequence_index import SequenceIndex


class SequenceNodeFrames:
    """The frames of a sequence node, read one at a time (a `FrameSource`); colour becomes luminance.

    Use it on the thread that owns the scene. Frames are uint8 where the node's are, else float32.
    """

    def __init__(self, node: slicer.vtkMRMLSequenceNode) -> None:
        self._node = node
        first = _pixels(node, 0)
        self.shape = (node.GetNumberOfDataNodes(), *first.shape[:2])
        self.dtype = grey_dtype(first.dtype)

    def __getitem__(self, index: int) -> np.ndarray:
        pixels = _pixels(self._node, index)
        if pixels.shape[:2] != self.shape[1:]:
            sizes = f"{pixels.shape[1]} x {pixels.shape[0]} pixels, the first is {self.shape[2]} x {self.shape[1]}"
            raise InputError(f"{self._node.GetName()}: frame {index} is {sizes}")
        return luminance(pixels).astype(self.dtype)

    def colour_frame(self, index: int) -> np.ndarray | None:
        """Frame `index` as RGB (H, W, 3) uint8, or None where the node is grey."""
        pixels = _pixels(self._node, index)
        return np.array(pixels[..., :3]) if pixels.shape[2] > 2 and pixels.dtype == np.uint8 else None


def image_sequence_from_node(node: slicer.vtkMRMLSequenceNode) -> ImageSequence:
    """The clip that a sequence node of one-slice volumes holds, grey or RGB, with its geometry, times and frame
    attributes.

    The spacing is unknown where `add_image_sequence` marked it so, and where it is exactly 1 x 1 mm without a mark
    (Slicer's reader gives that to a clip that is not calibrated); a note says it. Times are known where the index is in
    seconds or milliseconds.

    Raises:
        InputError: the sequence is empty, holds something else than volumes, or volumes of several slices.
    """
    name = node.GetName()
    if node.GetNumberOfDataNodes() == 0:
        raise InputError(f"{name}: the sequence holds no frames")
    frames = SequenceNodeFrames(node)
    spacing, origin, direction = geometry_of(node.GetNthDataNode(0))
    mark = node.GetAttribute(SPACING_KNOWN_ATTRIBUTE)
    notes = []
    known = mark == "true" or (mark is None and tuple(spacing[:2]) != (1.0, 1.0))
    if not known:
        notes.append("the pixel spacing is unknown; lengths are in pixels")
    if _pixels(node, 0).shape[2] > 2:
        notes.append(LUMINANCE_NOTE)
    return ImageSequence(
        frames=frames,
        spacing_mm=(float(spacing[0]), float(spacing[1])) if known else None,
        times_s=SequenceIndex.of_node(node).times_s(),
        origin_mm=tuple(float(value) for value in origin),
        direction=direction,
        name=name.removesuffix(" sequence"),
        frame_fields=_frame_fields(node),
        notes=tuple(notes),
    )


def _pixels(node: slicer.vtkMRMLSequenceNode, index: int) -> np.ndarray:
    """Frame `index` as stored: (H, W, components), shared with the node."""
    volume = node.GetNthDataNode(index)
    if volume is None or not volume.IsA("vtkMRMLVolumeNode"):
        raise InputError(
            f"{node.GetName()}: item {index} is {volume.GetClassName() if volume else 'missing'}, expected an image volume"
        )
    image = volume.GetImageData()
    if image is None:
        raise InputError(f"{node.GetName()}: item {index} holds no image")
    width, height, depth = image.GetDimensions()
    if depth != 1:
        raise InputError(
            f"{node.GetName()}: item {index} has {depth} slices; expected a sequence of single-slice images"
        )
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, image.GetNumberOfScalarComponents())


def _frame_fields(node: slicer.vtkMRMLSequenceNode) -> dict[str, tuple[str, ...]]:
    """Attributes that every item has, apart from Slicer's and our own."""
    items = [node.GetNthDataNode(index) for index in range(node.GetNumberOfDataNodes())]
    names = [name for name in items[0].GetAttributeNames() if not name.startswith(("Sequences.", "UltrasoundMotion."))]
    texts = {name: tuple(item.GetAttribute(name) for item in items) for name in names}
    return {name: values for name, values in texts.items() if None not in values}
