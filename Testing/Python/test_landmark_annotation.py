"""Corrections of many frames and layers of observers in Landmark Tracking, from the Python console."""

from dataclasses import replace

import numpy as np
import pytest

from landmark_bench import LandmarkBench, place, positions, truth_px
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import Cancelled, InputError, OptionError
from UltrasoundMotionLib.images import read_sequence, write_sequence
from UltrasoundMotionLib.mrml.image_geometry import pixels_to_ras_mm
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.scene_files import read_scene, write_scene
from UltrasoundMotionLib.mrml.sequence_nodes import find_sequence_nodes
from UltrasoundMotionLib.mrml.track_links import image_of
from UltrasoundMotionLib.tracking import read_tracks_csv


@pytest.fixture
def bench(open_bench):
    return open_bench(LandmarkBench)


@pytest.fixture
def tracked(bench):
    return bench.logic.track(bench.clip.proxy, bench.points, queryFrame=0, device="cpu").landmarks


def test_two_corrections_are_fused_and_undone_by_one_press(bench, tracked):
    logic, node, truth = bench.logic, tracked.proxy, truth_px(24)
    plain = positions(bench, tracked)
    logic.placePoint(node, "P2", truth[8, 1] + [4, 0], 8)
    bench.clip.browser.SetSelectedItemNumber(16)  # the second with the mouse, which tells nobody
    node.SetNthControlPointPosition(1, *pixels_to_ras_mm(bench.sequence, truth[16, 1] + [4, 0]))
    classes = bench.classes()
    result = logic.trackCorrected(node, device="cpu")
    assert result.landmarks.proxy is node and bench.classes() == classes
    found = positions(bench, tracked)
    np.testing.assert_allclose(found[[8, 16], 1], truth[[8, 16], 1] + [4, 0], atol=1e-6)
    np.testing.assert_allclose(found[8:, 1], truth[8:, 1] + [4, 0], atol=0.6)
    np.testing.assert_allclose(found[:, [0, 2]], plain[:, [0, 2]], atol=1e-9)
    assert [one.frame for one in logic.allCorrections(node) if one.label == "P2"] == [0, 8, 16]
    assert logic.undo(node) == "tracking P2"
    np.testing.assert_allclose(positions(bench, tracked)[10:15], plain[10:15], atol=1e-9)
    assert logic.undo(node) == "moving P2" and logic.undo(node) == "moving P2" and logic.undo(node) == ""
    assert logic.redo(node) == "moving P2"


def test_a_point_that_is_added_is_followed_both_ways(bench, tracked):
    truth = truth_px(24)
    label = bench.logic.addPoint(tracked.proxy, truth[12, 0] + [15, 5], 12)
    assert label == "P4"
    bench.logic.trackCorrected(tracked.proxy, device="cpu")
    found = bench.logic.tracks(tracked.proxy)
    assert found.labels == ("P1", "P2", "P3", "P4") and found.visible[:, 3].all()
    np.testing.assert_allclose(found.positions_px[:, 3], truth[:, 0] + [15, 5], atol=0.5)


def test_the_next_doubt_is_the_least_certain_frame_that_is_not_settled(bench, tracked):
    logic, node = bench.logic, tracked.proxy
    confidence = logic.tracks(node).confidence
    first = logic.nextDoubt(node)
    if first is None:
        assert confidence.min() >= 0.9
    frame, point = np.unravel_index(np.argmin(confidence), confidence.shape)
    logic.markLost(node, f"P{point + 1}", [int(frame)])
    assert logic.nextDoubt(node) is None or (logic.nextDoubt(node).frame, logic.nextDoubt(node).label) != (
        frame,
        f"P{point + 1}",
    )


def test_the_command_repeats_what_the_panel_did(bench, tracked, tmp_path):
    logic, node, truth = bench.logic, tracked.proxy, truth_px(24)
    for frame in (8, 16):
        for number in range(3):
            logic.placePoint(node, f"P{number + 1}", truth[frame, number] + [2, 1], frame)
    logic.markLost(node, "P1", [12])
    logic.trackCorrected(node, device="cpu")
    logic.exportCorrections(node, tmp_path / "c.csv")
    write_sequence(tmp_path / "clip.seq.nrrd", bench.sequence)
    rows = "".join(f"P{number + 1},{x},{y}\n" for number, (x, y) in enumerate(truth[0]))
    (tmp_path / "points.csv").write_text("label,x,y\n" + rows)
    words = ["track", "clip.seq.nrrd", "--points", "points.csv", "--corrections", "c.csv", "--out", "t.csv"]
    words = [str(tmp_path / word) if "." in word else word for word in words]
    assert main([*words, "--device", "cpu", "--quiet"]) == 0
    written = read_tracks_csv(tmp_path / "t.csv")
    np.testing.assert_allclose(written.positions_px, positions(bench, tracked), atol=1e-3)
    assert np.array_equal(written.visible, logic.tracks(node).visible)
    logic.placePoint(node, "P1", truth[8, 0], 8)
    assert logic.importCorrections(node, tmp_path / "c.csv") == 7
    (tmp_path / "c.csv").write_text("frame,label,x,y\n3,P1,10,10\n30,P1,10,10\n")
    before = logic.allCorrections(node)
    with pytest.raises(InputError, match=r"c\.csv: P1 on frame 30, which does not exist"):
        logic.importCorrections(node, tmp_path / "c.csv")
    assert logic.allCorrections(node) == before


def test_what_cannot_be_tracked_is_said_and_a_cancelled_run_changes_nothing(bench, tracked):
    logic, node = bench.logic, tracked.proxy
    with pytest.raises(InputError, match="no point was corrected since the last run"):
        logic.trackCorrected(node)
    logic.acceptFrame(node, 10)
    with pytest.raises(OptionError, match="corrections are followed both ways and fused already"):
        logic.trackCorrected(node, offline=True)
    before = logic.tracks(node).positions_px

    def stop(done, total, message):
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        logic.trackCorrected(node, progress=stop)
    assert np.array_equal(logic.tracks(node).positions_px, before)
    with pytest.raises(InputError, match="no sequence browser"):
        logic.acceptFrame(bench.points)


def test_tracking_again_from_a_frame_ends_the_corrections_ahead(bench, tracked):
    logic, node, truth = bench.logic, tracked.proxy, truth_px(24)
    logic.placePoint(node, "P1", truth[6, 0], 6)
    logic.placePoint(node, "P1", truth[18, 0], 18)
    logic.trackCorrected(node, device="cpu")
    bench.clip.browser.SetSelectedItemNumber(10)
    node.SetNthControlPointPosition(0, *pixels_to_ras_mm(bench.sequence, truth[10, 0] + [3, 0]))
    logic.trackAgain(node, device="cpu")
    assert [one.frame for one in logic.allCorrections(node) if one.label == "P1"] == [0, 6, 10]
    with pytest.raises(InputError, match="no point was corrected"):
        logic.trackCorrected(node)


def test_layers_of_two_observers(bench, tracked, tmp_path):
    logic, node = bench.logic, tracked.proxy
    logic.nameLayer(node, "Ann")
    other = logic.addLayer(node, "Bo")
    assert logic.layers(bench.clip.proxy) == {"Ann": node, "Bo": other}
    logic.placePoint(other, "P1", truth_px(24)[12, 0] + [5, 0], 12)
    logic.trackCorrected(other, device="cpu")
    found = logic.disagreement(bench.clip.proxy)
    assert found.unit == "mm" and found.distance[12, 0] == pytest.approx(2.0, abs=0.2)
    assert found.by_point[0] > 5 * found.by_point[1]
    logic.addDisagreement(bench.clip.proxy)
    logic.showLayers(other)
    logic.exportObservers(bench.clip.proxy, tmp_path / "o.csv")
    assert (tmp_path / "o.csv").read_text().count("\nBo,") == 72
    assert logic.allCorrections(node) != logic.allCorrections(other)


@pytest.mark.parametrize(
    "relative", ["liver-free-breathing/frames", "echo-a4c-dicom/examples_ybr_color.dcm", "echo-video/input.mp4"]
)
@pytest.mark.slow
def test_on_a_real_clip(bench, shared_data, tmp_path, relative):
    """Two observers correct a real clip; nothing but what they touched changes, and a saved scene goes on."""
    clip = read_sequence(shared_data(relative))
    frames = np.stack([clip.frames[frame] for frame in range(13)])
    times = None if clip.times_s is None else clip.times_s[:13]
    clip = replace(clip, frames=frames, times_s=times, frame_fields={}, name="real")
    middle = np.array(clip.frame_size) / 2
    image = add_image_sequence(bench.scene, clip)
    points = place(bench.scene, clip, middle + np.array([[-25.0, -15.0], [20.0, 30.0]]), "on real")
    logic = bench.logic
    node = logic.track(image.proxy, points, queryFrame=0, device="cpu").landmarks.proxy
    plain = logic.tracks(node).positions_px
    logic.nameLayer(node, "Ann")
    other = logic.addLayer(node, "Bo")
    logic.placePoint(other, "P1", plain[6, 0] + [6.0, -4.0], 6)
    logic.markLost(other, "P2", [3, 4])
    logic.acceptFrame(other, 12)
    logic.trackCorrected(other, device="cpu")
    found = logic.tracks(other)
    np.testing.assert_allclose(found.positions_px[6, 0], plain[6, 0] + [6.0, -4.0], atol=1e-6)
    np.testing.assert_allclose(found.positions_px[12], plain[12], atol=1e-6)
    assert not found.visible[3:5, 1].any() and found.visible[[0, 12], 1].all()
    np.testing.assert_array_equal(logic.tracks(node).positions_px, plain)
    assert logic.disagreement(image.proxy).distance[6, 0] > 0
    write_scene(bench.scene, tmp_path / "real.mrb")
    name = other.GetName()
    bench.scene.Clear(False)
    read_scene(bench.scene, tmp_path / "real.mrb")
    again = bench.scene.GetFirstNodeByName(name)
    assert [one.frame for one in logic.allCorrections(again) if one.lost] == [3, 4]
    np.testing.assert_allclose(logic.tracks(again).positions_px, found.positions_px, atol=1e-3)
    assert list(logic.layers(image_of(find_sequence_nodes(again)).proxy)) == ["Ann", "Bo"]
