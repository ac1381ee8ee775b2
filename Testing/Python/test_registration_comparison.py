"""A registered pair is shown before, after and as a checkerboard, and everything is put back as it was."""

import numpy as np
import pytest
import SimpleITK as sitk
import slicer

from mrml_clips import OBLIQUE
from registration_pairs import node_names, pair_in, texture
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.mrml.registration_comparison import (
    FIXED_COLOR,
    MOVED_COLOR,
    RegisteredPair,
    RegistrationComparison,
    check_comparable,
    hide_labels,
    jump_to_voxel,
    put_back_labels,
)
from UltrasoundMotionLib.mrml.registration_nodes import checkerboard
from UltrasoundMotionLib.mrml.registration_pair import put_under
from UltrasoundMotionLib.mrml.scene_files import read_scene, write_scene
from UltrasoundMotionLib.mrml.views import show_over, view_node
from UltrasoundMotionLib.mrml.volume_nodes import add_label_map, add_segmentation, add_volume, volume_from_node
from UltrasoundMotionLib.registration.largest_motion import largest_motion_index

VIEWS = ("Red", "Yellow", "Green")


@pytest.fixture(params=["3D", "2D"])
def nodes(request, scene):
    for name in VIEWS:
        view_node(scene, "vtkMRMLSliceNode", name)
        view_node(scene, "vtkMRMLSliceCompositeNode", name)
    flat = request.param == "2D"
    nodes = pair_in(scene, (26, 24) if flat else (20, 26, 24), flat=flat)
    image = volume_from_node(nodes["moving"])
    nodes["warped"] = add_volume(scene, image, "warped")
    labels = volume_from_node(nodes["moving"])
    array = np.zeros(labels.array.shape, dtype=np.int16)
    array[..., 4:9, 4:9] = 1
    carried = Volume(array, image.spacing_mm, image.origin_mm, image.direction, "carried")
    nodes["moved segmentation"] = add_segmentation(scene, carried, "moved", nodes["fixed"])
    show_over(nodes["fixed"], nodes["warped"])
    return nodes


@pytest.fixture
def pair(nodes):
    names = ("fixed", "moving", "warped", "fixed segmentation", "moving segmentation", "moved segmentation")
    return RegisteredPair(*[nodes[name] for name in names])


def composites(scene):
    return [scene.GetSingletonNode(name, "vtkMRMLSliceCompositeNode") for name in VIEWS]


def shown(scene):
    """(background, foreground, opacity) of the first view, after checking that all show the same."""
    found = {
        (
            *(
                scene.GetNodeByID(one).GetName() if one else None
                for one in (node.GetBackgroundVolumeID(), node.GetForegroundVolumeID())
            ),
            node.GetForegroundOpacity(),
        )
        for node in composites(scene)
    }
    assert len(found) == 1
    return found.pop()


def state(scene):
    """Everything of the scene that a comparison may touch."""
    displays = [
        (node.GetVisibility(), node.GetVisibility2DFill(), node.GetVisibility2DOutline(), colors(node))
        for node in slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode", scene)
    ]
    parents = [node.GetTransformNodeID() for node in slicer.util.getNodesByClass("vtkMRMLVolumeNode", scene)]
    views = [(node.GetLabelVolumeID(), node.GetBackgroundVolumeID()) for node in composites(scene)]
    return node_names(scene), displays, parents, shown(scene), views


def colors(display):
    node = display.GetDisplayableNode()
    return [tuple(display.GetSegmentOverrideColor(one)) for one in node.GetSegmentation().GetSegmentIDs()]


def test_each_view_shows_what_it_says_and_all_is_put_back(scene, pair):
    before = state(scene)
    comparison = RegistrationComparison(pair)
    comparison.show_before()
    assert shown(scene) == ("fixed", "moving", 1.0)
    comparison.show_after()
    assert shown(scene) == ("fixed", "warped", 1.0)
    comparison.show_fixed()
    assert shown(scene) == ("fixed", "warped", 0.0)
    comparison.show_checkerboard(6.0)
    assert shown(scene) == ("fixed", "checkerboard", 1.0)
    board = scene.GetNodeByID(composites(scene)[0].GetForegroundVolumeID())
    assert board.GetHideFromEditors() and not board.GetSaveWithScene()
    assert not board.GetDisplayNode().GetSaveWithScene()
    comparison.show_checkerboard(9.0)
    assert len(slicer.util.getNodesByClass("vtkMRMLVolumeNode", scene)) == 4  # the same node again
    comparison.restore()
    assert state(scene) == before
    comparison.restore()
    assert state(scene) == before


def test_labels_are_outlines_of_two_colours_and_the_moving_ones_go_where_they_are_meant(scene, pair):
    comparison = RegistrationComparison(pair)
    comparison.show_before()
    displays = [one.GetDisplayNode() for one in (pair.fixed_labels, pair.moving_labels, pair.moved_labels)]
    assert [one.GetVisibility() for one in displays] == [1, 1, 0]
    comparison.show_after()
    assert [one.GetVisibility() for one in displays] == [1, 0, 1]
    assert not any(one.GetVisibility2DFill() for one in displays)
    for display, color in zip(displays, (FIXED_COLOR, MOVED_COLOR, MOVED_COLOR), strict=True):
        assert all(one == pytest.approx(color) for one in colors(display))
    segment = pair.fixed_labels.GetSegmentation().GetNthSegment(0)
    assert segment.GetColor() != pytest.approx(FIXED_COLOR)  # the segment itself keeps its colour


def test_before_shows_the_moving_volume_without_the_transform_that_it_stands_under(scene, pair):
    grid = scene.AddNewNodeByClass("vtkMRMLTransformNode", "moving to fixed")
    put_under(pair.moving, grid)
    before = state(scene)
    comparison = RegistrationComparison(pair)
    comparison.show_before()
    copy = scene.GetNodeByID(composites(scene)[0].GetForegroundVolumeID())
    assert copy is not pair.moving and copy.GetTransformNodeID() is None
    assert copy.GetImageData() is pair.moving.GetImageData()
    assert pair.moving.GetTransformNodeID() == grid.GetID()
    comparison.restore()
    assert state(scene) == before


def test_what_was_deleted_meanwhile_is_no_fault(scene, pair):
    comparison = RegistrationComparison(pair)
    comparison.show_checkerboard(6.0)
    scene.RemoveNode(pair.warped)
    scene.RemoveNode(pair.fixed_labels)
    assert not pair.is_in_scene
    comparison.restore()
    assert shown(scene) == ("fixed", None, 0.5)
    with pytest.raises(InputError, match="register first"):
        check_comparable(pair)


def test_a_scene_saved_during_a_comparison_gets_its_labels_back(scene, pair, tmp_path):
    """Slicer fires no event before it saves, in which the comparison could end."""
    before = state(scene)[1]
    comparison = RegistrationComparison(pair)
    comparison.show_before()
    path = write_scene(scene, tmp_path / "scene.mrb")
    scene.Clear(False)
    read_scene(scene, path)
    assert state(scene)[1] != before
    put_back_labels(scene)
    assert [one[:3] for one in state(scene)[1]] == [one[:3] for one in before]
    assert {min(color) for _visible, _fill, _outline, found in state(scene)[1] for color in found} == {-1.0}
    kept = state(scene)[1]
    put_back_labels(scene)
    assert state(scene)[1] == kept


def test_a_view_that_appears_during_a_comparison_is_put_back_too(scene, pair):
    comparison = RegistrationComparison(pair)
    comparison.show_before()
    view = view_node(scene, "vtkMRMLSliceCompositeNode", "Compare1")  # another layout
    view.SetBackgroundVolumeID(pair.moving.GetID())
    comparison.show_checkerboard(6.0)
    comparison.restore()
    assert view.GetBackgroundVolumeID() == pair.moving.GetID() and view.GetForegroundVolumeID() is None


def test_a_grid_that_changed_cannot_be_compared(pair):
    check_comparable(pair)
    pair.warped.SetSpacing(2.0, 2.0, 2.0)
    with pytest.raises(InputError, match="another grid"):
        check_comparable(pair)


def test_label_maps_are_hidden_and_shown_too(scene, pair):
    image = volume_from_node(pair.moving)
    labels = Volume(
        (image.array > image.array.mean()).astype(np.int16),
        *[getattr(image, name) for name in ("spacing_mm", "origin_mm", "direction")],
        "atlas",
    )
    atlas = add_label_map(scene, labels, "atlas")
    for one in composites(scene):
        one.SetLabelVolumeID(atlas.GetID())
    comparison = RegistrationComparison(RegisteredPair(pair.fixed, pair.moving, pair.warped, None, atlas))
    comparison.show_after()
    assert [one.GetLabelVolumeID() for one in composites(scene)] == [None] * 3
    comparison.show_before()
    assert [one.GetLabelVolumeID() for one in composites(scene)] == [atlas.GetID()] * 3
    assert scene.GetSingletonNode("Red", "vtkMRMLSliceNode").GetUseLabelOutline()
    comparison.restore()
    assert not scene.GetSingletonNode("Red", "vtkMRMLSliceNode").GetUseLabelOutline()
    hide_labels(atlas)
    assert [one.GetLabelVolumeID() for one in composites(scene)] == [None] * 3
    hide_labels(pair.moving_labels)
    assert not pair.moving_labels.GetDisplayNode().GetVisibility()


@pytest.mark.parametrize("shape", [(12, 20, 16), (20, 16)])
def test_the_checkerboard_is_that_of_simpleitk(shape):
    spacing = (1.5,) * len(shape)
    images = [
        Volume(texture(shape, seed), spacing, (0.0,) * len(shape), np.eye(len(shape)), "image") for seed in (1, 2)
    ]
    mine = checkerboard(*images, tile_mm=6.0)
    scaled = []
    for image in images:
        low, high = np.percentile(image.array, (0.5, 99.5))
        scaled.append(sitk.GetImageFromArray(np.clip((image.array - low) / (high - low), 0, 1)))
    theirs = sitk.CheckerBoard(*scaled, [size // 4 for size in shape[::-1]])
    np.testing.assert_allclose(mine.array, sitk.GetArrayFromImage(theirs), atol=1e-6)
    with pytest.raises(InputError, match="tile_mm"):
        checkerboard(*images, tile_mm=0.0)


def test_the_views_go_to_where_the_motion_is_largest(scene):
    shape, spacing = (18, 30, 40), (1.0, 1.5, 3.0)
    where = np.array([31.0, 9.0, 12.0])
    index = np.stack(np.meshgrid(*[np.arange(size) for size in shape], indexing="ij"), axis=-1)[..., ::-1]
    bump = np.exp(-(((index - where) * spacing) ** 2).sum(-1) / 2 / 5**2)
    field = bump[..., None] * (0, 6.0, 2.0) + (20.0, -5.0, 0.0)  # after a rigid alignment
    found = np.array(largest_motion_index(field, spacing))
    assert (np.abs(found - where) * spacing).max() <= 4
    elsewhere = np.zeros(shape)
    elsewhere[:, :, :5] = 1
    assert largest_motion_index(field, spacing, elsewhere)[0] < 5
    assert largest_motion_index(field, spacing, np.zeros(shape)) == tuple(found)
    flat = largest_motion_index(field[12, ..., :2], spacing[:2])
    assert (np.abs(np.array(flat) - where[:2]) * spacing[:2]).max() <= 4
    image = Volume(np.zeros(shape, dtype=np.uint8), spacing, (10.0, -20.0, 5.0), OBLIQUE, "image")
    node = add_volume(scene, image, "image")
    for name, orientation in zip(VIEWS, ("Axial", "Sagittal", "Coronal"), strict=True):
        view_node(scene, "vtkMRMLSliceNode", name).SetOrientation(orientation)
    jump_to_voxel(node, tuple(where))
    ras = (image.index_to_lps_mm @ [*where, 1])[:3] * (-1, -1, 1)
    for name in VIEWS:
        matrix = slicer.util.arrayFromVTKMatrix(scene.GetSingletonNode(name, "vtkMRMLSliceNode").GetSliceToRAS())
        assert abs((np.linalg.inv(matrix) @ [*ras, 1])[2]) < 1e-6  # the point lies in the slice
