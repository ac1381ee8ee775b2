"""Myocardial Tracking as a user has it: from the Python console and from its panel, on real MRML nodes with the real
child process.
"""

import json
import re
import time
from dataclasses import replace

import numpy as np
import pytest
import slicer
from scipy import ndimage

import slicer_stand_ins
from slicer_stand_ins import slicer_application
from UltrasoundMotionLib.errors import Cancelled, InputError
from UltrasoundMotionLib.images import ImageSequence, read_sequence, write_sequence
from UltrasoundMotionLib.jobs import JobProcess
from UltrasoundMotionLib.mrml.bulls_eye_nodes import OUTSIDE, bulls_eye_image, find_bulls_eye
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
from UltrasoundMotionLib.mrml.image_geometry import pixels_to_ras_mm
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.scene_files import read_scene, write_scene
from UltrasoundMotionLib.mrml.slice_rendering import SliceView
from UltrasoundMotionLib.mrml.strain_scale import REJECTED_PERCENT
from UltrasoundMotionLib.mrml.tracked_wall import tracked_wall, walls_in
from UltrasoundMotionLib.mrml.wall_contour_nodes import add_clicks, contour_from_node
from UltrasoundMotionLib.strain import CardiacEvents, longitudinal_strain, ventricle_strain
from UltrasoundMotionLib.strain.request import StrainRequest
from UltrasoundMotionLib.strain.strain_files import read_strain_csv

needs_qt = pytest.mark.skipif(
    slicer_stand_ins.qt_stand_ins is None, reason="needs Qt for Python: pip install 'ultrasound-motion[test]'"
)
FRAMES, CYCLE, SHORTENING = 23, 20, 0.15
CENTRE = np.array([70.0, 60.0])
CLICKS_PX = np.array([[45.0, 88.0], [70.0, 25.0], [95.0, 88.0]])
SPACING_MM = (0.4, 0.4)


def scale(frame):
    """By how much everything around the centre has shrunk: end-diastole on frames 0 and 20, end-systole on frame 10."""
    return 1 - SHORTENING * (1 - np.cos(2 * np.pi * frame / CYCLE)) / 2


def beating_clip(name="clip", frame_count=FRAMES):
    """Speckle that shrinks and grows evenly: strain is 100 (scale - 1) in every direction."""
    speckle = ndimage.gaussian_filter(np.random.default_rng(3).random((120, 140)), 1.8)
    speckle = 30 + 200 * (speckle - speckle.min()) / np.ptp(speckle)
    y, x = np.mgrid[:120, :140]
    frames = [
        ndimage.map_coordinates(
            speckle, [(y - CENTRE[1]) / s + CENTRE[1], (x - CENTRE[0]) / s + CENTRE[0]], order=1, mode="mirror"
        )
        for s in map(scale, range(frame_count))
    ]
    return ImageSequence(np.stack(frames).astype(np.uint8), SPACING_MM, np.arange(frame_count) / 25, name=name)


class KeptProcess(JobProcess):
    """A child process that outlives the tests: loading torch takes seconds."""

    def close(self):
        self.poll()


@pytest.fixture(scope="module")
def kept_process():
    process = KeptProcess()
    yield process
    JobProcess.close(process)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Where samples are kept, so that the heart is simulated once."""
    return tmp_path_factory.mktemp("cache")


class Bench:
    """A scene with a clip and three clicks on it, the application's stand-in, and the module."""

    def __init__(self, scene, application):
        self.scene, self.application = scene, application
        self.module = application.load_module("MyocardialTracking")
        self.logic = self.module.MyocardialTrackingLogic()
        self.sequence = beating_clip()
        self.clip = add_image_sequence(scene, self.sequence)
        self.clicks = add_clicks(scene, "clicks")
        self.place(self.clicks, CLICKS_PX)

    def place(self, markups, points_px):
        """What a user does with the mouse."""
        for control, position in enumerate(pixels_to_ras_mm(self.sequence, np.asarray(points_px, dtype=float))):
            if control < markups.GetNumberOfControlPoints():
                markups.SetNthControlPointPosition(control, *position)
            else:
                markups.AddControlPoint(*position)
        return markups

    def add(self, class_name, points_px, name="drawn"):
        return self.place(self.scene.AddNewNodeByClass(class_name, name), points_px)

    def open(self):
        widget = self.application.open_module("MyocardialTracking")
        widget.parameters.inputClip, widget.parameters.contour = self.clip.proxy, self.clicks
        return widget

    def run(self, widget):
        widget.ui.applyButton.click()
        self.application.wait(lambda: widget.run is None)

    def count(self):
        return self.scene.GetNumberOfNodes()


@pytest.fixture
def bench(capfd, kept_process, cache, monkeypatch):
    with HeadlessScene() as scene, slicer_application(scene) as application:
        application.cachePath = str(cache)
        made = Bench(scene, application)
        from UltrasoundMotionModuleLib.shared import background_job

        monkeypatch.setattr(background_job, "JobProcess", lambda: kept_process)
        yield made
    assert "Traceback" not in capfd.readouterr().err  # errors in observers and slots are printed, never raised


# The wall as it is marked


def test_clicks_points_and_curves_give_the_same_wall(bench):
    options = {"view": "A4C", "frame": 0}
    clicked = contour_from_node(bench.clicks, bench.clip, bench.sequence, **options)
    listed = bench.add("vtkMRMLMarkupsFiducialNode", clicked.points_px[::4], "points")
    curve = bench.add("vtkMRMLMarkupsCurveNode", clicked.points_px[::-1][::4], "curve")  # drawn from the other base
    for marked in (listed, curve):
        found = contour_from_node(marked, bench.clip, bench.sequence, **options)
        np.testing.assert_allclose(found.points_px, clicked.points_px, atol=0.35)
    parent = bench.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    parent.SetMatrixTransformToParent(
        slicer.util.vtkMatrixFromArray(np.array([[0, -1, 0, 7], [1, 0, 0, 2], [0, 0, 1, -9], [0, 0, 0, 1.0]]))
    )
    for node in (bench.clip.proxy, bench.clicks, curve):
        node.SetAndObserveTransformNodeID(
            parent.GetID()
        )  # the ultrasound is put into an MRI, with what was marked on it
    for marked in (bench.clicks, curve):
        found = contour_from_node(marked, bench.clip, bench.sequence, **options)
        np.testing.assert_allclose(found.points_px, clicked.points_px, atol=0.35)


def test_a_ring_is_drawn_for_a_short_axis_view(bench):
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = CENTRE + 30 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    closed = bench.add("vtkMRMLMarkupsClosedCurveNode", ring)
    wall = bench.logic.track(bench.clip.proxy, closed, view="SAX-mid", queryFrame=0)
    assert wall.curve.IsA("vtkMRMLMarkupsClosedCurveNode")
    result = bench.logic.strain(wall).result
    assert result.kind == "circumferential"
    assert result.measures.end_systolic_percent == pytest.approx(-100 * SHORTENING, abs=0.7)
    with pytest.raises(InputError, match="closed curve"):
        bench.logic.track(bench.clip.proxy, closed)
    with pytest.raises(InputError, match="at least one apical view"):
        bench.logic.bullsEye()


# From the console


@pytest.mark.slow
def test_the_example_of_the_docstring_runs_on_the_simulated_heart(bench, tmp_path, monkeypatch, capfd):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    from UltrasoundMotionModuleLib.myocardial_tracking.sample import loadHeart
    from UltrasoundMotionModuleLib.shared.sample_data import HEART

    heart = loadHeart()
    example = re.search(r"^    from MyocardialTracking.*", bench.module.__doc__, flags=re.MULTILINE | re.DOTALL).group(
        0
    )
    names = {"clipNode": heart.clip.proxy, "clicksNode": heart.clicks}
    exec("\n".join(line.removeprefix("    ") for line in example.splitlines()), names)
    printed = capfd.readouterr()
    assert printed.out.count("True") == 6  # every segment is accepted
    assert "Traceback" not in printed.err

    wall, sample = names["wall"], HEART.read()
    tracks = wall.tracks(sample.sequence)
    by_library = longitudinal_strain(tracks, view="A4C", events=CardiacEvents((0, 45), (17,)))
    assert names["strain"].result.measures == by_library.measures
    found = longitudinal_strain(tracks, view="A4C")
    labels = [label for label in sample.truth.labels if label.startswith("mid")]
    truth = longitudinal_strain(replace(sample.truth, times_s=sample.sequence.times_s), view="A4C", order=labels)
    assert truth.measures.gls_percent == pytest.approx(-18.0, abs=0.1)  # what the phantom was told to do
    assert found.measures.gls_percent == pytest.approx(truth.measures.gls_percent, abs=2.0)  # clicked and tracked
    assert found.uncertainty.low_percent < truth.measures.gls_percent < found.uncertainty.high_percent
    assert abs(found.cycle.end_systole_frame - truth.cycle.end_systole_frame) <= 1

    table, report = (
        read_strain_csv(tmp_path / "strain.csv"),
        json.loads((tmp_path / "strain.json").read_text(encoding="utf-8")),
    )
    np.testing.assert_allclose(table.global_percent, by_library.global_percent, atol=1e-5)
    assert report["measures"]["gls_percent"] == pytest.approx(by_library.measures.gls_percent)
    assert (tmp_path / "strain.png").stat().st_size > 50_000


@pytest.mark.slow
def test_the_self_test_of_the_application_passes(bench):
    bench.module.MyocardialTrackingTest("test_sample").test_sample()


def test_three_layers_give_thickening_too(bench):
    wall = bench.logic.track(bench.clip.proxy, bench.clicks, layers=3, wallThickness=4.0)
    assert list(wall.layers) == ["endo", "mid", "epi"]
    lengths = [
        np.hypot(*np.diff(wall.tracks(bench.sequence).positions_px[0, part], axis=0).T).sum()
        for part in np.split(np.arange(147), 3)
    ]
    assert lengths[0] < lengths[1] < lengths[2]
    strain = bench.logic.strain(wall)
    for result in strain.layered.layers.values():
        assert result.measures.end_systolic_percent == pytest.approx(-100 * SHORTENING, abs=1.0)
    thickening = strain.layered.thickness.measures.end_systolic_percent
    assert thickening == pytest.approx(-100 * SHORTENING, abs=3.0)  # of 10 pixels: a third of a pixel is 3 percent
    assert tracked_wall(wall.layers["epi"].proxy).curve is wall.curve


def test_strain_takes_the_options_of_its_request(bench):
    wall = bench.logic.track(bench.clip.proxy, bench.clicks)
    name = bench.logic.computed(wall).result.segment_names[2]
    one = bench.logic.strain(wall, endDiastole=(0, 20), end_systole=(5,), reject=(name,), compensateDrift=True).result
    assert (one.cycle.end_systole_frame, one.drift.compensated) == (5, True)
    assert [quality.accepted for quality in one.quality].count(False) == 1
    kept = bench.logic.strain(wall, landmarks=True).result  # what was given before holds
    assert (kept.cycle.end_systole_frame, kept.drift.compensated) == (5, True)
    whole = bench.logic.strain(wall, request=StrainRequest(end_diastole=(0, 20), end_systole=(10,))).result
    assert (whole.cycle.end_systole_frame, whole.drift.compensated) == (10, False)
    assert all(quality.accepted for quality in whole.quality)
    with pytest.raises(TypeError, match="view"):
        bench.logic.strain(wall, view="A2C")


def test_events_segments_and_drift_need_no_new_tracking_and_are_kept(bench, tmp_path):
    wall = bench.logic.track(bench.clip.proxy, bench.clicks)
    first = bench.logic.strain(wall)
    assert first.result.measures.gls_percent == pytest.approx(-100 * SHORTENING, abs=0.7)
    assert (first.result.cycle.reference_frame, first.result.cycle.end_systole_frame) == (0, 10)
    count, name = bench.count(), first.result.segment_names[2]
    second = bench.logic.strain(wall, events=CardiacEvents((0, 20), (5,)), rejectSegments=(name,), compensateDrift=True)
    assert bench.count() == count - 1  # the line of the rejected segment is not drawn
    np.testing.assert_allclose(second.result.measures.gls_percent, 100 * (scale(5) - 1), atol=0.7)
    assert second.result.drift.compensated
    assert [one.accepted for one in second.result.quality].count(False) == 1
    write_scene(bench.scene, tmp_path / "work.mrb")
    bench.scene.Clear(False)
    read_scene(bench.scene, tmp_path / "work.mrb")
    again = bench.logic.computed(walls_in(bench.scene)[0])
    assert again.result.cycle.end_systole_frame == 5
    assert again.result.measures.gls_percent == pytest.approx(second.result.measures.gls_percent, abs=1e-3)
    with pytest.raises(InputError, match="does not exist"):
        bench.logic.strain(walls_in(bench.scene)[0].curve, events=CardiacEvents((0, 99), (5,)))
    assert bench.logic.computed(walls_in(bench.scene)[0]).result.cycle.end_systole_frame == 5


def test_views_are_put_together_in_the_bulls_eye(bench):
    views = ("A4C", "A2C")
    results = [
        bench.logic.strain(bench.logic.track(bench.clip.proxy, bench.clicks, view=view)).result for view in views
    ]
    expected = ventricle_strain(results, 17)
    nodes = bench.logic.bullsEye(17)
    assert bench.logic.ventricle(17).views == views
    labels = [
        nodes.numbers.GetNthControlPointLabel(control) for control in range(nodes.numbers.GetNumberOfControlPoints())
    ]
    shown = [f"{value:.0f}".replace("-", "\u2212") for value in expected.percent if np.isfinite(value)]
    assert labels == shown
    assert len(labels) == 13  # four walls of three segments, and the cap
    count = bench.count()
    assert bench.logic.bullsEye(18).image is nodes.image
    assert nodes.numbers.GetNumberOfControlPoints() == 12
    assert bench.count() == count
    find_bulls_eye(bench.scene).remove()
    assert find_bulls_eye(bench.scene) is None


def test_the_bulls_eye_has_each_segment_where_it_belongs():
    image = bulls_eye_image({1: -18.0, 3: -5.0, 4: np.nan, 16: 40.0}, 17)
    at = lambda x, y: image[int((1.15 - y) / 2.3 * len(image)), int((x + 1.15) / 2.3 * len(image))]  # noqa: E731
    assert at(0, 0.87) == -18  # basal anterior: at the top
    assert at(-0.76, -0.44) == -5  # basal inferoseptal: on the left, below the middle
    assert at(0, -0.87) == np.float32(REJECTED_PERCENT)  # rejected
    assert at(0.37, 0) == 20  # apical lateral: on the right; no darker than the scale
    assert at(0, 0) == at(0.76, 0.44) == at(1.1, 1.1) == OUTSIDE


def test_the_wall_is_painted_red_where_it_shortens(bench, tmp_path):
    image = pytest.importorskip("PIL.Image")
    with SliceView(bench.scene, bench.clip.proxy, (420, 360)) as view:
        bench.logic.strain(bench.logic.track(bench.clip.proxy, bench.clicks))
        bench.clicks.SetDisplayVisibility(False)
        bench.clip.browser.SetSelectedItemNumber(10)
        pixels = np.asarray(image.open(view.write_png(tmp_path / "wall.png")).convert("RGB")).astype(int)
    apex = (CENTRE + scale(10) * (CLICKS_PX[1] - CENTRE) + 0.5) * 3
    red, green, blue = pixels[int(apex[1]), int(apex[0])]
    assert red > 1.8 * max(green, blue)
    assert (pixels[180, 210] == pixels[180, 210, 0]).all()  # the cavity stays grey
    legend = pixels[:, 380:]
    assert (legend[..., 2] > 1.5 * legend[..., 0]).any()  # blue, where nothing of the clip is


def test_bad_input_is_said_in_one_line_and_leaves_the_scene_as_it_was(bench):
    two = bench.add("vtkMRMLMarkupsFiducialNode", CLICKS_PX[:2], "two")
    line = bench.add("vtkMRMLMarkupsFiducialNode", [[20, 20], [40, 40], [60, 60]], "line")
    eight = bench.add(
        "vtkMRMLMarkupsFiducialNode", [[30, 90], [90, 30], [50, 20], [40, 40], [100, 80], [90, 95], [80, 100]], "eight"
    )
    outside = bench.add("vtkMRMLMarkupsFiducialNode", [[45, 88], [70, -40], [95, 88]], "outside")
    wall = bench.logic.track(bench.clip.proxy, bench.clicks)
    count = bench.count()
    for contour, options, message in (
        (None, {}, "no wall is chosen"),
        (two, {}, "2 of 3 points are placed"),
        (line, {}, "on a line"),
        (eight, {}, "crosses itself|apex"),
        (outside, {}, "outside the image"),
        (bench.clicks, {"view": "parasternal"}, "view must be one of"),
        (bench.clicks, {"view": "SAX"}, "ring"),
        (bench.clicks, {"layers": 2}, "layers must be 1 or 3"),
        (bench.clicks, {"layers": 3, "wallThickness": 60.0}, "layer of a wall 60 thick"),
        (bench.clicks, {"model": "nothing"}, "no tracker named nothing"),
        (bench.clicks, {"queryFrame": 99}, "query frame 99 does not exist"),
    ):
        with pytest.raises(InputError, match=message) as raised:
            bench.logic.track(bench.clip.proxy, contour, **options)
        assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match=r"no sequence browser|is no tracked wall"):
        bench.logic.strain(bench.clicks)
    with pytest.raises(InputError, match="has no segment"):
        bench.logic.strain(wall, rejectSegments=("left ear",))

    def stop(done, total, message):
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        bench.logic.track(bench.clip.proxy, bench.clicks, progress=stop)
    assert bench.count() == count


# From the panel


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


@needs_qt
def test_what_the_reader_changes_is_computed_at_once(bench):
    widget = bench.open()
    bench.run(widget)
    ui, wait = widget.ui, lambda: bench.application.wait(lambda: not widget._strainSection._timer.isActive())
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
    ui.chartsButton.checked = True
    assert bench.scene.GetSingletonNode("PlotView1", "vtkMRMLPlotViewNode").GetPlotChartNode() is not None
    composite = bench.scene.GetSingletonNode("Yellow", "vtkMRMLSliceCompositeNode")
    assert composite.GetBackgroundVolumeID() == find_bulls_eye(bench.scene).image.GetID()
    ui.segmentCountSelector.currentIndex = 2
    assert find_bulls_eye(bench.scene).numbers.GetNumberOfControlPoints() == 6
    ui.landmarksCheckBox.checked = True
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
