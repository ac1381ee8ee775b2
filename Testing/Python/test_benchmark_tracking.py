"""Benchmarks of tracking: the peers, the measurements, and the verbs that print them."""

import json

import numpy as np
import pytest

from track_samples import run_verb
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.evaluation import (
    compare_tracks,
    measure_tracks,
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
from UltrasoundMotionLib.lab.benchmarks.round_trip import benchmark_round_trip, structured_points
from UltrasoundMotionLib.lab.benchmarks.swaying_speckle import SwayingSpeckle
from UltrasoundMotionLib.lab.benchmarks.trackers import BenchmarkTracker, same_points
from UltrasoundMotionLib.lab.benchmarks.tracking import benchmark_tracking
from UltrasoundMotionLib.lab.benchmarks.wires import WIRES_FOLDER, WIRES_NAME, read_wire_positions
from UltrasoundMotionLib.lab.cli import benchmark
from UltrasoundMotionLib.lab.phantom_cases import DIFFICULTIES, HARDER_HALF_NAME, KINDS, BenchmarkCase
from UltrasoundMotionLib.tracking import (
    run_tracker,
)


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
@pytest.mark.slow
def test_peers_follow_texture_that_moves(name):
    pytest.importorskip("cv2")
    sequence, truth = swaying()
    call = find_peer(name, "tracking").call
    tracks = run_tracker(sequence, call, truth.positions_px[0], labels=truth.labels, judged=False)
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


@pytest.mark.slow
def test_benchmark_speed_prints_rates_beside_the_goal(tmp_path, capsys):
    pytest.importorskip("cv2")
    words = ["--frames", 4, "--points", 7, "--models", "lucas-kanade", "--peers", "opencv-lk"]
    words += ["--json", tmp_path / "s.json"]
    assert run_verb(benchmark, "speed", *words) == 0
    printed = capsys.readouterr().out
    assert "opencv-lk" in printed
    assert "at least 60 frames/s" in printed
    rows = json.loads((tmp_path / "s.json").read_text())["rows"]
    assert all(row["min_fps"] <= row["median_fps"] <= row["max_fps"] for row in rows)
    assert all(row["cpu_fps"] > 0 for row in rows)
    assert "7 points" in printed
    with pytest.raises(OutputError, match="does not exist"):
        run_verb(benchmark, "speed", "--json", tmp_path / "no" / "s.json")
    with pytest.raises(InputError, match="no tracker named none"):
        run_verb(benchmark, "speed", "--models", "none")
