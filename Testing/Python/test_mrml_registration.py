"""Registrations as Slicer's nodes, against analytic displacements on oblique, anisotropic grids."""

import numpy as np
import pytest
import slicer
from vtkmodules.util.numpy_support import vtk_to_numpy

from mrml_clips import OBLIQUE, clip
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import DisplacementField, ImageGrid, jacobian_determinant, jacobian_measures
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.mrml.displacement_transforms import transform_points
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
from UltrasoundMotionLib.mrml.image_geometry import LPS_TO_RAS, geometry_of
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.registration_nodes import checkerboard, show_registration
from UltrasoundMotionLib.mrml.registration_pair import VolumePair
from UltrasoundMotionLib.mrml.registration_scene import write_registration_scene, write_sequence_registration_scene
from UltrasoundMotionLib.mrml.registration_sequence_nodes import add_sequence_registration
from UltrasoundMotionLib.mrml.scene_files import read_scene
from UltrasoundMotionLib.mrml.volume_nodes import add_volume
from UltrasoundMotionLib.registration import Registration, RegistrationMeasures
from UltrasoundMotionLib.registration.sequences.sequence_registration import (
    FrameMeasures,
    FrameRegistration,
    SequenceRegistration,
)

TOLERANCE_MM = 1e-3
READ_TOLERANCE_MM = 0.02  # Slicer inverts a grid that it has read with its own tolerance of 0.01 mm
GRID = ImageGrid((18, 30, 24), (1.5, 0.8, 2.5), (12.5, -40.0, 7.0), OBLIQUE)
MATRIX = np.array([[0.03, 0.02, -0.01], [-0.02, -0.04, 0.015], [0.01, 0.0, 0.025]])
OFFSET = np.array([3.0, -2.0, 1.5])


def displacement_at(points):
    """An affine displacement in LPS mm: Slicer's interpolation of it is exact."""
    return (np.asarray(points) - GRID.origin_mm) @ MATRIX.T + OFFSET


@pytest.fixture(scope="module")
def pair():
    """A fixed image, a moving one elsewhere on another grid, and their registration, all analytic."""
    field = DisplacementField(displacement_at(GRID.points_lps_mm()), GRID)
    moving_grid = ImageGrid((26, 28, 30), (1.4, 1.1, 2.0), (8.0, -45.0, 2.0), OBLIQUE)
    centre = GRID.points_lps_mm()[9, 15, 12] + OFFSET
    distance = np.linalg.norm(moving_grid.points_lps_mm() - centre, axis=-1)
    moving = Volume(
        np.exp(-((distance / 9) ** 2)).astype(np.float32),
        moving_grid.spacing_mm,
        moving_grid.origin_mm,
        OBLIQUE,
        "patient",
    )
    moving_labels = Volume(
        (distance < 7).astype(np.uint8) + 2 * (distance < 4),
        moving_grid.spacing_mm,
        moving_grid.origin_mm,
        OBLIQUE,
        "labels",
    )
    warped, labels = field.warp(moving), field.warp(moving_labels, mode="nearest")
    measures = RegistrationMeasures(0.1, 0.9, 0.1, 0.01, jacobian_measures(field.to_voxels()), {}, 1.0, "cpu")
    return (
        Volume(warped.array, warped.spacing_mm, warped.origin_mm, warped.direction, "atlas"),
        moving,
        Registration(field, warped, labels, measures, "test"),
    )


def inner_points(count=30):
    index = np.random.default_rng(2).uniform((5, 6, 4), (18, 23, 13), (count, 3))
    return np.asarray(GRID.origin_mm) + (index * GRID.spacing_mm) @ OBLIQUE.T


def array_of(node):
    image = node.GetImageData()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def segment_voxels(node, number):
    segmentation = node.GetSegmentation()
    label = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(segmentation.GetNthSegmentID(number), label)
    return int((vtk_to_numpy(label.GetPointData().GetScalars()) > 0).sum())


def test_a_result_stands_beside_the_fixed_image(scene, pair):
    fixed, moving, registration = pair
    fixed_node, moving_node = add_volume(scene, fixed, "atlas"), add_volume(scene, moving, "patient")
    images = VolumePair.of_images(fixed_node, moving_node, fixed, moving)
    nodes = show_registration(images, registration, with_checkerboard=True, fill_labels=True, apply=True)

    points = inner_points()
    np.testing.assert_allclose(
        transform_points(nodes.transform, points + displacement_at(points)), points, atol=TOLERANCE_MM
    )
    looked_up = np.zeros(3)
    moving_node.TransformPointFromWorld(points[0] * LPS_TO_RAS, looked_up)
    np.testing.assert_allclose(looked_up * LPS_TO_RAS, points[0] + displacement_at(points[:1])[0], atol=TOLERANCE_MM)

    for node in (nodes.warped, nodes.jacobian, nodes.checkerboard):
        spacing, origin, direction = geometry_of(node)
        np.testing.assert_allclose(spacing, GRID.spacing_mm, atol=1e-6)
        np.testing.assert_allclose(origin, GRID.origin_mm, atol=1e-6)
        np.testing.assert_allclose(direction, OBLIQUE, atol=1e-6)
    np.testing.assert_array_equal(array_of(nodes.warped), registration.warped.array)
    np.testing.assert_allclose(array_of(nodes.jacobian), np.linalg.det(np.eye(3) + MATRIX), atol=1e-4)
    np.testing.assert_allclose(
        array_of(nodes.jacobian), jacobian_determinant(registration.displacement.to_voxels())[0], atol=1e-6
    )
    labels = registration.warped_labels.array
    assert [segment_voxels(nodes.segmentation, number) for number in (0, 1)] == [
        int((labels == value).sum()) for value in (1, 3)
    ]
    assert [nodes.segmentation.GetSegmentation().GetNthSegment(number).GetName() for number in (0, 1)] == [
        "label 1",
        "label 3",
    ]
    assert nodes.warped.GetDisplayNode().GetWindowLevelMin() == fixed_node.GetDisplayNode().GetWindowLevelMin()

    count_before = scene.GetNumberOfNodes()
    nodes.remove()
    assert scene.GetNumberOfNodes() < count_before
    assert moving_node.GetParentTransformNode() is None


def test_a_checkerboard_takes_turns(pair):
    fixed, _, _ = pair
    black, white = (
        Volume(np.array(array), fixed.spacing_mm, fixed.origin_mm, OBLIQUE) for array in (fixed.array, 1 - fixed.array)
    )
    board = checkerboard(black, white).array
    share = np.isclose(board, checkerboard(black, black).array).mean()
    assert 0.35 < share < 0.65


def test_a_field_on_another_grid_is_refused(scene, pair):
    _, moving, registration = pair
    images = VolumePair.of_images(
        add_volume(scene, moving, "patient"), add_volume(scene, moving, "again"), moving, moving
    )
    before = scene.GetNumberOfNodes()
    with pytest.raises(InputError, match="another grid"):
        show_registration(images, registration)
    assert scene.GetNumberOfNodes() == before


def test_a_scene_opens_with_the_moving_volume_on_the_fixed_one(pair, tmp_path):
    fixed, moving, registration = pair
    shares = np.random.default_rng(3).random(fixed.array.shape, dtype=np.float32)
    confidence = Volume(shares, fixed.spacing_mm, fixed.origin_mm, fixed.direction, "confidence")
    path = write_registration_scene(
        tmp_path / "pair.mrb",
        fixed,
        moving,
        registration,
        fixed_labels=registration.warped_labels,
        confidence=confidence,
    )
    with HeadlessScene() as scene:
        read_scene(scene, path)
        moving_node, fixed_node = scene.GetFirstNodeByName("moving patient"), scene.GetFirstNodeByName("fixed atlas")
        points = inner_points()
        moved = transform_points(moving_node.GetParentTransformNode(), points + displacement_at(points))
        np.testing.assert_allclose(moved, points, atol=READ_TOLERANCE_MM)
        np.testing.assert_array_equal(array_of(fixed_node), fixed.array)
        np.testing.assert_array_equal(array_of(scene.GetFirstNodeByName("patient confidence")), shares)
        assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 2
        colors = [
            node.GetSegmentation().GetNthSegment(0).GetColor()
            for node in scene.GetNodesByClass("vtkMRMLSegmentationNode")
        ]
        np.testing.assert_allclose(colors[0], colors[1], atol=0.01)
        jacobian, blue = (
            scene.GetFirstNodeByName("moving patient to fixed atlas Jacobian").GetDisplayNode().GetColorNode(),
            [0.0] * 4,
        )
        jacobian.GetColor(0, blue)
        np.testing.assert_allclose(blue[:3], [0, 0, 1], atol=0.01)
        composite = scene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
        assert (composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID()) == (
            fixed_node.GetID(),
            moving_node.GetID(),
        )


def test_an_image_in_the_plane_has_a_transform_too(pair, tmp_path):
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    grid = ImageGrid((20, 26), (0.4, 0.7), (3.0, -5.0), turn)
    field = DisplacementField(np.broadcast_to([1.25, -0.5], (20, 26, 2)).astype(np.float32), grid)
    image = Volume(
        np.random.default_rng(0).random((20, 26)).astype(np.float32), grid.spacing_mm, grid.origin_mm, turn, "slice"
    )
    registration = Registration(field, field.warp(image), None, pair[2].measures, "test")
    path = write_registration_scene(tmp_path / "flat.mrb", image, image, registration)
    with HeadlessScene() as scene:
        read_scene(scene, path)
        transform = scene.GetFirstNodeByName("moving slice").GetParentTransformNode()
        point = np.array([*(grid.points_lps_mm()[10, 12]), 0.0])
        np.testing.assert_allclose(
            transform_points(transform, point + np.array([1.25, -0.5, 0])), point, atol=READ_TOLERANCE_MM
        )


def sequence_fields(sequence, *, mode="to-reference"):
    """Fields linear in place and time, as a registration would give them."""
    width, height = sequence.frame_size
    grid = ImageGrid((1, height, width), (*sequence.spacing_mm, 1.0), sequence.origin_mm, sequence.direction)
    nodes = height // 4, width // 4
    x, y = ((np.arange(count) + 0.5) * 4 - 0.5 for count in nodes[::-1])
    shape = np.stack(np.broadcast_arrays(0.05 * x[None] + 1, 0.04 * y[:, None] - 0.5)).astype(np.float32)
    measures = FrameMeasures(0.1, 0.01, 0.5, 0.9, 0.0)
    frames = tuple(FrameRegistration(frame, frame * shape, grid, measures) for frame in range(len(sequence)))
    return SequenceRegistration(frames, 0, mode, 1.0, "cpu")


def test_the_fields_of_a_sequence_carry_landmarks(tmp_path):
    sequence = clip(frame_count=4)
    registration = sequence_fields(sequence)
    landmarks = np.array([[20.0, 16.0], [30.5, 24.25]])
    expected = registration.trajectories(landmarks)
    np.testing.assert_allclose(
        expected[3], landmarks + 3 * np.stack([0.05 * landmarks[:, 0] + 1, 0.04 * landmarks[:, 1] - 0.5], 1), atol=1e-5
    )
    path = write_sequence_registration_scene(tmp_path / "motion.mrb", sequence, registration, landmarks_px=landmarks)
    with HeadlessScene() as scene:
        read_scene(scene, path)
        browser, markups = (
            scene.GetFirstNodeByName("clip browser"),
            scene.GetFirstNodeByName("landmarks of the reference frame"),
        )
        for frame in (3, 1, 0):
            browser.SetSelectedItemNumber(frame)
            for number, position in enumerate(sequence.pixels_to_lps_mm(expected[frame]) * LPS_TO_RAS):
                np.testing.assert_allclose(markups.GetNthControlPointPositionWorld(number), position, atol=TOLERANCE_MM)


def test_fields_that_cannot_carry_landmarks_are_refused(scene):
    sequence = clip(frame_count=4)
    image = add_image_sequence(scene, sequence)
    with pytest.raises(InputError, match="frame-to-frame"):
        add_sequence_registration(image, sequence_fields(sequence, mode="frame-to-frame"), "motion")
    with pytest.raises(InputError, match="3 fields"):
        add_sequence_registration(image, sequence_fields(clip(frame_count=3)), "motion")
