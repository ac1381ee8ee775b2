"""Measures against tiny examples worked out by hand and an independent reference, CLUST's files, OpenCV's trackers, and
the verbs.
"""

import argparse
import json
from dataclasses import replace

import numpy as np
import pytest

from UltrasoundMotionLib.cli import evaluate
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.evaluation import (
    compare_tracks,
    forward_backward_error,
    measure_tracks,
    points_lost,
    report_tracks,
)
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.disk import (
    DISK_FILE,
    benchmark_disk,
    disk_points,
    fit_rotation,
    read_disk,
    rotation_per_frame,
)
from UltrasoundMotionLib.lab.benchmarks.memory import benchmark_memory
from UltrasoundMotionLib.lab.benchmarks.peers import available_peers, find_peer
from UltrasoundMotionLib.lab.benchmarks.peers.opencv import ChainedLucasKanade, sample_bilinear
from UltrasoundMotionLib.lab.benchmarks.phantom_cases import DIFFICULTIES, HARDER_HALF_NAME, KINDS, BenchmarkCase
from UltrasoundMotionLib.lab.benchmarks.round_trip import benchmark_round_trip, structured_points
from UltrasoundMotionLib.lab.benchmarks.swaying_speckle import SwayingSpeckle
from UltrasoundMotionLib.lab.benchmarks.trackers import BenchmarkTracker, same_points
from UltrasoundMotionLib.lab.benchmarks.tracking import benchmark_tracking
from UltrasoundMotionLib.lab.benchmarks.wires import WIRES_FOLDER, WIRES_NAME, read_wire_positions
from UltrasoundMotionLib.lab.cli import benchmark
from UltrasoundMotionLib.text_table import markdown_table, text_table
from UltrasoundMotionLib.tracking import (
    PointTracks,
    read_clust_annotation,
    read_clust_tracks,
    run_tracker,
    write_clust_tracks,
    write_tracks_csv,
)


def make_tracks(positions, visible=None, labels=None, query_frame=0, spacing_mm=None):
    positions = np.asarray(positions, dtype=float)
    known = np.all(np.isfinite(positions), axis=2)
    visible = known if visible is None else np.asarray(visible)
    labels = labels or tuple("abcdefghij"[: positions.shape[1]])
    return PointTracks(positions, known.astype(float), visible, labels, query_frame, spacing_mm=spacing_mm)


def off_by(errors_px):
    """Truth at rest at (10, 20), and tracks that are off along x by the given (T, N) pixels."""
    errors_px = np.asarray(errors_px, dtype=float)
    truth = np.broadcast_to([10.0, 20.0], (*errors_px.shape, 2)).copy()
    tracks = truth.copy()
    tracks[..., 0] += errors_px
    return make_tracks(tracks), make_tracks(truth)


# --- measures
# ------------------------------------------------------------


def test_measures_of_an_example_worked_out_by_hand():
    # Point a is off by 0.5, 1, 3; point b by 6, 20, 1.5; frame 0 is the query frame and does not count.
    tracks, truth = off_by([[0, 0], [0.5, 6], [1, 20], [3, 1.5]])
    measures = measure_tracks(compare_tracks(tracks, truth))
    # Under 1 px: only 0.5, because an error of exactly 1 is not under it. Under 2: 0.5, 1, 1.5. Under 4: and 3. Under
    # 8: and 6. 20 never.
    assert measures.position_accuracy == pytest.approx((1 / 6, 3 / 6, 4 / 6, 5 / 6, 5 / 6))
    assert measures.delta_avg == pytest.approx(18 / 30)
    assert measures.median_trajectory_error_px == pytest.approx((1 + 6) / 2)
    assert measures.median_error_px == pytest.approx((1.5 + 3) / 2)
    error = measures.tracking_error
    assert (error.unit, error.min, error.max) == ("px", 0.5, 20)
    assert error.mean == pytest.approx(32 / 6)
    assert error.std == pytest.approx(np.sqrt((0.25 + 1 + 9 + 36 + 400 + 2.25) / 6 - (32 / 6) ** 2))
    assert error.percentile_95 == pytest.approx(6 + 0.75 * 14)  # rank 0.95 * 5 = 4.75 between 6 and 20
    assert (measures.point_count, measures.annotation_count, measures.lost_count) == (2, 6, 0)
    assert measures.occlusion_accuracy is None
    assert measures.average_jaccard is None


def test_errors_in_mm_take_each_axis_by_its_spacing_and_no_tracking_error_is_the_motion():
    truth = make_tracks([[[0, 0]], [[3, 4]]], spacing_mm=(2.0, 0.5))
    tracks = make_tracks([[[0, 0]], [[2, 2]]])
    errors = compare_tracks(tracks, truth)
    assert errors.error_px[1, 0] == pytest.approx(np.hypot(1, 2))
    assert errors.error_mm[1, 0] == pytest.approx(np.hypot(2, 1))
    assert errors.no_tracking_px[1, 0] == pytest.approx(5)
    assert errors.no_tracking_mm[1, 0] == pytest.approx(np.hypot(6, 2))
    measures = measure_tracks(errors)
    assert measures.tracking_error.unit == "mm"
    assert measures.no_tracking_error.mean == pytest.approx(np.hypot(6, 2))
    assert np.isnan(errors.error_px[0, 0]), "the query frame does not count"


def test_rescaling_to_256_scales_each_axis_and_leaves_mm_alone():
    tracks, truth = off_by([[0], [4]])
    errors = compare_tracks(tracks, truth, rescale_from=(512, 256), spacing_mm=(0.5, 0.5))
    assert errors.error_px[1, 0] == pytest.approx(2)
    assert errors.error_mm[1, 0] == pytest.approx(2)


def tapvid_reference(predicted, predicted_visible, truth, truth_visible):
    """TAP-Vid's measures, one annotation after the other, as its paper words them (arrays (T, N), without the query
    frame).
    """
    agree = total = 0
    within, jaccard = [], []
    for threshold in (1, 2, 4, 8, 16):
        hits = seen = true_positive = false_positive = 0
        for t, n in np.ndindex(truth_visible.shape):
            near = np.hypot(*(predicted[t, n] - truth[t, n])) < threshold
            seen += truth_visible[t, n]
            hits += truth_visible[t, n] and near
            true_positive += truth_visible[t, n] and near and predicted_visible[t, n]
            false_positive += predicted_visible[t, n] and not (truth_visible[t, n] and near)
            if threshold == 1:
                total += 1
                agree += predicted_visible[t, n] == truth_visible[t, n]
        within.append(hits / seen)
        jaccard.append(true_positive / (seen + false_positive))
    return np.array(within), np.mean(jaccard), agree / total


def test_measures_with_hidden_points_agree_with_tapvid_written_out_as_loops():
    generator = np.random.default_rng(3)
    truth = generator.uniform(0, 200, (12, 7, 2))
    predicted = truth + generator.normal(0, 5, truth.shape)
    truth_visible, predicted_visible = generator.random((12, 7)) < 0.7, generator.random((12, 7)) < 0.6
    query_frame = 4
    measures = measure_tracks(
        compare_tracks(
            make_tracks(predicted, predicted_visible, query_frame=query_frame), make_tracks(truth, truth_visible)
        )
    )
    kept = np.arange(12) != query_frame
    within, jaccard, agreement = tapvid_reference(
        predicted[kept], predicted_visible[kept], truth[kept], truth_visible[kept]
    )
    assert measures.position_accuracy == pytest.approx(within)
    assert measures.delta_avg == pytest.approx(within.mean())
    assert measures.average_jaccard == pytest.approx(jaccard)
    assert measures.occlusion_accuracy == pytest.approx(agreement)


def test_sparse_truth_counts_only_where_it_is_and_labels_are_matched_by_name():
    tracks, truth = off_by([[0, 0], [1, 2], [3, 4], [5, 6]])
    positions = truth.positions_px.copy()
    positions[[1, 3], 0] = np.nan
    positions[2:, 1] = np.nan
    sparse = make_tracks(positions[:3])
    swapped = replace(
        sparse, positions_px=sparse.positions_px[:, ::-1], visible=sparse.visible[:, ::-1], labels=("b", "a")
    )
    for reordered in (sparse, swapped):
        errors = compare_tracks(tracks, reordered)
        assert sorted(errors.error_px[errors.counted]) == pytest.approx([2, 3])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tracks, truth: (tracks, replace(truth, labels=("a", "tip"))), "no point named tip; they have a, b"),
        (
            lambda tracks, truth: (make_tracks(tracks.positions_px[:2]), truth),
            "truth of point a has frame 2, the tracks end at frame 1",
        ),
        (
            lambda tracks, truth: (
                make_tracks(np.where(np.arange(3)[:, None, None] == 2, np.nan, tracks.positions_px)),
                truth,
            ),
            "frame 2 of point a",
        ),
        (lambda tracks, truth: (tracks, make_tracks(truth.positions_px[:1])), "no position besides the query frame 0"),
        (lambda tracks, truth: (replace(tracks, spacing_mm=(1, 1)), replace(truth, spacing_mm=(0.3, 0.3))), "spacing"),
    ],
)
def test_what_does_not_fit_is_named(change, words):
    tracks, truth = change(*off_by([[0, 0], [1, 2], [3, 4]]))
    with pytest.raises(InputError, match=words) as caught:
        compare_tracks(tracks, truth, name="clip 7")
    assert "clip 7" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lost_for_good_looks_at_the_last_tenth_only():
    errors = np.zeros((20, 4))
    errors[:18, 0] = 50  # found again
    errors[18:, 1] = 50  # lost in the end
    errors[19, 2] = 50  # one bad frame of the last two
    errors[10:, 3] = 50  # lost; annotated only until frame 12
    tracks, truth = off_by(errors)
    positions = truth.positions_px.copy()
    positions[13:, 3] = np.nan
    compared = compare_tracks(tracks, make_tracks(positions))
    assert points_lost(compared).tolist() == [False, True, False, True]
    assert not points_lost(compared, threshold_px=60).any()


def test_pool_weighs_positions_and_spread_weighs_sequences():
    long = compare_tracks(*off_by([[0]] + [[1]] * 9), name="long", frames_per_second=10.0)
    short = compare_tracks(*off_by([[0], [11]]), name="short", frames_per_second=40.0)
    report = report_tracks([long, short])
    assert report.pooled.tracking_error.mean == pytest.approx((9 * 1 + 11) / 10)
    spread = report.spread["tracking_error_mean"]
    assert (spread.mean, spread.min, spread.max) == (6, 1, 11)
    assert spread.std == pytest.approx(np.sqrt(50))
    assert report.pooled.frames_per_second == pytest.approx(12 / (10 / 10 + 2 / 40))
    content = json.loads(json.dumps(report.as_dict()))
    assert content["pooled"]["tracking_error_mean"] == pytest.approx(2)
    assert [one["name"] for one in content["sequences"]] == ["long", "short"]
    assert report.table().splitlines()[2].startswith("long")
    with pytest.raises(InputError, match="some have none"):
        report_tracks([long, compare_tracks(*off_by([[0], [1]]), spacing_mm=(1, 1))])


def test_tables_line_up():
    lines = text_table(["name", "x"], [["a", "1.5"], ["longer", "-"]]).splitlines()
    assert lines == ["name      x", "------  ---", "a       1.5", "longer    -"]
    lines = markdown_table(["name", "x"], [["a|b", "1"]]).splitlines()
    assert lines == ["| name |   x |", "| ---- | --: |", "| a\\|b |   1 |"]


def test_forward_backward_error_is_twice_a_constant_drift_and_nan_outside_the_image():
    sequence = ImageSequence(np.zeros((5, 40, 50), np.uint8), spacing_mm=(0.5, 0.5))

    def drifting(sequence, points, query_frame):
        steps = np.abs(np.arange(len(sequence)) - query_frame)[:, None, None]
        return same_points(points[None] + steps * np.array([2.0, 0.0]), query_frame=query_frame)

    result = forward_backward_error(sequence, np.array([[10.0, 10.0], [45.0, 10.0]]), drifting, query_frame=1)
    assert result.error_px[0] == pytest.approx(2 * 3 * 2)
    assert result.error_mm[0] == pytest.approx(6)
    assert np.isnan(result.error_px[1])
    assert result.left_image_count == 1
    assert result.median_px == pytest.approx(12)


# --- CLUST
# ------------------------------------------------------------


def test_clust_files_keep_positions_frames_and_labels(tmp_path):
    positions = np.random.default_rng(0).uniform(0, 500, (30, 2, 2)).round(3)
    positions[5:20, 1] = np.nan
    written = write_clust_tracks(tmp_path, make_tracks(positions, labels=("ETH-01-1_1", "ETH-01-1_2")))
    assert [path.name for path in written] == ["ETH-01-1_1.txt", "ETH-01-1_2.txt"]
    assert written[0].read_text().splitlines()[0] == f"1 {positions[0, 0, 0]:.3f} {positions[0, 0, 1]:.3f}"
    back = read_clust_tracks(tmp_path, frame_count=32)
    assert back.labels == ("ETH-01-1_1", "ETH-01-1_2")
    assert np.allclose(back.positions_px[:30], positions, atol=1e-9, equal_nan=True)
    assert np.isnan(back.positions_px[30:]).all()
    assert np.array_equal(back.visible[:30], np.isfinite(positions[..., 0]))


def test_clust_annotation_counts_frames_from_one_and_takes_commas_and_blank_lines(tmp_path):
    (tmp_path / "L1.txt").write_text("1 10.5 20\n\n 11,11.5,21 \n")
    annotation = read_clust_annotation(tmp_path / "L1.txt")
    assert annotation.label == "L1"
    assert annotation.frames.tolist() == [0, 10]
    assert annotation.positions_px.tolist() == [[10.5, 20], [11.5, 21]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("1 2 3\n5 2 3\n4 2 3\n", "line 3: frame 4 comes after frame 5"),
        ("1 2 3\n1 2 3\n", "line 2: frame 1 comes after frame 1"),
        ("1 2 3\n2 x 3\n", "line 2: expected three numbers"),
        ("1 2\n", "line 1: expected three numbers"),
        ("0 2 3\n", "frame 0 must be a whole number from 1 on"),
        ("1.5 2 3\n", "frame 1.5 must be a whole number"),
        ("1 nan 3\n", "not finite"),
        ("\n", "no annotation"),
        ("1 2 3\n40 2 3\n", "frame 40 is annotated, the sequence has 30 frames"),
    ],
)
def test_bad_clust_files_are_refused_with_their_line(tmp_path, content, words):
    path = tmp_path / "L1.txt"
    path.write_text(content)
    with pytest.raises(InputError, match=words) as caught:
        read_clust_tracks(path, frame_count=30)
    assert str(path) in str(caught.value)


def test_clust_refuses_what_is_missing_or_cannot_be_named(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_clust_annotation(tmp_path / "none.txt")
    with pytest.raises(InputError, match=r"no \.txt annotation"):
        read_clust_tracks(tmp_path)
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        read_clust_annotation(tmp_path / "b.txt")
    with pytest.raises(InputError, match="name of a file"):
        write_clust_tracks(tmp_path, make_tracks(np.zeros((1, 1, 2)), labels=("../x",)))
    with pytest.raises(OutputError):
        write_clust_tracks(tmp_path / "no" / "folder", make_tracks(np.zeros((1, 1, 2))))


# --- peers
# ------------------------------------------------------------


def swaying(frame_count=12, size=128):
    """A sequence of texture that moves by whole pixels, up to 6 px, and the exact truth of nine points."""
    source = SwayingSpeckle(frame_count, size)
    frames = np.stack([source[index] for index in range(frame_count)])
    points = np.stack(np.meshgrid([40.0, 64, 88], [40.0, 64, 88]), axis=-1).reshape(-1, 2)
    shifts = np.array([source.shift_px(index) for index in range(frame_count)], dtype=float)
    return ImageSequence(frames, name="swaying"), same_points(points + shifts[:, None])


def test_swaying_speckle_moves_as_it_says():
    sequence, truth = swaying(30)
    shift = (truth.positions_px[20, 0] - truth.positions_px[0, 0]).astype(int)
    assert np.abs(shift).max() == 6
    moved = np.roll(sequence.frames[0], shift[::-1], axis=(0, 1))
    assert np.array_equal(moved[10:-10, 10:-10], sequence.frames[20][10:-10, 10:-10])


@pytest.mark.parametrize("name", [peer.name for peer in available_peers("tracking")])
def test_peers_follow_texture_that_moves(name):
    pytest.importorskip("cv2")
    sequence, truth = swaying()
    tracks = run_tracker(sequence, find_peer(name, "tracking").call, truth.positions_px[0], labels=truth.labels)
    measures = measure_tracks(compare_tracks(tracks, truth))
    assert measures.no_tracking_error.mean > 3, "the texture moves"
    # CSRT searches on a coarse grid of features: about half a pixel, at worst two. KCF answers in whole pixels and lags
    # a little.
    mean, worst = {"opencv-csrt": (0.6, 3.0), "opencv-kcf": (1.0, 3.0)}.get(name, (0.1, 0.3))
    assert measures.tracking_error.mean < mean
    assert measures.tracking_error.max < worst


@pytest.mark.parametrize("name", [peer.name for peer in available_peers("tracking")])
def test_peers_take_points_on_the_border(name):
    pytest.importorskip("cv2")
    sequence, _ = swaying(4)
    tracks = run_tracker(
        sequence, find_peer(name, "tracking").call, np.array([[0.0, 0.0], [127.4, 127.4], [-0.5, 60.0]])
    )
    assert np.isfinite(tracks.positions_px).all()
    assert tracks.positions_px[0] == pytest.approx(np.array([[0.0, 0.0], [127.4, 127.4], [-0.5, 60.0]]))


def test_nanotrack_takes_part_where_its_files_are(monkeypatch, tmp_path):
    pytest.importorskip("cv2")
    monkeypatch.delenv("ULTRASOUND_MOTION_NANOTRACK", raising=False)
    assert "opencv-nano" not in [peer.name for peer in available_peers("tracking")]
    monkeypatch.setenv("ULTRASOUND_MOTION_NANOTRACK", str(tmp_path))
    assert available_peers("tracking")[-1].name == "opencv-nano"
    with pytest.raises(InputError, match=r"nanotrack_backbone_sim.onnx is not there; set ULTRASOUND_MOTION_NANOTRACK"):
        find_peer("opencv-nano", "tracking").call()


def test_chained_lucas_kanade_says_when_it_has_lost_a_point():
    pytest.importorskip("cv2")
    sequence, truth = swaying(4)
    tracker = ChainedLucasKanade()
    tracker.start(sequence.frame(0), truth.positions_px[0])
    result = tracker.update(np.zeros((128, 128), np.float32) + 7)
    assert np.isfinite(result.positions_px).all()
    edge = ChainedLucasKanade()
    edge.start(np.eye(128, dtype=np.float32) * 255, np.array([[64.0, 10.0]]))
    assert not edge.update(np.eye(128, dtype=np.float32) * 255).visible[0], "a flat patch cannot be followed"


def test_bilinear_sampling_agrees_with_scipy():
    from scipy.ndimage import map_coordinates

    generator = np.random.default_rng(2)
    field = generator.normal(size=(9, 13, 2))
    points = generator.uniform(-2, 15, (50, 2))
    expected = np.stack(
        [map_coordinates(field[..., c], [points[:, 1], points[:, 0]], order=1, mode="nearest") for c in (0, 1)], axis=1
    )
    assert np.allclose(sample_bilinear(field, points), expected, atol=1e-12)
    with pytest.raises(InputError, match="opencv-lk"):
        find_peer("opencv-none", "tracking")


# --- benchmarks
# ------------------------------------------------------------


def test_rotation_is_found_to_rounding():
    points = np.random.default_rng(1).uniform(0, 200, (20, 2))
    angles = np.radians(0.345 * np.arange(10))
    turn = np.array([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]]).transpose(2, 0, 1)
    turned = (points - 100) @ turn.transpose(0, 2, 1) + [103.0, 98.0]
    degrees, residual = rotation_per_frame(turned)
    assert degrees == pytest.approx(0.345, abs=1e-9)
    assert residual < 1e-9
    assert fit_rotation(np.array([[0.0, 0], [2, 0]]), np.array([[0.0, 0], [0, 4]])) == pytest.approx((90, 1))


def test_disk_benchmark_measures_a_disk_that_is_known_to_turn(shared_data):
    pytest.importorskip("cv2")
    sequence = read_disk(shared_data(DISK_FILE))
    assert sequence.frames.shape == (32, 251, 251)
    assert np.hypot(*(disk_points() - [118, 131]).T).max() <= 90
    result = benchmark_disk(sequence, [BenchmarkTracker("opencv-dis", find_peer("opencv-dis", "tracking").call, False)])
    assert 0.25 < result.rows[0].degrees_per_frame < 0.45
    assert result.targets == ()
    with pytest.raises(InputError, match="does not exist"):
        read_disk("no such.mat")


def test_wires_keep_their_order_from_frame_to_frame(shared_data):
    path = shared_data(f"{WIRES_FOLDER}/{WIRES_NAME}_Segmentation_baseline.xml")
    positions = read_wire_positions(path, 201).positions_px
    found = np.isfinite(positions[:, 0, 0])
    assert np.flatnonzero(~found).tolist() == [58, 80, 87, 145, 180]
    assert np.linalg.norm(np.diff(positions[found], axis=0), axis=2).max() < 15
    apart = np.linalg.norm(positions[found][:, :, None] - positions[found][:, None], axis=3) + 1e3 * np.eye(6)
    assert apart.min() > 30
    with pytest.raises(InputError, match="outside the sequence of 150 frames"):
        read_wire_positions(path, 150)


def test_tracking_benchmark_groups_pools_and_judges():
    pytest.importorskip("cv2")
    from UltrasoundMotionLib.simulation.degradation import DIFFICULTIES as PRESETS

    assert tuple(PRESETS) == DIFFICULTIES
    sequence, truth = swaying(6)

    class Still:
        def start(self, frame, query_points):
            from UltrasoundMotionLib.tracking import FrameTracks

            self.result = FrameTracks(query_points, np.ones(len(query_points)), np.ones(len(query_points), bool))
            return self.result

        def update(self, frame):
            return self.result

    trackers = [
        BenchmarkTracker("still", Still, True),
        BenchmarkTracker("opencv-dis", find_peer("opencv-dis", "tracking").call, False),
    ]
    cases = [
        BenchmarkCase("heart", difficulty, f"{difficulty} {n}", sequence, truth)
        for difficulty in ("easy", "hard", "extreme")
        for n in (1, 2)
    ]
    seen = []
    result = benchmark_tracking(
        cases, trackers, case_count=6, progress=lambda done, total, message: seen.append((done, total))
    )
    assert seen[0] == (0, 12)
    assert seen[-1] == (12, 12)
    groups = [(row.difficulty, row.tracker, len(row.report.sequences)) for row in result.rows]
    assert (HARDER_HALF_NAME, "still", 4) in groups
    assert ("easy", "opencv-dis", 2) in groups
    assert groups[-1][0] == HARDER_HALF_NAME
    (target,) = result.targets
    assert target.what == "heart, harder half: mean accuracy of still"
    assert not target.met
    assert "heart harder half (4)" in result.table()
    assert json.loads(json.dumps(result.as_dict()))["rows"][0]["kind"] in KINDS


def test_round_trip_tells_a_tracker_that_moves_from_one_that_does_not():
    pytest.importorskip("cv2")
    sequence, _ = swaying(30)
    points = structured_points(sequence.frame(0), 3)
    assert points.shape == (3, 2)
    assert points.min() >= 24
    assert points.max() < 104
    apart = np.linalg.norm(points[:, None] - points, axis=2) + 1e3 * np.eye(3)
    assert apart.min() > 24
    result = benchmark_round_trip(
        sequence, [BenchmarkTracker("opencv-dis", find_peer("opencv-dis", "tracking").call, True)], point_count=3
    )
    (row,) = result.rows
    assert row.unit == "px"
    assert row.median < 0.3
    assert 6 < row.moved < 9, "it sways by 6 px to either side along both axes, out of step"
    assert result.targets == ()
    with pytest.raises(InputError, match="no structure"):
        structured_points(np.zeros((128, 128)), 3)


@pytest.mark.slow
def test_memory_benchmark_measures_child_processes():
    result = benchmark_memory(["lucas-kanade"], short_frames=3, long_frames=9, size_px=64)
    (row,) = result.rows
    assert 50 < row.short_mb < 5000
    assert abs(row.growth_mb) < 100
    with pytest.raises(InputError, match="no tracker named"):
        benchmark_memory(["none"])


# --- verbs
# ------------------------------------------------------------


def run_verb(module, *words):
    parser = argparse.ArgumentParser()
    module.fill_parser(parser)
    arguments = parser.parse_args([str(word) for word in words])
    return arguments.run(arguments)


def test_evaluate_tracks_pools_pairs_of_files(tmp_path, capsys):
    for name, errors in (("one", [[0, 0], [0.5, 6], [1, 20]]), ("two", [[0, 0], [3, 3], [3, 3]])):
        tracks, truth = off_by(errors)
        write_tracks_csv(tmp_path / f"{name}.csv", tracks)
        write_tracks_csv(tmp_path / f"{name}_truth.csv", truth)
    files = [
        tmp_path / "one.csv",
        tmp_path / "two.csv",
        "--truth",
        tmp_path / "one_truth.csv",
        tmp_path / "two_truth.csv",
    ]
    assert run_verb(evaluate, "tracks", *files, "--spacing-mm", 0.5, 0.5, "--json", tmp_path / "r.json") == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["unit"] == "mm"
    assert report["pooled"]["tracking_error_mean"] == pytest.approx(0.5 * (0.5 + 6 + 1 + 20 + 12) / 8)
    assert "pooled" in capsys.readouterr().out
    assert run_verb(evaluate, "tracks", *files, "--markdown") == 0
    assert capsys.readouterr().out.startswith("| sequence")
    with pytest.raises(InputError, match="2 files of tracks but 1 of truth"):
        run_verb(evaluate, "tracks", *files[:4])


def test_evaluate_tracks_takes_clust_annotations(tmp_path, capsys):
    tracks, truth = off_by([[0, 0], [1, 2], [3, 4]])
    write_tracks_csv(tmp_path / "t.csv", tracks)
    folder = tmp_path / "clip" / "Annotation"
    folder.mkdir(parents=True)
    a, b = write_clust_tracks(folder, truth)
    for given in ([tmp_path / "clip"], [a, b]):
        assert run_verb(evaluate, "tracks", tmp_path / "t.csv", "--truth", *given, "--json", tmp_path / "r.json") == 0
        assert json.loads((tmp_path / "r.json").read_text())["pooled"]["tracking_error_mean"] == pytest.approx(2.5)
    with pytest.raises(InputError, match=r"expected a \.csv"):
        run_verb(evaluate, "tracks", tmp_path / "t.csv", "--truth", tmp_path / "t.mat")


@pytest.mark.slow
def test_benchmark_speed_prints_rates_beside_the_goal(tmp_path, capsys):
    pytest.importorskip("cv2")
    words = ["--frames", 4, "--models", "lucas-kanade", "--peers", "opencv-lk", "--json", tmp_path / "s.json"]
    assert run_verb(benchmark, "speed", *words) == 0
    printed = capsys.readouterr().out
    assert "opencv-lk" in printed
    assert "at least 60 frames/s" in printed
    rows = json.loads((tmp_path / "s.json").read_text())["rows"]
    assert all(row["min_fps"] <= row["median_fps"] <= row["max_fps"] for row in rows)
    with pytest.raises(OutputError, match="does not exist"):
        run_verb(benchmark, "speed", "--json", tmp_path / "no" / "s.json")
    with pytest.raises(InputError, match="no tracker named none"):
        run_verb(benchmark, "speed", "--models", "none")
