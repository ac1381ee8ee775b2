"""What is filled before tracking can be seen on the image: a label map over the clip, from the panels' button."""

import numpy as np
import pytest
import slicer
import vtk

from landmark_bench import LandmarkBench, swaying_clip
from module_bench import needs_qt
from myocardial_bench import MyocardialBench
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.images.graphics_mask import find_graphics
from UltrasoundMotionLib.mrml.graphics_nodes import shown_graphics
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence


def clip_with_a_ruler():
    """A sector of speckle that moves, and marks that stand still inside it."""
    plain = swaying_clip(12, whole_pixels=True)
    frames = plain.frames.copy() // 2
    frames[:, :, :20] = frames[:, :, -20:] = 0
    frames[:, 30:100:10, 60:68] = 255
    return ImageSequence(frames, plain.spacing_mm, plain.times_s, plain.origin_mm, plain.direction, name="ruled")


def press_and_look(bench, widget):
    sequence = clip_with_a_ruler()
    clip = add_image_sequence(bench.scene, sequence)
    composite = bench.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", "composite")
    composite.SetBackgroundVolumeID(clip.proxy.GetID())
    widget.parameters.inputClip = clip.proxy
    assert (widget.ui.graphicsButton.enabled, widget.ui.graphicsButton.text) == (True, "Show it")
    widget.ui.graphicsButton.click()
    bench.wait_until_done(widget)
    assert bench.application.errors == []
    node = shown_graphics(clip)
    expected = find_graphics(sequence)
    assert expected.any()
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node)[0] > 0, expected)
    np.testing.assert_allclose(_ijk_to_ras(node), _ijk_to_ras(clip.proxy), atol=1e-6)
    assert composite.GetLabelVolumeID() == node.GetID()
    assert "taken for graphics" in widget.ui.statusLabel.text
    assert widget.ui.graphicsButton.text == "Hide it"
    widget.ui.graphicsButton.click()
    assert shown_graphics(clip) is None
    assert not composite.GetLabelVolumeID()
    assert widget.ui.graphicsButton.text == "Show it"


def _ijk_to_ras(volume):
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


@needs_qt
def test_landmark_tracking_shows_what_is_filled(open_bench):
    bench = open_bench(LandmarkBench)
    press_and_look(bench, bench.open())


@needs_qt
@pytest.mark.slow
def test_myocardial_tracking_shows_what_is_filled(open_bench):
    bench = open_bench(MyocardialBench)
    press_and_look(bench, bench.open())
