"""Live tracking from Landmark Tracking's panel: a replay in the scene, points placed anew, recording, errors."""

import numpy as np
import pytest

import slicer_stand_ins
from landmark_bench import LandmarkBench
from live_bench import Scanner, speckle
from module_bench import needs_qt, own_process
from UltrasoundMotionLib.images.sequence_files import read_sequence
from UltrasoundMotionLib.jobs.capabilities.live import LiveView
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
from UltrasoundMotionLib.mrml.image_geometry import sequence_ijk_to_ras
from UltrasoundMotionLib.mrml.live_nodes import LiveNodes, placed_points
from widget_api import check_recorded


def view_of(pixels, places, visible, number=1):
    labels = tuple(f"P{one + 1}" for one in range(len(places)))
    return LiveView(number, {}, (), pixels, np.diag([0.4, -0.3, 1, 1]), labels, np.array(places), visible)


def test_nodes_follow_the_views():
    import slicer

    with HeadlessScene() as scene:
        nodes = LiveNodes(scene)
        pixels = speckle(40, 30)
        assert nodes.show(view_of(pixels, [(1, 2, 3), (4, 5, 6)], (True, False)))
        array = slicer.util.arrayFromVolume(nodes.image)
        np.testing.assert_array_equal(array[0], pixels)
        assert nodes.image.GetSpacing() == pytest.approx((0.4, 0.3, 1.0))
        assert nodes.points.GetNthControlPointPosition(1) == (4, 5, 6)
        assert nodes.points.GetNthControlPointSelected(0) and not nodes.points.GetNthControlPointSelected(1)
        assert not nodes.show(view_of(pixels, [(2, 2, 3), (4, 5, 6)], (True, True), 2))
        assert nodes.points.GetNthControlPointPosition(0) == (2, 2, 3)
        nodes.hold = True
        nodes.show(view_of(pixels, [(9, 9, 9), (4, 5, 6)], (True, True), 3))
        assert nodes.places()[1][0].tolist() == [2, 2, 3]
        assert nodes.show(view_of(speckle(50, 30), [(9, 9, 9)], (True,), 4))
        scene.RemoveNode(nodes.image)
        scene.RemoveNode(nodes.points)
        nodes.hold = False
        assert nodes.show(view_of(pixels, [(1, 1, 1)], (True,), 5)) and nodes.places()[0] == ("P1",)
        assert scene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode") == 1
        nodes.points.AddControlPointWorld(1, 2, 3)
        nodes.points.SetNthControlPointLabel(1, "P1")
        with pytest.raises(Exception, match="same label"):
            placed_points(nodes.points)


@pytest.fixture
def bench(open_bench):
    return open_bench(LandmarkBench)


def wait(bench, condition):
    bench.application.wait(condition)


@needs_qt
@own_process
def test_a_replay_is_seen_followed_found_again_and_recorded(bench, tmp_path, monkeypatch):
    with slicer_stand_ins.qt_stand_ins.recorded() as used:
        widget = bench.open()
        section = widget.liveSection
        ui = section._ui
        ui.liveSourceSelector.currentIndex = 1
        assert not ui.liveAddressEdit.enabled and not ui.liveAgainButton.enabled
        path = tmp_path / "live.seq.nhdr"
        dialog = slicer_stand_ins.qt_stand_ins.QtWidgets.QFileDialog
        monkeypatch.setattr(dialog, "getSaveFileName", lambda *_: str(path))
        ui.liveButton.click()
        assert ui.liveButton.text == "Stop live" and bench.application.errors == []
        wait(bench, lambda: section.nodes.points is not None)
        assert section.nodes.points.GetNumberOfControlPoints() == 3
        matrix = sequence_ijk_to_ras(bench.sequence)
        import vtk

        found = vtk.vtkMatrix4x4()
        section.nodes.image.GetIJKToRASMatrix(found)
        np.testing.assert_allclose(
            [[found.GetElement(row, column) for column in range(4)] for row in range(4)], matrix, atol=1e-4
        )
        wait(bench, lambda: "latency" in ui.liveLabel.text and "images" in ui.liveLabel.text)
        ui.liveRecordButton.checked = True
        wait(bench, lambda: path.with_name("live.raw").exists())

        points = section.nodes.points
        points.InvokeEvent(points.PointStartInteractionEvent)
        points.SetNthControlPointPosition(0, *(np.array(points.GetNthControlPointPosition(0)) + matrix[:3, 0]))
        dragged = points.GetNthControlPointPosition(0)
        wait(bench, lambda: "Find again here" in ui.liveLabel.text)
        assert points.GetNthControlPointPosition(0) == dragged  # it is held
        ui.liveAgainButton.click()
        wait(bench, lambda: points.GetNthControlPointPosition(0) != dragged)
        ui.liveButton.click()
        wait(bench, lambda: not section.running)
    assert ui.liveButton.text == "Start live" and ui.liveLabel.text.startswith("Stopped")
    assert bench.application.errors == []
    assert len(read_sequence(path)) > 1
    check_recorded(used)


@needs_qt
@own_process
def test_a_server_that_is_not_there_and_one_that_comes(bench, capfd):
    scanner = Scanner()
    widget = bench.application.open_module("LandmarkTracking")
    widget.parameters.landmarks = None
    ui = widget.liveSection._ui
    ui.liveAddressEdit.text = f"localhost:{scanner.port}"
    port = scanner.port
    scanner.close()
    ui.liveButton.click()
    wait(bench, lambda: "no connection" in ui.liveLabel.text)
    scanner = Scanner(port)
    scanner.accept(30.0)
    scanner.image(speckle(80, 60))
    wait(bench, lambda: widget.liveSection.nodes.image is not None)
    wait(bench, lambda: "no points yet" in ui.liveLabel.text or "no image for" in ui.liveLabel.text)
    ui.liveAgainButton.click()
    assert "Place at least one landmark" in bench.application.errors.pop()
    capfd.readouterr()  # what Slicer's message boxes print for the log
    bench.scene.Clear(0)
    assert not widget.liveSection.running
    scanner.close()


@needs_qt
def test_what_cannot_be_started_is_said(bench, capfd):
    widget = bench.open()
    ui = widget.liveSection._ui
    ui.liveAddressEdit.text = "http://somewhere"
    ui.liveButton.click()
    assert "Address http://somewhere: expected" in bench.application.errors.pop()
    assert ui.liveButton.text == "Start live"
    ui.liveSourceSelector.currentIndex = 1
    widget.parameters.inputClip = None
    ui.liveButton.click()
    assert "Choose a clip to replay" in bench.application.errors.pop()
    capfd.readouterr()
