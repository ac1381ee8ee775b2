"""A clip that is in the scene is placed in a volume, from the panel and the console of Landmark Tracking."""

import numpy as np
import pytest
import slicer
import vtk

import slicer_stand_ins
from landmark_bench import QUERY_PX, LandmarkBench
from module_bench import needs_qt
from UltrasoundMotionLib import Volume
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.image_geometry import from_vtk_matrix, pixels_to_ras_mm, to_vtk_matrix
from UltrasoundMotionLib.mrml.sequence_nodes import find_sequence_nodes
from UltrasoundMotionLib.mrml.volume_nodes import add_volume
from widget_api import check_recorded


@pytest.fixture
def bench(open_bench):
    return open_bench(LandmarkBench)


def add_mri(bench):
    array = np.random.default_rng(1).random((40, 60, 60)).astype(np.float32)
    return add_volume(bench.scene, Volume(array, (3.0, 3.0, 3.0), (-90.0, -90.0, -60.0), np.eye(3)), "mri")


def rigid():
    transform = vtk.vtkTransform()
    transform.Translate(4, -6, 9)
    transform.RotateWXYZ(35, 0.2, 0.5, 0.8)
    return from_vtk_matrix(transform.GetMatrix())


def add_transform(bench, matrix, name="clip to mri"):
    node = bench.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    node.SetMatrixTransformToParent(to_vtk_matrix(matrix))
    return node


def world(markups):
    """(N, 3)."""
    found = []
    for number in range(markups.GetNumberOfControlPoints()):
        position = [0.0, 0.0, 0.0]
        markups.GetNthControlPointPositionWorld(number, position)
        found.append(position)
    return np.array(found)


def moved(points, matrix):
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def add_points(bench, positions, name, labels=None):
    node = bench.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    for number, position in enumerate(positions):
        node.AddControlPoint(*position, labels[number] if labels else f"L{number}")
    return node


@needs_qt
def test_by_clicks_a_transform_then_landmarks_then_out_again(bench):
    with slicer_stand_ins.qt_stand_ins.recorded() as used:
        click_through(bench)
    check_recorded(used)


def click_through(bench):
    widget = bench.open()
    section = widget._placementSection
    ui = section._ui
    mri, transform = add_mri(bench), add_transform(bench, rigid())
    before = world(bench.points)
    assert not ui.placeInVolumeButton.enabled and "MRI or CT" in ui.placeInVolumeButton.toolTip
    ui.placementVolumeSelector.setCurrentNode(mri)
    assert "transform" in ui.placeInVolumeButton.toolTip
    ui.placementTransformSelector.setCurrentNode(transform)
    assert ui.placeInVolumeButton.enabled
    ui.placeInVolumeButton.click()
    assert bench.application.errors == []
    assert widget.ui.statusLabel.text == "Placed in mri under clip to mri"
    assert bench.clip.proxy.GetParentTransformNode() is transform
    np.testing.assert_allclose(world(bench.points), moved(before, rigid()), atol=1e-9)
    composite = bench.scene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
    assert composite.GetBackgroundVolumeID() == mri.GetID()
    assert composite.GetForegroundVolumeID() == bench.clip.proxy.GetID()
    red = bench.scene.GetSingletonNode("Red", "vtkMRMLSliceNode")
    plane = from_vtk_matrix(red.GetSliceToRAS())
    distance = (world(bench.points) - plane[:3, 3]) @ plane[:3, 2]
    np.testing.assert_allclose(distance, 0, atol=1e-6)  # the view lies in the placed clip's plane
    assert red.GetSliceVisible() and ui.showInVolumeButton.enabled
    ui.showInVolumeButton.click()

    ui.takeOutButton.click()
    assert bench.clip.proxy.GetParentTransformNode() is None and transform.GetScene() is not None
    np.testing.assert_allclose(world(bench.points), before, atol=1e-9)
    assert not ui.takeOutButton.enabled

    ui.placementMethodSelector.currentIndex = 1
    assert not ui.placementTransformSelector.visible
    on_clip = pixels_to_ras_mm(bench.sequence, np.array([[20.0, 20], [120, 25], [70, 100], [30, 90]]))
    ui.clipPointsSelector.setCurrentNode(add_points(bench, on_clip, "on clip"))
    assert "two lists" in ui.placeInVolumeButton.toolTip
    ui.volumePointsSelector.setCurrentNode(add_points(bench, moved(on_clip, rigid()), "in mri"))
    ui.placeInVolumeButton.click()
    assert bench.application.errors == []
    assert "4 landmarks fit to 0.00 mm" in widget.ui.statusLabel.text
    np.testing.assert_allclose(world(bench.points), moved(before, rigid()), atol=1e-6)
    own = bench.clip.proxy.GetParentTransformNode()
    ui.placeInVolumeButton.click()  # again: the same transform, the same place
    assert bench.clip.proxy.GetParentTransformNode() is own
    np.testing.assert_allclose(world(bench.points), moved(before, rigid()), atol=1e-6)
    ui.takeOutButton.click()
    assert own.GetScene() is None


def test_results_move_with_the_clip_and_tracking_goes_on_there(bench):
    logic, mri = bench.logic, add_mri(bench)
    result = logic.track(bench.clip.proxy, bench.points)
    before = logic.tracks(result.landmarks.proxy).positions_px
    places = world(result.landmarks.proxy)
    logic.placeByTransform(bench.clip.proxy, mri, add_transform(bench, rigid()), pointsNodes=[bench.points])
    np.testing.assert_allclose(world(result.landmarks.proxy), moved(places, rigid()), atol=1e-6)
    assert all(path.GetParentTransformNode() is not None for path in result.paths)
    np.testing.assert_allclose(logic.tracks(result.landmarks.proxy).positions_px, before, atol=1e-6)
    again = logic.track(bench.clip.proxy, bench.points)
    np.testing.assert_allclose(logic.tracks(again.landmarks.proxy).positions_px, before, atol=1e-3)


def test_a_transform_that_a_browser_plays_moves_the_clip_frame_by_frame(bench):
    from UltrasoundMotionLib.mrml.sequence_nodes import join_browser

    node, items = add_transform(bench, np.eye(4)), slicer.vtkMRMLSequenceNode()
    bench.clip.index.apply(items)
    for frame, value in enumerate(bench.clip.index.values):
        item = slicer.vtkMRMLLinearTransformNode()
        matrix = rigid()
        matrix[2, 3] += frame
        item.SetMatrixTransformToParent(to_vtk_matrix(matrix))
        items.SetDataNodeAtValue(item, value)
    bench.scene.AddNode(items)
    join_browser(bench.clip.browser, items, node, editable=False)
    before = pixels_to_ras_mm(bench.sequence, QUERY_PX)
    bench.logic.placeByTransform(bench.clip.proxy, add_mri(bench), node, pointsNodes=[bench.points])
    for frame in (0, 5, 11):
        bench.clip.browser.SetSelectedItemNumber(frame)
        np.testing.assert_allclose(world(bench.points), np.add(moved(before, rigid()), (0, 0, frame)), atol=1e-6)


def test_what_does_not_place_a_clip_is_refused(bench):
    logic, mri, clip = bench.logic, add_mri(bench), bench.clip.proxy
    with pytest.raises(InputError, match="clip to mri: scales by 2 x 2 x 2"):
        logic.placeByTransform(clip, mri, add_transform(bench, np.diag([2.0, 2, 2, 1])))
    with pytest.raises(InputError, match="mirrors"):
        logic.placeByTransform(clip, mri, add_transform(bench, np.diag([1.0, 1, -1, 1])))
    on_clip = pixels_to_ras_mm(bench.sequence, np.array([[20.0, 20], [120, 25], [70, 100]]))
    good = add_points(bench, moved(on_clip, rigid()), "in mri")
    with pytest.raises(InputError, match="0 pairs of landmarks do not fix a place"):
        logic.placeByLandmarks(clip, mri, add_points(bench, on_clip, "other names", "xyz"), good)
    with pytest.raises(InputError, match=r"L0 lies 30.0 mm off the image plane"):
        off = on_clip + 30 * np.cross(*np.diff(on_clip, axis=0)) / np.linalg.norm(np.cross(*np.diff(on_clip, axis=0)))
        logic.placeByLandmarks(clip, mri, add_points(bench, off, "off"), good)
    with pytest.raises(InputError, match="lie on a line"):
        line = pixels_to_ras_mm(bench.sequence, np.array([[20.0, 20], [60, 20], [100, 20]]))
        logic.placeByLandmarks(clip, mri, add_points(bench, line, "line"), good)
    assert clip.GetParentTransformNode() is None
    far = rigid()
    far[0, 3] = 5000
    notes = logic.placeByTransform(clip, mri, add_transform(bench, far)).notes
    assert "no part of the placed clip lies inside mri" in notes[0]
    assert find_sequence_nodes(clip).proxy is clip
