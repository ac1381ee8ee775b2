"""An ultrasound clip as a sequence of one-slice volumes that a browser plays."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtkmodules.util.numpy_support import numpy_to_vtk

from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.image_geometry import sequence_ijk_to_ras, to_vtk_matrix
from UltrasoundMotionLib.mrml.node_removal import undone_on_error
from UltrasoundMotionLib.mrml.sequence_index import SequenceIndex
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, create_browser, create_sequence
from UltrasoundMotionLib.progress import Progress, no_progress

SPACING_KNOWN_ATTRIBUTE = "UltrasoundMotion.SpacingKnown"
"""Attribute of the sequence node, its items and so its proxy: "true", or "false" where a pixel counts as 1 mm because
nobody knows its size.
"""

FRAMES_FOR_GREY_RANGE = 8


def add_image_sequence(
    scene: slicer.vtkMRMLScene, sequence: ImageSequence, *, progress: Progress = no_progress
) -> SequenceNodes:
    """Adds the clip to the scene: a sequence of vtkMRMLScalarVolumeNode (W x H x 1), its proxy named as the clip, and a
    browser.

    The volumes' IJKToRAS comes from the clip's origin, direction and spacing (LPS). The index is the time in seconds,
    or the frame number. Frame fields become attributes of the items, the clip's notes the description of the sequence
    node. On an error or a cancel nothing is left in the scene.

    Raises:
        InputError: a frame cannot be read, or holds values that are not finite.
    """
    with undone_on_error(scene):
        node = create_sequence(scene, f"{sequence.name} sequence", SequenceIndex.of_image(sequence))
        _fill(node, sequence, progress)
        proxy = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(sequence.name))
        nodes = create_browser(scene, f"{sequence.name} browser", node, proxy, sequence.frame_rate_hz)
        _show_grey_levels(proxy, grey_range(sequence))
    return nodes


def grey_range(sequence: ImageSequence) -> tuple[float, float]:
    """The grey levels to show as black and white, from those pixels of a few frames that change: bright text would
    darken the tissue.

    Black is 0 for uint8 and the 0.5th percentile otherwise; white is the 99.7th percentile, and at least 64 for uint8.
    A still uint8 clip is shown from 0 to 255.
    """
    chosen = np.unique(np.linspace(0, len(sequence) - 1, FRAMES_FOR_GREY_RANGE).astype(int))
    frames = np.stack([sequence.frame(int(index)) for index in chosen])
    changing = np.ptp(frames, axis=0) > 0
    tissue = frames[:, changing] if changing.any() else frames
    low, high = (float(level) for level in np.percentile(tissue, (0.5, 99.7)))
    if np.dtype(sequence.frames.dtype) == np.uint8:
        return 0.0, max(high, 64.0) if changing.any() else 255.0
    return (low, high) if high > low else (low, low + 1.0)


def _fill(node: slicer.vtkMRMLSequenceNode, sequence: ImageSequence, progress: Progress) -> None:
    matrix = to_vtk_matrix(sequence_ijk_to_ras(sequence))
    known = "true" if sequence.spacing_mm is not None else "false"
    node.SetAttribute(SPACING_KNOWN_ATTRIBUTE, known)
    node.SetDescription("; ".join(sequence.notes))
    kept_dtype = np.dtype(sequence.frames.dtype)
    width, height = sequence.frame_size
    volume = slicer.vtkMRMLScalarVolumeNode()
    volume.SetName(sequence.name)
    volume.SetIJKToRASMatrix(matrix)
    volume.SetAttribute(
        SPACING_KNOWN_ATTRIBUTE, known
    )  # on every item: a proxy has no attributes but its current item's
    values = SequenceIndex.of_image(sequence).values
    for frame, value in enumerate(values):
        progress(frame, len(values), "putting the frames into the scene")
        pixels = np.ascontiguousarray(sequence.frame(frame), dtype=kept_dtype)
        image = vtk.vtkImageData()
        image.SetDimensions(width, height, 1)
        image.GetPointData().SetScalars(numpy_to_vtk(pixels.ravel(), deep=False))
        volume.SetAndObserveImageData(image)
        item = node.SetDataNodeAtValue(volume, value)  # copies the pixels
        for field, texts in sequence.frame_fields.items():
            item.SetAttribute(field, texts[frame])
    progress(len(values), len(values), "putting the frames into the scene")


def _show_grey_levels(proxy: slicer.vtkMRMLScalarVolumeNode, levels: tuple[float, float]) -> None:
    proxy.CreateDefaultDisplayNodes()
    display = proxy.GetDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(*levels)
    display.SetInterpolate(True)
