"""Landmark Tracking from its panel: what a user clicks, sees and saves."""

import numpy as np
import pytest

import slicer_stand_ins
from landmark_bench import QUERY_PX, LandmarkBench, positions, truth_px
from module_bench import needs_qt
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.mrml.image_geometry import pixels_to_ras_mm
from UltrasoundMotionLib.mrml.layouts import IMAGE_CHART_TABLE
from UltrasoundMotionLib.mrml.scene_files import read_scene, write_scene
from UltrasoundMotionLib.mrml.sequence_nodes import find_sequence_nodes
from UltrasoundMotionLib.tracking import (
    read_tracks_csv,
    track_points,
)
from widget_api import check_recorded


@needs_qt
def test_from_the_clip_to_a_corrected_result_by_clicks(bench, tmp_path, monkeypatch):
    with slicer_stand_ins.qt_stand_ins.recorded() as used:
        click_through(bench, tmp_path, monkeypatch)
    check_recorded(used)


@pytest.fixture
def bench(open_bench):
    return open_bench(LandmarkBench)


def click_through(bench, tmp_path, monkeypatch):
    widget = bench.application.open_module("LandmarkTracking")
    ui = widget.ui
    assert widget.parameters.inputClip == bench.clip.proxy  # the only clip there is
    assert ui.clipLabel.text.startswith("24 frames of 140 x 120 px, 0.4 x 0.25 mm, 30 frames/s")
    assert not ui.applyButton.enabled
    assert "Place landmarks" in ui.statusLabel.text
    ui.landmarksWidget.setCurrentNode(bench.points)
    assert ui.applyButton.enabled
    assert ui.statusLabel.text == ""
    bench.points.UnsetNthControlPointPosition(0)
    bench.points.RemoveAllControlPoints()
    assert not ui.applyButton.enabled
    for position in pixels_to_ras_mm(bench.sequence, QUERY_PX):
        bench.points.AddControlPoint(position)
    assert ui.applyButton.enabled
    bench.clip.browser.SetSelectedItemNumber(4)
    assert "The points were placed on frame 0 and are followed from there" in ui.queryFrameLabel.text
    bench.clip.browser.SetSelectedItemNumber(0)
    assert "Frame 0 of 24 is shown" in ui.queryFrameLabel.text

    ui.applyButton.click()
    assert ui.applyButton.text == "&Cancel"
    bench.wait_until_done(widget)
    assert bench.application.errors == []
    assert ui.statusLabel.text.startswith("3 points through 24 frames")
    assert ui.applyButton.text == "&Track"
    tracked = find_sequence_nodes(widget.parameters.trackedLandmarks)
    np.testing.assert_allclose(positions(bench, tracked), truth_px(24), atol=0.3)

    assert ui.trackAgainButton.enabled
    ui.correctButton.checked = True
    assert not tracked.proxy.GetLocked()
    bench.clip.browser.SetSelectedItemNumber(6)
    tracked.proxy.SetNthControlPointPosition(1, *pixels_to_ras_mm(bench.sequence, truth_px(24)[6, 1] + [4, 0]))
    ui.trackAgainButton.click()
    bench.wait_until_done(widget)
    np.testing.assert_allclose(positions(bench, tracked)[6:, 1], truth_px(24)[6:, 1] + [4, 0], atol=0.5)
    np.testing.assert_allclose(positions(bench, tracked)[:6], truth_px(24)[:6], atol=0.3)
    ui.correctButton.checked = False
    assert tracked.proxy.GetLocked()

    layout = bench.application.layout
    ui.plotButton.checked = True
    assert bench.application.layout == IMAGE_CHART_TABLE.number
    assert bench.scene.GetSingletonNode("PlotView1", "vtkMRMLPlotViewNode").GetPlotChartNode() is not None
    ui.plotButton.checked = False
    assert bench.application.layout == layout

    monkeypatch.setattr(
        slicer_stand_ins.qt_stand_ins.QtWidgets.QFileDialog, "getSaveFileName", lambda *_: str(tmp_path / "out.csv")
    )
    ui.exportCsvButton.click()
    assert read_tracks_csv(tmp_path / "out.csv").labels == bench.logic.tracks(tracked.proxy).labels
    assert "out.csv" in ui.statusLabel.text


@needs_qt
def test_the_command_repeats_the_run(bench, tmp_path):
    widget = bench.open()
    command = widget.commandArguments()
    assert command[:2] == ("ultrasound-motion", "track")
    clip, points, out = tmp_path / "clip.seq.nrrd", tmp_path / "points.mrk.json", tmp_path / "tracks.csv"
    saved = (
        (bench.clip.sequence, clip, "vtkMRMLVolumeSequenceStorageNode"),
        (bench.points, points, "vtkMRMLMarkupsJsonStorageNode"),
    )
    for node, path, class_name in saved:
        storage = bench.scene.AddNewNodeByClass(class_name)
        storage.SetFileName(str(path))
        node.SetAndObserveStorageNodeID(storage.GetID())
        assert storage.WriteData(node)
    command = [str(out) if argument == "tracks.csv" else argument for argument in widget.commandArguments()]
    assert str(clip) in command
    assert str(points) in command

    assert main([*command[1:], "--quiet"]) == 0
    result = bench.logic.track(bench.clip.proxy, bench.points)
    np.testing.assert_allclose(read_tracks_csv(out).positions_px, positions(bench, result.landmarks), atol=0.02)


@needs_qt
def test_nothing_is_added_to_a_tracker_that_sees_the_whole_clip(bench):
    widget = bench.open()
    widget.ui.shadowsCheckBox.checked = True
    widget.ui.aheadSpinBox.value = 2
    widget.parameters.tracker = "echotracker"
    boxes = (widget.ui.shadowsCheckBox, widget.ui.offlineCheckBox, widget.ui.aheadSpinBox)
    assert not any(box.enabled for box in boxes)
    assert not {"--watch-shadows", "--offline", "--ahead-frames"} & set(widget.commandArguments())
    widget.parameters.tracker = "lucas-kanade"
    assert all(box.enabled for box in boxes)
    assert widget.commandArguments()[-3:] == ("--watch-shadows", "--ahead-frames", "2")


@needs_qt
@pytest.mark.slow
@pytest.mark.own_process  # the one that all share has the environment of when it was started
def test_a_network_that_is_imported_while_the_panel_is_open_runs_from_it(bench, tmp_path, monkeypatch):
    import torch

    import golden_networks

    monkeypatch.setenv("ULTRASOUND_MOTION_MODELS", str(tmp_path / "models"))
    widget = bench.open()
    widget.parameters.tracker = "echotracker"
    assert "models import CHECKPOINT --as echotracker" in widget.whyNotApply()
    stored = golden_networks.golden("echotracker")
    weights = golden_networks.official_weights(stored["tensors"], stored["output_layers"], torch.float32)
    torch.save({"model_state_dict": weights}, tmp_path / "model-000000000.pth")
    assert main(["models", "import", str(tmp_path / "model-000000000.pth"), "--as", "echotracker"]) == 0
    assert widget.whyNotApply() == ""
    widget.parameters.tracker = "lucas-kanade"
    widget.parameters.tracker = "echotracker"  # the panel is updated
    widget.ui.applyButton.click()
    bench.wait_until_done(widget)
    expected = track_points(bench.sequence, QUERY_PX, model="echotracker", device="cpu").positions_px
    found = bench.logic.tracks(widget.parameters.trackedLandmarks).positions_px
    np.testing.assert_allclose(found, expected, atol=1e-3)


@needs_qt
@pytest.mark.slow
def test_what_is_added_to_the_tracker_is_in_the_command_and_in_the_run(bench):
    widget = bench.open()
    assert not {"--watch-shadows", "--offline", "--ahead-frames"} & set(widget.commandArguments())
    widget.ui.aheadSpinBox.value = 2
    assert widget.commandArguments()[-2:] == ("--ahead-frames", "2")
    widget.ui.offlineCheckBox.checked = True  # what knows the future does not predict it
    widget.ui.shadowsCheckBox.checked = True
    assert not widget.ui.aheadSpinBox.enabled
    assert widget.commandArguments()[-2:] == ("--watch-shadows", "--offline")
    widget.ui.applyButton.click()
    bench.wait_until_done(widget)
    expected = track_points(bench.sequence, QUERY_PX, device="cpu", watch_shadows=True, offline=True).positions_px
    plain = track_points(bench.sequence, QUERY_PX, device="cpu").positions_px
    found = bench.logic.tracks(widget.parameters.trackedLandmarks).positions_px
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert np.abs(plain - expected).max() > 0.01  # smoothing shows


@needs_qt
def test_the_command_is_shown_with_what_to_save_first(bench, monkeypatch):
    widget, shown = bench.open(), []
    boxes = slicer_stand_ins.qt_stand_ins.QtWidgets.QMessageBox
    monkeypatch.setattr(boxes, "exec_", lambda box: shown.append(box.informativeText()))
    widget.ui.commandButton.click()
    assert shown[0].startswith("ultrasound-motion track ")
    assert "clip.seq.nrrd" in shown[0]
    assert "First save" in shown[0]
    assert "points.mrk.json" in shown[0]


@needs_qt
def test_parameters_are_remembered_in_the_scene(bench, tmp_path):
    widget = bench.open()
    widget.ui.trackerSelector.currentIndex = 1
    widget.ui.directionSelector.currentIndex = 1
    widget.ui.pathsCheckBox.checked = False
    chosen = widget.parameters.tracker
    assert chosen != "lucas-kanade"
    write_scene(bench.scene, tmp_path / "work.mrb")
    bench.scene.Clear(False)
    assert widget.parameters.tracker == "lucas-kanade"
    assert not widget.ui.applyButton.enabled
    read_scene(bench.scene, tmp_path / "work.mrb")
    parameters = widget.parameters
    assert parameters.inputClip.GetName() == "clip"
    assert parameters.landmarks.GetName() == "points"
    assert (parameters.tracker, parameters.direction.value, parameters.drawPaths) == (chosen, "forward", False)
    assert widget.ui.trackerSelector.currentIndex == 1
    assert not widget.ui.pathsCheckBox.checked
    assert widget.ui.applyButton.enabled


@needs_qt
def test_one_point_is_counted_in_the_singular(bench):
    from UltrasoundMotionModuleLib.shared.tracking import summary

    tracks = track_points(bench.sequence, QUERY_PX[:1], device="cpu")
    assert summary(tracks, 1.0).startswith("1 point through 24 frames in 1.0 s")
    both = track_points(bench.sequence, QUERY_PX[:2], device="cpu")
    assert summary(both, 1.0).startswith("2 points through 24 frames in 1.0 s")


@needs_qt
def test_while_correcting_the_panel_says_what_to_drag_and_not_to_go_back(bench):
    widget = bench.open()
    widget.ui.applyButton.click()
    bench.wait_until_done(widget)
    bench.clip.browser.SetSelectedItemNumber(6)
    assert widget.ui.queryFrameLabel.text == "Frame 6 of 24 is shown. The points were placed on frame 0."
    widget.ui.correctButton.checked = True
    assert "go back" not in widget.ui.queryFrameLabel.text
    assert "Frame 6 of 24 is shown: drag" in widget.ui.queryFrameLabel.text
    widget.ui.correctButton.checked = False
    assert widget.ui.queryFrameLabel.text == "Frame 6 of 24 is shown. The points were placed on frame 0."


@needs_qt
def test_track_starts_where_the_points_were_placed_whatever_frame_is_shown(bench):
    widget = bench.open()
    bench.clip.browser.SetSelectedItemNumber(7)
    assert widget.parameters.placedFrame == 0
    assert widget.commandArguments()[widget.commandArguments().index("--query-frame") + 1] == "0"
    widget.ui.applyButton.click()
    bench.wait_until_done(widget)
    tracked = find_sequence_nodes(widget.parameters.trackedLandmarks)
    assert bench.logic.tracks(tracked.proxy).query_frame == 0
    np.testing.assert_allclose(positions(bench, tracked), truth_px(24), atol=0.3)


@needs_qt
def test_the_placed_frame_is_kept_in_the_scene_and_follows_the_points(bench):
    widget = bench.open()
    bench.clip.browser.SetSelectedItemNumber(5)
    bench.points.SetNthControlPointPosition(1, *pixels_to_ras_mm(bench.sequence, QUERY_PX[1] + 3))
    bench.points.InvokeEvent(bench.points.PointEndInteractionEvent)  # the mouse button is released
    assert widget.parameters.placedFrame == 5
    assert widget.ui.queryFrameLabel.text.startswith("P1, P3 were placed on another frame than frame 5")
    for control in (0, 2):
        bench.points.SetNthControlPointPosition(control, *pixels_to_ras_mm(bench.sequence, QUERY_PX[control] + 3))
    bench.points.InvokeEvent(bench.points.PointEndInteractionEvent)
    assert widget.ui.queryFrameLabel.text.startswith("Frame 5 of 24 is shown: place the points on it")
    bench.clip.browser.SetSelectedItemNumber(9)
    widget = bench.application.reload_module("LandmarkTracking")  # as when the scene is opened again
    assert widget.parameters.placedFrame == 5
    assert "placed on frame 5 and are followed from there" in widget.ui.queryFrameLabel.text
    bench.points.RemoveAllControlPoints()
    assert widget.parameters.placedFrame == -1
    assert widget.ui.queryFrameLabel.text.startswith("Frame 9 of 24 is shown: place the points on it")
    bench.points.AddControlPoint(*pixels_to_ras_mm(bench.sequence, QUERY_PX[:1])[0])
    assert widget.parameters.placedFrame == 9


@needs_qt
def test_one_button_places_as_many_landmarks_as_the_user_clicks(bench):
    with slicer_stand_ins.qt_stand_ins.recorded() as used:
        place_by_clicks(bench)
    check_recorded(used)


def place_by_clicks(bench):
    widget = bench.application.open_module("LandmarkTracking")
    ui, place = widget.ui, widget.ui.landmarksWidget.markupsPlaceWidget()
    ui.placeButton.click()
    points = widget.parameters.landmarks
    assert points is not None
    assert ui.placeButton.checked
    assert (place.placeModeEnabled, place.placeModePersistency) == (True, True)
    assert min(points.GetDisplayNode().GetSelectedColor()) > 0.3  # nothing dark on a dark image
    for position in pixels_to_ras_mm(bench.sequence, QUERY_PX):
        points.AddControlPoint(position)
    assert [points.GetNthControlPointLabel(control) for control in range(3)] == ["P1", "P2", "P3"]
    assert ui.applyButton.enabled
    place.placeModeEnabled = False  # a right click in the view
    assert not ui.placeButton.checked
    ui.placeButton.click()
    assert widget.parameters.landmarks is points
    assert place.placeModeEnabled
    widget.exit()  # the user leaves the module
    assert not place.placeModeEnabled
    widget.enter()
    assert bench.application.errors == []


@needs_qt
def test_a_list_that_the_user_creates_is_not_black(bench):
    widget = bench.open()
    added = bench.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "own")
    added.CreateDefaultDisplayNodes()
    added.GetDisplayNode().SetSelectedColor(0, 0, 0)  # as Slicer's widget does
    widget.ui.landmarksWidget._wrapped.markupsSelectorComboBox().nodeAddedByUser.emit(added)
    assert min(added.GetDisplayNode().GetSelectedColor()) > 0.3


@needs_qt
def test_the_image_shows_one_set_of_points(bench, tmp_path):
    widget = bench.open()
    bench.points.CreateDefaultDisplayNodes()
    ui = widget.ui

    def shown():
        nodes = (widget.parameters.landmarks, widget.parameters.trackedLandmarks)
        return tuple(bool(node.GetDisplayVisibility()) for node in nodes if node is not None)

    assert shown() == (True,)
    assert not ui.shownSelector.enabled
    ui.applyButton.click()
    bench.wait_until_done(widget)
    assert shown() == (False, True)
    assert (ui.shownSelector.enabled, ui.shownSelector.currentText) == (True, "tracked")
    ui.placeButton.click()
    assert shown() == (True, False)
    assert ui.shownSelector.currentText == "placed by you"
    ui.placeButton.click()
    ui.correctButton.checked = True
    assert shown() == (False, True)
    ui.correctButton.checked = False
    ui.shownSelector.currentIndex = 0
    assert shown() == (True, False)
    write_scene(bench.scene, tmp_path / "work.mrb")
    bench.scene.Clear(False)
    read_scene(bench.scene, tmp_path / "work.mrb")
    assert shown() == (True, False)
    ui.applyButton.click()
    bench.wait_until_done(widget)
    assert shown() == (False, True)
    first = widget.parameters.trackedLandmarks
    widget.parameters.trackedLandmarks = None  # "Create new"
    assert shown() == (True,)
    assert not first.GetDisplayVisibility()
    ui.applyButton.click()
    bench.wait_until_done(widget)
    assert shown() == (False, True)
    assert not first.GetDisplayVisibility()
    widget.parameters.trackedLandmarks = first
    assert shown() == (False, True)
    assert bench.application.errors == []
