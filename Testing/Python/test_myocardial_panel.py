"""Myocardial Tracking from its panel: what a user clicks, drags, sees and saves."""

import re
import time

import numpy as np
import pytest
import slicer

import slicer_stand_ins
from module_bench import needs_qt
from myocardial_bench import CENTRE, CLICKS_PX, FRAMES, SHORTENING, MyocardialBench, beating_clip, scale
from UltrasoundMotionLib.images import read_sequence, write_sequence
from UltrasoundMotionLib.mrml.bulls_eye_nodes import find_bulls_eye
from UltrasoundMotionLib.mrml.image_geometry import pixels_to_ras_mm
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.layouts import IMAGE_CHART_BULLS_EYE_TABLE
from UltrasoundMotionLib.mrml.scene_files import read_scene, write_scene
from UltrasoundMotionLib.mrml.track_links import derived_nodes
from UltrasoundMotionLib.mrml.tracked_wall import tracked_wall, walls_in
from UltrasoundMotionLib.mrml.views import SliceViewState
from UltrasoundMotionLib.strain.strain_files import read_strain_csv


@needs_qt
def test_from_clicks_to_strain(bench):
    widget = bench.application.open_module("MyocardialTracking")
    ui = widget.ui
    assert widget.parameters.inputClip == bench.clip.proxy  # the only clip there is
    assert "Click hinge" in ui.statusLabel.text
    before = bench.count()
    ui.clickButton.click()
    clicks = widget.parameters.contour
    assert ui.placeWidget.placeModeEnabled
    assert "0 of 3 points are placed" in ui.statusLabel.text
    assert not ui.applyButton.enabled
    bench.place(clicks, CLICKS_PX)
    assert ui.applyButton.enabled
    previews = [node for node in slicer.util.getNodesByClass("vtkMRMLMarkupsCurveNode") if "preview" in node.GetName()]
    assert len(previews) == 1
    ui.layersSelector.currentIndex = 1
    assert (
        len([node for node in slicer.util.getNodesByClass("vtkMRMLMarkupsCurveNode") if "preview" in node.GetName()])
        == 3
    )
    ui.layersSelector.currentIndex = 0

    bench.clip.browser.SetSelectedItemNumber(7)  # the wall was marked on frame 0 and is followed from there
    assert previews[0].GetScene() is None
    assert "frame 0" in ui.wallLabel.text
    options = requested(widget)
    assert (options["hide_graphics"], options["query_frame"]) == (True, 0)
    bench.run(widget)
    assert bench.application.errors == []
    found = float(re.match(r"GLS \u2212([\d.]+) \u00b1", ui.statusLabel.text).group(1))
    assert found == pytest.approx(100 * SHORTENING, abs=0.7)
    assert ui.segmentsTable.rowCount == 6
    assert (ui.endDiastoleSpinBox.value, ui.endSystoleSpinBox.value) == (0, 10)
    assert bench.count() > before


@pytest.fixture
def bench(open_bench, sample_cache):
    return open_bench(MyocardialBench, sample_cache)


@needs_qt
def test_what_the_reader_changes_is_computed_at_once(bench):
    widget = bench.open()
    bench.run(widget)
    ui = widget.ui

    def wait():
        bench.application.wait(lambda: not widget._strainSection._timer.isActive() and widget.run is None)

    ui.endSystoleSpinBox.value = 5
    wait()
    found = float(re.match(r"GLS \u2212([\d.]+) \u00b1", ui.strainLabel.text).group(1))
    assert found == pytest.approx(100 * (1 - scale(5)), abs=0.7)
    assert ui.findEventsButton.enabled
    bench.clip.browser.SetSelectedItemNumber(11)
    ui.systoleHereButton.click()
    wait()
    assert widget._strainSection.strain.result.cycle.end_systole_frame == 11
    ui.findEventsButton.click()
    assert ui.endSystoleSpinBox.value == 10
    ui.segmentsTable.item(2, 0).setCheckState(slicer_stand_ins.qt_stand_ins.Qt.CheckState.Unchecked)
    assert ui.segmentsTable.item(2, 2).text() == "rejected by the reader"
    ui.driftCheckBox.checked = True
    assert "taken out" in ui.strainLabel.text


@needs_qt
def test_charts_bulls_eye_landmarks_and_report(bench, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    widget = bench.open()
    bench.run(widget)
    ui = widget.ui
    layout = bench.application.layout
    before = SliceViewState.of(bench.scene, "Yellow")
    ui.chartsButton.checked = True
    assert bench.application.layout == IMAGE_CHART_BULLS_EYE_TABLE.number
    assert bench.scene.GetSingletonNode("PlotView1", "vtkMRMLPlotViewNode").GetPlotChartNode() is not None
    bench.wait_until_done(widget)
    composite = bench.scene.GetSingletonNode("Yellow", "vtkMRMLSliceCompositeNode")
    assert composite.GetBackgroundVolumeID() == find_bulls_eye(bench.scene).image.GetID()
    ui.segmentCountSelector.currentIndex = 2
    bench.wait_until_done(widget)
    assert find_bulls_eye(bench.scene).numbers.GetNumberOfControlPoints() == 6
    ui.landmarksCheckBox.checked = True
    bench.wait_until_done(widget)
    points = [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")
        if node.GetName().startswith("clip wall points")
    ]
    assert points[0].GetNumberOfControlPoints() == 49
    assert (
        bench.scene.GetSingletonNode("PlotView1", "vtkMRMLPlotViewNode").GetPlotChartNode() is not None
    )  # the new one
    ui.chartsButton.checked = False
    assert bench.application.layout == layout
    assert SliceViewState.of(bench.scene, "Yellow") == before
    monkeypatch.setattr(
        slicer_stand_ins.qt_stand_ins.QtWidgets.QFileDialog, "getSaveFileName", lambda *_: str(tmp_path / "out.png")
    )
    ui.reportButton.click()
    assert bench.application.errors == []
    assert {path.name for path in tmp_path.iterdir()} == {"out.png", "out.csv", "out.json"}


def requested(widget):
    """The options of the request that Track would send."""
    steps = widget.makeJob()._preparation
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            return finished.value.options["request"]


@needs_qt
def test_a_point_is_dragged_and_followed_again_from_there(bench):
    widget = bench.open()
    bench.run(widget)
    wall = tracked_wall(widget.parameters.trackedWall)
    before = wall.tracks(bench.sequence).positions_px
    widget.ui.correctButton.checked = True
    assert not wall.curve.GetLocked()
    assert wall.curve.GetNthControlPointVisibility(3)
    bench.clip.browser.SetSelectedItemNumber(8)
    wall.curve.SetNthControlPointPosition(20, *pixels_to_ras_mm(bench.sequence, before[8, 20] + [2.5, 2]))
    widget.ui.trackAgainButton.click()
    bench.application.wait(lambda: widget.run is None)
    assert bench.application.errors == []
    after = wall.tracks(bench.sequence).positions_px
    np.testing.assert_allclose(after[:8], before[:8], atol=1e-4)
    expected = CENTRE + (before[8, 20] + [2.5, 2] - CENTRE) * (scale(16) / scale(8))
    np.testing.assert_allclose(after[16, 20], expected, atol=0.5)
    np.testing.assert_allclose(np.delete(after, 20, axis=1), np.delete(before, 20, axis=1), atol=1e-4)
    widget.ui.correctButton.checked = False
    assert wall.curve.GetLocked()
    assert widget._strainSection.strain.result.positions_px[16, 20] == pytest.approx(after[16, 20], abs=0.01)


@needs_qt
def test_a_second_view_keeps_the_first_and_both_make_the_bulls_eye(bench):
    widget = bench.open()
    bench.run(widget)
    first = widget.parameters.trackedWall
    widget.parameters.inputClip = add_image_sequence(bench.scene, beating_clip("two chambers")).proxy
    widget.ui.viewSelector.currentIndex = 1
    bench.run(widget)
    assert widget.parameters.trackedWall is not first
    assert [wall.view for wall in walls_in(bench.scene)] == ["A4C", "A2C"]
    widget.ui.chartsButton.checked = True
    bench.wait_until_done(widget)
    assert find_bulls_eye(bench.scene).numbers.GetNumberOfControlPoints() == 13
    widget.parameters.trackedWall = first
    assert "A4C" in widget.ui.strainLabel.text
    assert bench.application.errors == []


@needs_qt
def test_everything_is_remembered_in_the_scene(bench, tmp_path):
    widget = bench.open()
    widget.ui.viewSelector.currentIndex = 1
    bench.run(widget)
    widget.ui.driftCheckBox.checked = True
    widget.ui.endSystoleSpinBox.value = 9
    bench.application.wait(lambda: not widget._strainSection._timer.isActive())
    text, observers = widget.ui.strainLabel.text, len(widget.Observations)
    assert "A2C" in text
    write_scene(bench.scene, tmp_path / "work.mrb")
    bench.scene.Clear(False)
    assert "Select an ultrasound clip" in widget.ui.statusLabel.text
    assert widget.ui.segmentsTable.rowCount == 0
    read_scene(bench.scene, tmp_path / "work.mrb")
    parameters = widget.parameters
    assert (
        parameters.contour.GetName(),
        parameters.view.value,
        parameters.compensateDrift,
        parameters.markedFrame,
    ) == ("clicks", "A2C", True, 0)
    assert widget.ui.strainLabel.text == text
    assert widget.ui.endSystoleSpinBox.value == 9
    assert len(widget.Observations) == observers
    assert not [
        node for node in slicer.util.getNodesByClass("vtkMRMLMarkupsCurveNode") if "preview" in node.GetName()
    ]  # the wall is in its place


@needs_qt
def test_a_mirrored_view_swaps_the_walls_names(bench):
    widget = bench.open()
    bench.run(widget)

    def strains():
        return [measures.end_systolic_percent for measures in widget._strainSection.strain.result.segment_measures]

    usual = strains()
    widget.ui.mirroredCheckBox.checked = True
    bench.application.wait(lambda: not widget._strainSection._timer.isActive())
    np.testing.assert_allclose(strains(), usual[::-1], atol=1e-6)
    widget.ui.mirroredCheckBox.checked = False
    bench.application.wait(lambda: not widget._strainSection._timer.isActive())
    np.testing.assert_allclose(strains(), usual, atol=1e-6)


@needs_qt
def test_the_command_repeats_the_run(bench, tmp_path, monkeypatch):
    widget = bench.open()
    bench.run(widget)
    result = widget._strainSection.strain.result
    commands = []
    monkeypatch.setattr(bench.module, "showCommand", lambda title, command, notes="": commands.append((command, notes)))
    widget.ui.commandButton.click()
    assert "clip" in commands[0][1]  # which is to be saved first
    write_sequence(tmp_path / "clip.seq.nrrd", bench.sequence)
    storage = bench.scene.AddNewNodeByClass("vtkMRMLVolumeSequenceStorageNode")
    storage.SetFileName(str(tmp_path / "clip.seq.nrrd"))
    bench.clip.sequence.SetAndObserveStorageNodeID(storage.GetID())
    widget.ui.commandButton.click()
    command, notes = commands[1]
    assert notes == ""
    from shlex import split

    from UltrasoundMotionLib.cli.main import main

    monkeypatch.chdir(tmp_path)
    for line in command.split(" && "):
        arguments = [one for one in split(line)[1:] if one not in ("--plot", "strain.png")]
        assert main([*arguments, "--quiet"]) == 0
    assert len(read_sequence(tmp_path / "clip.seq.nrrd")) == FRAMES
    np.testing.assert_allclose(
        read_strain_csv(tmp_path / "strain.csv").global_percent, result.global_percent, atol=0.05
    )


@needs_qt
def test_track_ends_on_end_systole_where_the_band_has_colours(bench):
    widget = bench.open()
    bench.run(widget)
    assert bench.clip.browser.GetSelectedItemNumber() == widget.ui.endSystoleSpinBox.value == 10
    bench.clip.browser.SetSelectedItemNumber(8)
    widget.ui.trackAgainButton.click()
    bench.wait_until_done(widget)
    assert bench.clip.browser.GetSelectedItemNumber() == 8  # the frame that was corrected stays


@needs_qt
@pytest.mark.slow
def test_what_is_corrected_can_be_seen_and_grabbed(bench):
    widget = bench.open()
    bench.run(widget)
    ui, wall = widget.ui, tracked_wall(widget.parameters.trackedWall)

    def shown():
        """Whether slice views show the curve with its points, and the band."""
        points = [wall.curve.GetNthControlPointVisibility(control) for control in range(49)]
        curve = bool(wall.curve.GetDisplayNode().GetVisibility2D()) and all(points)
        [band] = derived_nodes(wall.main, "vtkMRMLModelNode")
        return curve, bool(band.GetDisplayVisibility())

    assert shown() == (False, True)
    ui.correctButton.checked = True
    assert shown() == (True, False)  # the band would cover the points
    ui.trackAgainButton.click()
    bench.wait_until_done(widget)
    assert ui.correctButton.checked
    assert shown() == (True, False)
    ui.segmentsTable.item(2, 0).setCheckState(slicer_stand_ins.qt_stand_ins.Qt.CheckState.Unchecked)  # a new band
    bench.wait_until_done(widget)
    assert shown() == (True, False)
    ui.correctButton.checked = False
    assert shown() == (False, True)
    assert bench.application.errors == []


@needs_qt
@pytest.mark.slow
def test_the_image_shows_the_marks_or_the_wall(bench):
    widget = bench.open()
    bench.clicks.CreateDefaultDisplayNodes()
    ui = widget.ui

    def shown():
        """Whether the views show the marks, and the coloured wall."""
        [band] = derived_nodes(tracked_wall(widget.parameters.trackedWall).main, "vtkMRMLModelNode")
        return bool(widget.parameters.contour.GetDisplayVisibility()), bool(band.GetDisplayVisibility())

    def previews():
        return [node for node in slicer.util.getNodesByClass("vtkMRMLMarkupsCurveNode") if "preview" in node.GetName()]

    assert not ui.shownSelector.enabled
    bench.run(widget)
    assert shown() == (False, True)
    assert (ui.shownSelector.enabled, ui.shownSelector.currentText) == (True, "tracked")
    assert previews() == []
    bench.clip.browser.SetSelectedItemNumber(0)  # where the wall was marked
    ui.shownSelector.currentIndex = 0
    assert shown() == (True, False)
    assert len(previews()) == 1
    ui.driftCheckBox.checked = True  # strain is computed anew, and the marks stay
    bench.wait_until_done(widget)
    assert shown() == (True, False)
    ui.correctButton.checked = True
    assert shown() == (False, False)
    assert widget.parameters.trackedWall.GetDisplayVisibility()
    assert previews() == []
    ui.correctButton.checked = False
    assert shown() == (False, True)
    ui.clickButton.click()  # to be marked anew
    assert shown() == (True, False)
    assert min(widget.parameters.contour.GetDisplayNode().GetSelectedColor()) > 0.3
    assert bench.application.errors == []


@pytest.mark.slow
@needs_qt
def test_ten_runs_and_ten_cancels_leave_nothing_behind(bench):
    widget = bench.open()
    counts = []
    for _ in range(10):
        bench.run(widget)
        counts.append(
            (
                bench.count(),
                len(widget.Observations),
                bench.application.connected,
                widget.parameters.trackedWall.GetName(),
            )
        )
    assert len(set(counts)) == 1, counts
    for number in range(10):
        widget.ui.applyButton.click()
        until = time.monotonic() + 0.03 * number  # at all stages of a run
        bench.application.wait(lambda until=until: time.monotonic() > until)
        if widget.run is not None:
            widget.ui.applyButton.click()
        bench.application.wait(lambda: widget.run is None)
    bench.run(widget)
    assert bench.count() == counts[0][0]
    bench.application.close_module("MyocardialTracking")
    assert widget.Observations == []
    assert bench.application.errors == []


@needs_qt
@pytest.mark.parametrize("how", ["scene closed", "module reloaded"])
@pytest.mark.slow
def test_interrupted_in_the_midst_of_a_run(bench, how):
    widget = bench.open()
    long = add_image_sequence(bench.scene, beating_clip("long", 120))
    widget.parameters.inputClip = long.proxy
    widget.ui.applyButton.click()
    bench.application.wait(lambda: widget.parameters.trackedWall is not None)
    assert widget.run is not None
    if how == "scene closed":
        bench.scene.Clear(False)
        assert widget.ui.applyButton.text == "&Track"
        assert "Select an ultrasound clip" in widget.ui.statusLabel.text
    else:
        widget = bench.application.reload_module("MyocardialTracking")
        assert widget.ui.applyButton.enabled
    assert widget.run is None
    assert bench.application.errors == []
