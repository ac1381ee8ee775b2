"""Mean, inverse and smoothing of transform sequences, against VTK and SimpleITK."""

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk

from carried_scenes import CENTRE_MM, GROWTH, bending_volume, growing_clip, growing_plane
from registration_pairs import node_names
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.image_geometry import LPS_TO_RAS
from UltrasoundMotionLib.mrml.object_motion import ItemTransform
from UltrasoundMotionLib.mrml.scene_files import read_scene, write_scene
from UltrasoundMotionLib.mrml.sequence_nodes import create_browser, create_sequence, find_sequence_nodes, join_browser
from UltrasoundMotionLib.mrml.transform_sequences import (
    add_mean,
    adding_motion,
    inverting,
    mean_motion,
    sampling,
    smoothed_motion,
)
from UltrasoundMotionLib.propagation import SmoothingMethod, smoothing_matrix
from UltrasoundMotionLib.steps import run_steps


def places(count=300, reach_mm=14.0):
    return np.random.default_rng(0).uniform(-reach_mm, reach_mm, (count, 3)) + CENTRE_MM * LPS_TO_RAS


def by_item(nodes, frame, points):
    """Points moved by Slicer's own node, outside of our classes."""
    transform = nodes.sequence.GetNthDataNode(frame).GetTransformToParent()
    return np.array([transform.TransformPoint(*point) for point in points])


def test_the_mean_is_the_mean_of_where_points_go(scene):
    image, motion = bending_volume(scene)
    sampled = run_steps(sampling(motion.proxy))
    node = add_mean(sampled, "mean motion")
    points = places()
    expected = np.mean([by_item(motion, frame, points) for frame in range(len(GROWTH))], axis=0)
    found = np.array([node.GetTransformToParent().TransformPoint(*point) for point in points])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert node.GetName() == "mean motion" and image.browser.GetSequenceNode(node) is None


@pytest.mark.slow
def test_the_inverse_is_exact_and_is_vtk_s_and_simpleitk_s(scene):
    _, motion = bending_volume(scene)
    sampled = run_steps(sampling(motion.sequence))
    inverse = run_steps(inverting(sampled))
    assert inverse.residual_mm.max() <= 1.1e-4 and inverse.residual_mm[0] == 0
    nodes = run_steps(adding_motion(sampled, inverse.displacement_mm, "inverse"))
    points = places()
    for frame in (1, 2, 4):
        there_and_back = by_item(motion, frame, by_item(nodes, frame, points))
        np.testing.assert_allclose(there_and_back, points, atol=5e-3)
        of_vtk = motion.sequence.GetNthDataNode(frame).GetTransformFromParent()
        expected = np.array([of_vtk.TransformPoint(*point) for point in points])
        np.testing.assert_allclose(by_item(nodes, frame, points), expected, atol=0.015)  # VTK's tolerance is 0.01 mm
        field = sitk.GetImageFromArray(sampled.displacement_mm[frame], isVector=True)
        field.SetSpacing(sampled.spacing_mm)
        field.SetOrigin(sampled.origin_mm)
        of_itk = sitk.GetArrayFromImage(sitk.InvertDisplacementField(field, 200, 1e-4, 1e-4, True))
        inside = (slice(5, -5),) * 3
        np.testing.assert_allclose(inverse.displacement_mm[frame][inside], of_itk[inside], atol=0.03)


@pytest.mark.parametrize("method", SmoothingMethod)
def test_smoothing_moves_points_by_their_smoothed_paths(scene, method):
    image, motion = bending_volume(scene)
    sampled = run_steps(sampling(motion.proxy))
    width = 0.1 if method is SmoothingMethod.SAVITZKY_GOLAY else 0.04
    smoothed = smoothed_motion(sampled, width, method, in_seconds=True, periodic=True)
    nodes = run_steps(adding_motion(sampled, smoothed, "smoothed"))
    points = places(40)
    paths = np.stack([by_item(motion, frame, points) for frame in range(len(GROWTH))])
    weights = smoothing_matrix(np.array(motion.index.times_s()), width, method, periodic=True)
    expected = np.tensordot(weights, paths, axes=1)
    for frame in range(len(GROWTH)):
        np.testing.assert_allclose(by_item(nodes, frame, points), expected[frame], atol=1e-6)
    assert nodes.browser is image.browser
    in_frames = smoothed_motion(sampled, width / 0.05, method, in_seconds=False, periodic=True)
    np.testing.assert_allclose(in_frames, smoothed, atol=1e-9)


def test_results_lie_beside_the_input_play_and_come_back_from_a_file(scene, tmp_path):
    _, _, motion = growing_plane(scene)
    sampled = run_steps(sampling(motion.proxy))
    inverse = run_steps(inverting(sampled))
    nodes = run_steps(adding_motion(sampled, inverse.displacement_mm, "motion inverse"))
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    folder = tree.GetItemParent(tree.GetItemByDataNode(nodes.proxy))
    assert tree.GetItemParent(folder) == tree.GetItemParent(tree.GetItemByDataNode(motion.proxy))
    points = CENTRE_MM * LPS_TO_RAS + places(20, 0.0)
    expected = [by_item(nodes, frame, points) for frame in range(len(GROWTH))]
    path = write_scene(scene, tmp_path / "inverse.mrb")
    read_scene(scene, path)
    again = find_sequence_nodes(scene.GetFirstNodeByName("motion inverse"))
    for frame in range(len(GROWTH)):
        np.testing.assert_allclose(by_item(again, frame, points), expected[frame], atol=1e-3)
    assert again.browser.GetNumberOfItems() == len(GROWTH)


def linear_sequence(scene, image):
    motion = create_sequence(scene, "turn sequence", image.index)
    for frame, value in enumerate(image.index.values):
        loose, turn = slicer.vtkMRMLLinearTransformNode(), vtk.vtkTransform()
        turn.RotateZ(2 * frame)
        loose.SetMatrixTransformToParent(turn.GetMatrix())
        motion.SetDataNodeAtValue(loose, value)
    return motion


def test_linear_transforms_are_sampled_over_the_image_that_plays_with_them(scene):
    image, sequence = growing_clip(scene)
    proxy = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "turn")
    motion = join_browser(image.browser, linear_sequence(scene, image), proxy, editable=False)
    sampled = run_steps(sampling(proxy))
    assert "linear" in sampled.notes[0]
    assert sampled.displacement_mm.shape == (len(GROWTH), 1, 56, 64, 3)
    inverse = run_steps(inverting(sampled))
    nodes = run_steps(adding_motion(sampled, inverse.displacement_mm, "back"))
    points = sequence.pixels_to_lps_mm(np.array([[10.0, 12], [40, 30]])) * LPS_TO_RAS
    np.testing.assert_allclose(by_item(motion, 3, by_item(nodes, 3, points)), points, atol=1e-3)


def test_what_has_no_grid_or_no_times_is_refused(scene):
    image, _ = growing_clip(scene)
    alone = linear_sequence(scene, image)
    proxy = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "turn")
    create_browser(scene, "alone", alone, proxy, 10.0)
    with pytest.raises(InputError, match="no image plays with them"):
        run_steps(sampling(proxy))
    with pytest.raises(InputError, match="expected a transform"):
        run_steps(sampling(image.proxy))
    _, motion = bending_volume(scene)
    motion.sequence.SetIndexUnit("")
    sampled = run_steps(sampling(motion.proxy))
    with pytest.raises(InputError, match="width in frames"):
        smoothed_motion(sampled, 1.0, SmoothingMethod.GAUSSIAN, in_seconds=True)


def test_a_sequence_that_changes_meanwhile_leaves_nothing(scene):
    _, motion = bending_volume(scene)
    sampled = run_steps(sampling(motion.proxy))
    before = node_names(scene)
    steps = adding_motion(sampled, sampled.displacement_mm, "copy")
    next(steps)
    motion.sequence.RemoveDataNodeAtValue(motion.sequence.GetNthIndexValue(4))
    with pytest.raises(InputError, match="changed in the meantime"):
        run_steps(steps)
    assert node_names(scene) == before
    assert mean_motion(sampled).shape == sampled.displacement_mm.shape[1:]


def test_an_inverted_item_is_read_with_its_own_values(scene):
    _, motion = bending_volume(scene)
    item = slicer.vtkMRMLTransformNode()
    item.SetAndObserveTransformFromParent(motion.sequence.GetNthDataNode(2).GetTransformToParent())
    points = places(50)
    transform = ItemTransform(item)
    np.testing.assert_allclose(transform.forward(by_item(motion, 2, points)), points, atol=1e-3)
    np.testing.assert_allclose(transform.back(points), by_item(motion, 2, points), atol=1e-9)
