"""Corrections of many frames from Landmark Tracking's panel: keys, bar, undo, layers."""

import re
from pathlib import Path

import numpy as np
import pytest
import slicer

import slicer_stand_ins
from landmark_bench import LandmarkBench, positions, truth_px
from module_bench import needs_qt
from UltrasoundMotionLib.mrml.image_geometry import pixels_to_ras_mm
from UltrasoundMotionLib.mrml.layer_corrections import labels_of
from UltrasoundMotionLib.mrml.sequence_nodes import find_sequence_nodes
from widget_api import check_recorded

pytestmark = needs_qt

DOCS = Path(__file__).resolve().parents[2] / "Docs"
SLICER_KEYS = set(
    """
    G T F B V R S [ ] { } Left Right Up Down Escape Del Backspace + - Home End PgDown Ins Clear
    Shift+V Shift+Home Shift+End Shift+PgDown Shift+Left Shift+Right Shift+Up Shift+Down Shift+Del
    Ctrl+O Ctrl+S Ctrl+W Ctrl+Z Ctrl+Y Ctrl+X Ctrl+C Ctrl+V Ctrl+H Ctrl+F Ctrl+0 Ctrl+1 Ctrl+2 Ctrl+3 Ctrl+4 Ctrl+5
    Ctrl+6 Ctrl+` Ctrl+B Ctrl+Left Ctrl+Right Ctrl+Shift+Down Ctrl+Shift+Left Ctrl+Shift+Right
    """.split()  # noqa: SIM905
)
"""Slicer's own keys, read in vtkMRMLSliceIntersectionWidget.cxx, vtkMRMLCameraWidget.cxx, vtkSlicerMarkupsWidget.cxx,
qSlicerMainWindow.ui and .cxx, qSlicerModuleSelectorToolBar.cxx and qMRMLSequenceBrowserPlayWidget.cxx.
"""


@pytest.fixture
def bench(open_bench):
    return open_bench(LandmarkBench)


@pytest.fixture
def widget(bench):
    """The panel with the result of a run."""
    widget = bench.open()
    widget.ui.applyButton.click()
    bench.wait_until_done(widget)
    settle(bench, widget)
    return widget


def section(widget):
    return widget._annotationSection


def settle(bench, widget):
    """Waits until nothing is read or restored any more."""
    bench.application.wait(lambda: widget.run is None and not section(widget)._steps.running)


def tracked(widget):
    return find_sequence_nodes(widget.parameters.trackedLandmarks)


def drag(bench, widget, frame, number, to_px):
    """What the mouse does."""
    nodes, markups = tracked(widget), slicer.vtkMRMLMarkupsNode
    bench.clip.browser.SetSelectedItemNumber(frame)
    nodes.proxy.InvokeEvent(markups.PointStartInteractionEvent)
    nodes.proxy.SetNthControlPointPosition(number, *pixels_to_ras_mm(bench.sequence, np.array(to_px)))
    nodes.proxy.InvokeEvent(markups.PointEndInteractionEvent)
    settle(bench, widget)


def point_mouse(bench, at_px):
    """Puts the mouse over a place of the image; None: over nothing."""
    scene = bench.scene
    crosshair = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode") or scene.AddNewNodeByClass("vtkMRMLCrosshairNode")
    if at_px is None:
        crosshair.SetCursorPositionInvalid()
    else:
        crosshair.SetCursorPositionRAS(pixels_to_ras_mm(bench.sequence, np.array(at_px)).tolist())


@pytest.mark.slow
def test_two_drags_a_run_and_undo_by_clicks(bench, widget):
    with slicer_stand_ins.qt_stand_ins.recorded() as used:
        work_like_an_annotator(bench, widget)
    check_recorded(used)


def work_like_an_annotator(bench, widget):
    ui, truth = section(widget)._ui, truth_px(24)
    plain = positions(bench, tracked(widget))
    assert not ui.undoButton.enabled
    drag(bench, widget, 8, 1, truth[8, 1] + [4, 0])
    assert widget.ui.statusLabel.text.startswith("P2 corrected on frame 8")
    drag(bench, widget, 16, 1, truth[16, 1] + [4, 0])
    bench.clip.browser.SetSelectedItemNumber(20)
    ui.acceptButton.click()
    assert widget.ui.statusLabel.text == "P1, P2, P3 accepted on frame 20"
    ui.undoButton.click()
    settle(bench, widget)
    assert widget.ui.statusLabel.text == "Undone: accepting P1, P2, P3"
    ui.previousCorrectedButton.click()
    assert bench.clip.browser.GetSelectedItemNumber() == 16
    ui.previousCorrectedButton.click()
    ui.previousCorrectedButton.click()
    assert bench.clip.browser.GetSelectedItemNumber() == 0
    ui.nextCorrectedButton.click()
    assert bench.clip.browser.GetSelectedItemNumber() == 8
    ui.trackCorrectedButton.click()
    assert not ui.acceptButton.enabled
    settle(bench, widget)
    assert bench.application.errors == []
    assert widget.ui.statusLabel.text.startswith("P2 tracked through 3 corrected frames")
    found = positions(bench, tracked(widget))
    np.testing.assert_allclose(found[[8, 16], 1], truth[[8, 16], 1] + [4, 0], atol=1e-6)
    np.testing.assert_allclose(found[:, [0, 2]], plain[:, [0, 2]], atol=1e-9)
    for expected in ("tracking P2", "moving P2", "moving P2"):
        ui.undoButton.click()
        settle(bench, widget)
        assert widget.ui.statusLabel.text == f"Undone: {expected}"
    np.testing.assert_array_equal(positions(bench, tracked(widget)), plain)
    assert not ui.undoButton.enabled
    ui.redoButton.click()
    settle(bench, widget)
    assert widget.ui.statusLabel.text == "Done again: moving P2"


def test_lost_and_added_points_are_those_under_the_mouse(bench, widget):
    ui, truth = section(widget)._ui, truth_px(24)
    bench.clip.browser.SetSelectedItemNumber(5)
    point_mouse(bench, None)
    ui.markLostButton.click()
    assert widget.ui.statusLabel.text.startswith("Choose a point")
    point_mouse(bench, truth[5, 2] + [2, 1])
    ui.markLostButton.click()
    assert widget.ui.statusLabel.text == "P3 is lost on frame 5"
    missing = slicer.vtkMRMLMarkupsNode.PositionMissing
    assert tracked(widget).proxy.GetNthControlPointPositionStatus(2) == missing
    ui.markLostButton.click()
    assert widget.ui.statusLabel.text == "P3 is not lost on frame 5"
    assert tracked(widget).proxy.GetNthControlPointPositionStatus(2) != missing
    ui.pointSelector.currentIndex = 1
    ui.markLostOnButton.click()
    settle(bench, widget)
    assert widget.ui.statusLabel.text == "P1 is lost from frame 5 to 23"
    ui.undoButton.click()
    settle(bench, widget)
    point_mouse(bench, truth[5, 0] + [15, 4])
    ui.addPointButton.click()
    settle(bench, widget)
    assert labels_of(tracked(widget)) == ("P1", "P2", "P3", "P4")
    assert ui.pointSelector.count == 5
    ui.trackCorrectedButton.click()
    settle(bench, widget)
    np.testing.assert_allclose(
        positions(bench, tracked(widget))[:, 3], truth[:, 0] - truth[5, 0] + truth[5, 0] + [15, 4], atol=0.6
    )


def test_the_keys_work_in_the_module_only_and_are_none_of_slicers(bench, widget):
    qt = slicer_stand_ins.qt_stand_ins
    shortcuts = widget.uiWidget._wrapped.findChildren(qt.QtGui.QShortcut)
    keys = {shortcut.key().toString() for shortcut in shortcuts}
    assert keys == {",", ".", "Q", "W", "N", "A", "L", "Shift+L", "P", "Z", "Y"}
    assert not keys & set(SLICER_KEYS)
    assert all(shortcut.isEnabled() for shortcut in shortcuts)
    bench.clip.browser.SetSelectedItemNumber(3)
    by_key = {shortcut.key().toString(): shortcut for shortcut in shortcuts}
    by_key["."].activated.emit()
    assert bench.clip.browser.GetSelectedItemNumber() == 4
    by_key[","].activated.emit()
    by_key["A"].activated.emit()
    assert widget.ui.statusLabel.text == "P1, P2, P3 accepted on frame 3"
    widget.exit()
    assert not any(shortcut.isEnabled() for shortcut in shortcuts)
    widget.enter()
    assert all(shortcut.isEnabled() for shortcut in shortcuts)


def test_the_keys_work_after_a_reload_which_does_not_enter_the_module_again(bench, widget):
    qt = slicer_stand_ins.qt_stand_ins
    old = widget.uiWidget._wrapped.findChildren(qt.QtGui.QShortcut)
    widget = bench.application.reload_module("LandmarkTracking")
    assert not any(shortcut.isEnabled() for shortcut in old)
    keys = widget.uiWidget._wrapped.findChildren(qt.QtGui.QShortcut)
    assert len(keys) == 11
    assert all(shortcut.isEnabled() for shortcut in keys)
    widget.exit()
    assert not any(shortcut.isEnabled() for shortcut in keys)


def test_the_keys_belong_to_the_main_window_and_none_is_left_over_there(bench, monkeypatch):
    qt = slicer_stand_ins.qt_stand_ins
    window = qt.ClassFacade(qt.QtWidgets.QMainWindow)()
    monkeypatch.setattr(slicer.util, "mainWindow", lambda: window)
    bench.open()

    def keys():
        return [(one.key().toString(), one.isEnabled()) for one in window._wrapped.findChildren(qt.QtGui.QShortcut)]

    first = keys()
    assert len(first) == 11 and all(enabled for _key, enabled in first)
    bench.application.reload_module("LandmarkTracking")
    assert keys() == first


def locked_frames(widget):
    sequence = tracked(widget).sequence
    return [frame for frame in range(sequence.GetNumberOfDataNodes()) if sequence.GetNthDataNode(frame).GetLocked()]


def test_correct_unlocks_the_frame_shown_at_once_and_the_others_in_steps(bench, widget):
    bench.clip.browser.SetSelectedItemNumber(6)
    widget.ui.correctButton.checked = True
    assert locked_frames(widget) == [frame for frame in range(24) if frame != 6]
    assert widget.ui.correctButton.checked and not tracked(widget).proxy.GetLocked()
    widget.ui.correctButton.checked = False  # before the first change has ended
    assert len(locked_frames(widget)) == 24
    settle(bench, widget)
    assert len(locked_frames(widget)) == 24 and not widget.ui.correctButton.checked
    widget.ui.correctButton.checked = True
    settle(bench, widget)
    assert locked_frames(widget) == []
    widget.ui.correctButton.checked = False
    widget.parameters.trackedLandmarks, sequence = None, tracked(widget).sequence
    assert all(sequence.GetNthDataNode(frame).GetLocked() for frame in range(24))  # not left halfway
    assert bench.application.errors == []


def test_correct_is_refused_while_another_change_is_under_way(bench, widget):
    ui = section(widget)._ui
    ui.pointSelector.currentIndex = 1
    bench.clip.browser.SetSelectedItemNumber(3)
    ui.markLostOnButton.click()
    assert section(widget)._steps.busy  # in steps, as it is for many frames
    assert widget.ui.statusLabel.text == "Marking P1 as lost ..."
    widget.ui.correctButton.checked = True
    assert widget.ui.statusLabel.text == "Wait until the change of the points has ended"
    assert not widget.ui.correctButton.checked
    settle(bench, widget)
    assert widget.ui.statusLabel.text == "P1 is lost from frame 3 to 23"
    assert len(locked_frames(widget)) == 24


def test_steps_that_fail_by_a_fault_end_and_say_so():
    from UltrasoundMotionModuleLib.shared.step_timer import StepTimer

    said, ended = [], []

    def failing():
        yield 0, 1, "working"
        raise AttributeError("a node is gone")

    timer = StepTimer(said.append, lambda: ended.append("idle"))
    timer.run(failing(), ended.append)
    timer.finish()
    assert (said, ended) == (["a node is gone"], ["idle"])
    assert not timer.running
    timer.disconnect()


def test_the_keys_are_in_the_tool_tips_and_in_the_docs(widget):
    from UltrasoundMotionModuleLib.landmark_tracking.annotation_keys import KEYS

    page = (DOCS / "reference" / "landmark-tracking.md").read_text(encoding="utf-8")
    for name, key in KEYS.items():
        button = getattr(section(widget)._ui, name)
        assert button.toolTip.endswith(f"(key {key})")
        text = button.text.replace("&", "")
        assert re.search(rf"\| `{re.escape(key)}` \| \*\*{re.escape(text)}\*\* \|", page), f"{key}: {text}"


def test_the_bar_shows_the_frames_and_a_click_chooses_one(bench, widget, monkeypatch):
    qt = slicer_stand_ins.qt_stand_ins
    label = section(widget)._ui.frameBar
    label._wrapped.resize(240, 24)
    drag(bench, widget, 12, 0, truth_px(24)[12, 0] + [3, 0])
    picture = label._wrapped.pixmap().toImage()
    assert (picture.width(), picture.height()) == (240, 24)

    def color(x, y):
        one = picture.pixelColor(x, y)
        return one.red(), one.green(), one.blue()

    assert color(128, 22) == (255, 255, 255)  # the correction, beside the line of the frame shown
    assert color(64, 22) == (76, 76, 76)
    assert color(64, 4)[2] > color(64, 4)[0]  # sure
    place = label._wrapped.mapToGlobal(qt.QtCore.QPoint(75, 10))
    monkeypatch.setattr(qt.QtGui.QCursor, "pos", staticmethod(lambda: place))
    event = qt.QtGui.QMouseEvent(
        qt.QtCore.QEvent.Type.MouseButtonPress,
        qt.QtCore.QPointF(75, 10),
        qt.QtCore.QPointF(place),
        qt.Qt.MouseButton.LeftButton,
        qt.Qt.MouseButton.LeftButton,
        qt.Qt.KeyboardModifier.NoModifier,
    )
    qt.application().sendEvent(label._wrapped, event)
    assert bench.clip.browser.GetSelectedItemNumber() == 7


def test_the_next_doubtful_frame_says_why(bench, widget):
    ui, logic = section(widget)._ui, bench.logic
    node = tracked(widget).proxy
    logic.acceptFrame(node, 23)
    logic.placePoint(node, "P1", truth_px(24)[12, 0] + [12, 0], 12)
    logic.trackCorrected(node, device="cpu")
    widget.updatePanel()
    settle(bench, widget)
    ui.doubtButton.click()
    text = widget.ui.statusLabel.text
    assert re.match(r"Frame \d+, P1: .*confidence 0\.\d\d; forward and backward tracks \d+\.\d px apart", text), text
    frame = bench.clip.browser.GetSelectedItemNumber()
    assert frame == int(text.split()[1].rstrip(","))
    ui.doubtButton.click()
    assert abs(bench.clip.browser.GetSelectedItemNumber() - frame) > 1  # another doubt, not the frame beside it


def test_observers_layers_by_clicks(bench, widget, tmp_path, monkeypatch):
    ui = section(widget)._ui
    first = widget.parameters.trackedLandmarks
    ui.addLayerButton.click()
    settle(bench, widget)
    assert widget.ui.statusLabel.text == "observer: enter a name"
    for name in ("Ann", "Bo"):
        ui.observerEdit.text = name
        ui.observerEdit.editingFinished._signal.emit()
        ui.addLayerButton.click()
        settle(bench, widget)
    assert slicer.app.userSettings().value("UltrasoundMotion/Observer") == "Bo"
    assert [ui.layerSelector.itemText(row) for row in range(ui.layerSelector.count)][1:] == ["Ann", "Bo"]
    bo = widget.parameters.trackedLandmarks
    assert ui.layerSelector.currentIndex == 2 and bo is not first
    widget.ui.correctButton.checked = True
    drag(bench, widget, 10, 0, truth_px(24)[10, 0] + [5, 0])
    assert not bo.GetLocked()
    ui.layerSelector.currentIndex = 1
    settle(bench, widget)
    assert bo.GetLocked()  # it would be dragged by mistake
    ann = widget.parameters.trackedLandmarks
    assert bench.logic.layers(bench.clip.proxy) == {"Ann": ann, "Bo": bo}
    ui.layersTogetherCheckBox.checked = True
    assert all(node.GetDisplayNode().GetVisibility() for node in (ann, bo))
    assert ann.GetDisplayNode().GetSelectedColor() != bo.GetDisplayNode().GetSelectedColor()
    ui.disagreementButton.click()
    settle(bench, widget)
    assert ui.acceptButton.enabled
    assert bench.application.errors == []
    assert widget.ui.statusLabel.text.startswith("Ann, Bo: 0.0")
    path = tmp_path / "observers.csv"
    dialog = slicer_stand_ins.qt_stand_ins.QtWidgets.QFileDialog
    monkeypatch.setattr(dialog, "getSaveFileName", lambda *_: str(path))
    ui.exportObserversButton.click()
    assert path.read_text().startswith("observer,frame,time_s,label")
    ui.layersTogetherCheckBox.checked = False
    assert not bo.GetDisplayNode().GetVisibility()


def test_a_run_does_not_replace_hand_work(bench, widget):
    drag(bench, widget, 8, 1, truth_px(24)[8, 1] + [4, 0])
    before = widget.parameters.trackedLandmarks
    bench.clip.browser.SetSelectedItemNumber(0)
    widget.ui.applyButton.click()
    settle(bench, widget)
    assert before.GetScene() is bench.scene and widget.parameters.trackedLandmarks is not before
    assert "was kept" in widget.ui.statusLabel.text


def test_nothing_is_left_when_the_scene_or_the_module_is_closed(bench, widget):
    drag(bench, widget, 8, 1, truth_px(24)[8, 1] + [4, 0])
    section(widget)._ui.undoButton.click()  # still restoring
    bench.scene.Clear(False)
    slicer_stand_ins.qt_stand_ins.process_events(50)
    assert not section(widget)._ui.acceptButton.enabled
    assert bench.application.errors == []
