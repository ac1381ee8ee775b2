"""An ultrasound clip as a sequence of one-slice volumes that a browser plays, and such a sequence as a clip."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import slicer
import vtk
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.images.colour import LUMINANCE_NOTE, colour_frame, grey_dtype, luminance
from UltrasoundMotionLib.images.grey_range import grey_range
from UltrasoundMotionLib.mrml.image_geometry import geometry_of, sequence_ijk_to_ras, to_vtk_matrix
from UltrasoundMotionLib.mrml.node_removal import undone_on_error
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceIndex, SequenceNodes, create_browser
from UltrasoundMotionLib.progress import Progress, no_progress

SPACING_KNOWN_ATTRIBUTE = "UltrasoundMotion.SpacingKnown"
"""Attribute of the sequence node, its items and so its proxy: "true", or "false" where the pixel size is unknown."""


def add_image_sequence(
    scene: slicer.vtkMRMLScene,
    sequence: ImageSequence,
    *,
    progress: Progress = no_progress,
    grey_levels: tuple[float, float] | None = None,
    colour: bool = False,
) -> SequenceNodes:
    """Adds a clip: a sequence of vtkMRMLScalarVolumeNode (W x H x 1), a proxy named as the clip, and a browser.

    The volumes' IJKToRAS comes from the clip's origin, direction and spacing (LPS). The index is the time in seconds,
    or the frame number. Frame fields become attributes of the items; the clip's notes become the description of the
    sequence node. An error or a cancel leaves the scene as it was.

    Args:
        grey_levels: the levels shown as black and white; `grey_range` of the clip when None.
        colour: keep a clip in colour as vtkMRMLVectorVolumeNode (RGB), as Slicer's DICOM reader does.

    Raises:
        InputError: a frame cannot be read, or holds values that are not finite.
    """
    steps = adding_image_sequence(scene, sequence, grey_levels=grey_levels, colour=colour)
    while True:
        try:
            progress(*next(steps))
        except StopIteration as finished:
            return finished.value


def adding_image_sequence(
    scene: slicer.vtkMRMLScene,
    sequence: ImageSequence,
    *,
    grey_levels: tuple[float, float] | None = None,
    colour: bool = False,
) -> Generator[tuple[int, int, str], None, SequenceNodes]:
    """`add_image_sequence` in steps of one frame, between which an application can go on.

    Yields (done, total, message) and returns the nodes. The scene has nothing of them before the last step.
    """
    coloured = colour and colour_frame(sequence, 0) is not None
    volume_class = "vtkMRMLVectorVolumeNode" if coloured else "vtkMRMLScalarVolumeNode"
    node = slicer.vtkMRMLSequenceNode()
    SequenceIndex.of_image(sequence).apply(node)
    yield from _fill(node, sequence, volume_class)
    levels = grey_levels or (None if coloured else grey_range(sequence))
    with undone_on_error(scene):
        node.SetName(scene.GenerateUniqueName(f"{sequence.name} sequence"))
        scene.AddNode(node)
        proxy = scene.AddNewNodeByClass(volume_class, scene.GenerateUniqueName(sequence.name))
        nodes = create_browser(scene, f"{sequence.name} browser", node, proxy, sequence.frame_rate_hz)
        if levels is None or coloured:
            _show_colours(proxy)
        else:
            _show_grey_levels(proxy, levels)
    return nodes


def _fill(
    node: slicer.vtkMRMLSequenceNode, sequence: ImageSequence, volume_class: str
) -> Generator[tuple[int, int, str], None, None]:
    matrix = to_vtk_matrix(sequence_ijk_to_ras(sequence))
    known = "true" if sequence.spacing_mm is not None else "false"
    node.SetAttribute(SPACING_KNOWN_ATTRIBUTE, known)
    node.SetDescription("; ".join(sequence.notes))
    kept_dtype = np.dtype(sequence.frames.dtype)
    width, height = sequence.frame_size
    volume = getattr(slicer, volume_class)()
    coloured = volume.IsA("vtkMRMLVectorVolumeNode")
    volume.SetName(sequence.name)
    volume.SetIJKToRASMatrix(matrix)
    volume.SetAttribute(
        SPACING_KNOWN_ATTRIBUTE, known
    )  # on every item: a proxy has no attributes but its current item's
    values = SequenceIndex.of_image(sequence).values
    for frame, value in enumerate(values):
        yield frame, len(values), "putting the frames into the scene"
        stored = colour_frame(sequence, frame) if coloured else sequence.frame(frame)
        pixels = np.ascontiguousarray(stored, dtype=kept_dtype)
        image = vtk.vtkImageData()
        image.SetDimensions(width, height, 1)
        scalars = pixels.reshape(-1, 3) if coloured else pixels.ravel()
        image.GetPointData().SetScalars(numpy_to_vtk(scalars, deep=False))
        volume.SetAndObserveImageData(image)
        item = node.SetDataNodeAtValue(volume, value)  # copies the pixels
        for field, texts in sequence.frame_fields.items():
            item.SetAttribute(field, texts[frame])
    yield len(values), len(values), "putting the frames into the scene"


def _show_grey_levels(proxy: slicer.vtkMRMLScalarVolumeNode, levels: tuple[float, float]) -> None:
    proxy.CreateDefaultDisplayNodes()
    display = proxy.GetDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(*levels)
    display.SetInterpolate(True)


def _show_colours(proxy: slicer.vtkMRMLVectorVolumeNode) -> None:
    proxy.CreateDefaultDisplayNodes()
    display = proxy.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0, 255)
    display.SetInterpolate(True)


class SequenceNodeFrames:
    """Frames of a sequence node, read one at a time (a `FrameSource`); colour becomes luminance.

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
        """Returns frame `index` as RGB (H, W, 3) uint8, or None where the node is grey."""
        pixels = _pixels(self._node, index)
        return np.array(pixels[..., :3]) if pixels.shape[2] > 2 and pixels.dtype == np.uint8 else None


def image_sequence_from_node(node: slicer.vtkMRMLSequenceNode) -> ImageSequence:
    """Returns a sequence node of one-slice volumes, grey or RGB, as a clip with geometry, times and attributes.

    The spacing is unknown where `add_image_sequence` marked it so, and where it is exactly 1 x 1 mm without a mark
    (Slicer's reader sets that for a clip that is not calibrated); a note states it. Times are known where the index is
    in seconds or milliseconds.

    Raises:
        InputError: the sequence is empty, or holds items that are not volumes of one slice.
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
        origin_mm=(float(origin[0]), float(origin[1]), float(origin[2])),
        direction=direction,
        name=name.removesuffix(" sequence"),
        frame_fields=_frame_fields(node),
        notes=tuple(notes),
    )


def _pixels(node: slicer.vtkMRMLSequenceNode, index: int) -> np.ndarray:
    """Returns frame `index` as stored (H, W, components); the memory is the node's."""
    volume = node.GetNthDataNode(index)
    if volume is None or not volume.IsA("vtkMRMLVolumeNode"):
        raise InputError(
            f"{node.GetName()}: item {index} is {volume.GetClassName() if volume else 'missing'},"
            " expected an image volume"
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
    """Returns the attributes that every item has, apart from Slicer's and this library's."""
    items = [node.GetNthDataNode(index) for index in range(node.GetNumberOfDataNodes())]
    names = [name for name in items[0].GetAttributeNames() if not name.startswith(("Sequences.", "UltrasoundMotion."))]
    texts = {name: tuple(item.GetAttribute(name) for item in items) for name in names}
    return {name: values for name, values in texts.items() if None not in values}
