"""Displacement fields as transform nodes, against the fields themselves on oblique, anisotropic grids."""

import numpy as np
import pytest
import SimpleITK as sitk

from mrml_clips import OBLIQUE, clip
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.displacement_transforms import (
    Carries,
    DisplacementGrid,
    add_displacement_sequence,
    add_displacement_transform,
    transform_points,
)
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.scene_files import read_scene, write_scene

SPACING, ORIGIN = (1.5, 0.8, 2.5), (12.5, -40.0, 7.0)
TOLERANCE_MM = 1e-3
INVERSE_TOLERANCE_MM = (
    0.02  # of a grid that Slicer inverts with its own tolerance of 0.01 mm, as it does after reading a file
)


SHAPE = (14, 30, 20)


def motion(index):
    """Displacement (..., 3) in LPS mm, some millimetres, at an index (..., 3) in the order (i, j, k): smooth, each
    component another course.
    """
    i, j, k = np.moveaxis(np.asarray(index) / SHAPE[::-1], -1, 0)
    return np.stack([3 + 2 * np.sin(2 * i + j), -2 + np.cos(3 * j) * k, 1.5 * k + 0.5 * i * j], axis=-1)


def lps(index):
    return np.asarray(ORIGIN) + (np.asarray(index) * SPACING) @ OBLIQUE.T


def field():
    k, j, i = np.indices(SHAPE)
    return motion(np.stack([i, j, k], axis=-1))


@pytest.fixture
def grid():
    return DisplacementGrid(field(), SPACING, ORIGIN, OBLIQUE)


def itk_transform(grid):
    """The same field as SimpleITK's own transform."""
    image = sitk.GetImageFromArray(grid.displacement_mm, isVector=True)
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(np.asarray(grid.direction).ravel())
    return sitk.DisplacementFieldTransform(sitk.Cast(image, sitk.sitkVectorFloat64))


def inside(count=40):
    """Fixed points (index and LPS mm) well inside the grid, and where they are in the moving image."""
    index = np.random.default_rng(1).uniform((7, 11, 5), (13, 19, 9), (count, 3))
    return lps(index), lps(index) + motion(index)


def test_the_moving_image_lands_on_the_fixed_one(scene, grid):
    node = add_displacement_transform(scene, grid, "to fixed")
    fixed_points, moving_points = inside()
    assert np.linalg.norm(moving_points - fixed_points, axis=1).min() > 1
    np.testing.assert_allclose(transform_points(node, moving_points), fixed_points, atol=TOLERANCE_MM)

    landmarks = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    landmarks.SetAndObserveTransformNodeID(node.GetID())
    landmarks.AddControlPoint(*(moving_points[0] * (-1, -1, 1)))
    np.testing.assert_allclose(
        landmarks.GetNthControlPointPositionWorld(0), fixed_points[0] * (-1, -1, 1), atol=TOLERANCE_MM
    )


def test_points_of_the_fixed_image_move_forward(scene, grid):
    node = add_displacement_transform(scene, grid, "forward", carries=Carries.FIXED_TO_MOVING)
    fixed_points, moving_points = inside()
    np.testing.assert_allclose(transform_points(node, fixed_points), moving_points, atol=TOLERANCE_MM)


def test_it_is_itks_transform_on_the_nodes_of_the_grid(scene, grid):
    node = add_displacement_transform(scene, grid, "forward", carries=Carries.FIXED_TO_MOVING)
    nodes = lps(np.array([[0, 0, 0], [19, 29, 13], [7, 4, 9], [0, 29, 5]]))
    expected = [itk_transform(grid).TransformPoint(point) for point in nodes]
    np.testing.assert_allclose(transform_points(node, nodes), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("carries", "tolerance"), [(Carries.MOVING_TO_FIXED, INVERSE_TOLERANCE_MM), (Carries.FIXED_TO_MOVING, TOLERANCE_MM)]
)
def test_the_transform_survives_a_file(scene, grid, tmp_path, carries, tolerance):
    points = inside()[0]
    before = transform_points(add_displacement_transform(scene, grid, "motion", carries=carries), points)
    write_scene(scene, tmp_path / "transform.mrb")
    with HeadlessScene() as other:
        read_scene(other, tmp_path / "transform.mrb")
        np.testing.assert_allclose(transform_points(other.GetFirstNodeByName("motion"), points), before, atol=tolerance)


def test_a_moving_volume_is_resampled_onto_the_fixed_one(scene, grid):
    """Slicer asks, for a voxel of the fixed image, where to look in the moving one: that direction needs no inverse."""
    node = add_displacement_transform(scene, grid, "to fixed")
    moving = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "moving")
    moving.SetAndObserveTransformNodeID(node.GetID())
    for fixed_point, moving_point in zip(*inside(10), strict=True):
        looked_up = np.zeros(3)
        moving.TransformPointFromWorld(fixed_point * (-1, -1, 1), looked_up)
        np.testing.assert_allclose(looked_up * (-1, -1, 1), moving_point, atol=TOLERANCE_MM)


def test_a_sequence_in_the_plane_carries_landmarks_frame_by_frame(scene, tmp_path):
    sequence = clip(frame_count=5)
    image = add_image_sequence(scene, sequence)
    step = 4.0
    y, x = np.meshgrid(np.arange(0, 48, step), np.arange(0, 56, step), indexing="ij")
    shape = np.stack([0.05 * x + 1, 2 * np.sin(y / 15)], axis=-1)

    def field_of(frame):
        return None if frame == 0 else DisplacementGrid.of_slice(sequence, frame * shape, step)

    nodes = add_displacement_sequence(image, field_of, "motion")
    landmarks = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "at rest")
    at_rest = np.array([[20.0, 16.0], [33.0, 24.0]])  # on rows of the grid, where its interpolation is exact
    for position in sequence.pixels_to_lps_mm(at_rest) * (-1, -1, 1):
        landmarks.AddControlPoint(*position)
    landmarks.SetAndObserveTransformNodeID(nodes.proxy.GetID())

    def check(browser, markups):
        for frame in (0, 3, 1, 4):
            browser.SetSelectedItemNumber(frame)
            moved = at_rest + frame * np.stack([0.05 * at_rest[:, 0] + 1, 2 * np.sin(at_rest[:, 1] / 15)], axis=-1)
            for number, position in enumerate(sequence.pixels_to_lps_mm(moved) * (-1, -1, 1)):
                np.testing.assert_allclose(markups.GetNthControlPointPositionWorld(number), position, atol=TOLERANCE_MM)

    check(image.browser, landmarks)
    write_scene(scene, tmp_path / "motion.mrb")
    with HeadlessScene() as other:
        read_scene(other, tmp_path / "motion.mrb")
        assert other.GetNumberOfNodesByClass("vtkMRMLTransformNode") == 1
        check(other.GetFirstNodeByName("clip browser"), other.GetFirstNodeByName("at rest"))


def test_a_sequence_without_motion_or_of_changing_size_is_refused(scene):
    sequence = clip(frame_count=3)
    image = add_image_sequence(scene, sequence)
    before = scene.GetNumberOfNodes()
    with pytest.raises(InputError, match="no frame has a displacement field"):
        add_displacement_sequence(image, lambda frame: None, "motion")
    with pytest.raises(InputError, match="the field of frame 2"):
        add_displacement_sequence(
            image, lambda frame: DisplacementGrid.of_slice(sequence, np.zeros((4 + frame // 2, 4, 2)), 8), "motion"
        )
    assert scene.GetNumberOfNodes() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"displacement_mm": np.zeros((4, 4, 3))}, r"\(K, J, I, 3\)"),
        ({"displacement_mm": np.full((1, 2, 2, 3), np.nan)}, "not finite"),
        ({"spacing_mm": (1, 0, 1)}, "spacing"),
        ({"origin_mm": (1, 0)}, "origin"),
        ({"direction": np.ones((3, 3))}, "direction"),
    ],
)
def test_a_bad_grid_is_refused(change, words):
    good = {"displacement_mm": field(), "spacing_mm": SPACING, "origin_mm": ORIGIN, "direction": OBLIQUE}
    with pytest.raises(InputError, match=words):
        DisplacementGrid(**(good | change))
