"""Myocardial Tracking from the Python console, on real MRML nodes with the real child process."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import slicer

from myocardial_bench import CENTRE, CLICKS_PX, SHORTENING, MyocardialBench, scale
from UltrasoundMotionLib.errors import Cancelled, InputError
from UltrasoundMotionLib.mrml.bulls_eye_nodes import OUTSIDE, bulls_eye_image, find_bulls_eye
from UltrasoundMotionLib.mrml.scene_files import read_scene, write_scene
from UltrasoundMotionLib.mrml.slice_rendering import SliceView
from UltrasoundMotionLib.mrml.strain_scale import REJECTED_PERCENT
from UltrasoundMotionLib.mrml.track_links import derived_nodes
from UltrasoundMotionLib.mrml.tracked_wall import tracked_wall, walls_in
from UltrasoundMotionLib.mrml.views import view_node
from UltrasoundMotionLib.mrml.wall_contour_nodes import contour_from_node
from UltrasoundMotionLib.strain import CardiacEvents, longitudinal_strain, ventricle_strain
from UltrasoundMotionLib.strain.request import StrainRequest
from UltrasoundMotionLib.strain.strain_files import read_strain_csv


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


@pytest.fixture
def bench(open_bench, sample_cache):
    return open_bench(MyocardialBench, sample_cache)


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


@pytest.mark.slow
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


def test_the_legend_has_round_numbers_and_stays_off_the_bulls_eye(bench):
    views = {name: view_node(bench.scene, "vtkMRMLSliceNode", name).GetID() for name in ("Red", "Yellow", "Green")}
    wall = bench.logic.track(bench.clip.proxy, bench.clicks)
    bench.logic.strain(wall)
    [band] = derived_nodes(wall.main, "vtkMRMLModelNode")
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(band)
    low, high = band.GetDisplayNode().GetScalarRange()
    ticks = np.linspace(low, high, legend.GetNumberOfLabels())
    np.testing.assert_allclose(ticks, [-30, -20, -10, 0, 10, 20])
    assert [name for name, view in views.items() if legend.IsDisplayableInView(view)] == ["Red"]


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
