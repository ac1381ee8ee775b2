"""Support points, and what neighbours say to a long match: one point is followed as well as forty."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from UltrasoundMotionLib.images.graphics_mask import without_graphics
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.ablation import part_trackers
from UltrasoundMotionLib.tracking import track_points
from UltrasoundMotionLib.tracking.matching.query_flow import QueryFlow
from UltrasoundMotionLib.tracking.matching.settings import LongShortSettings, point_tracker_settings
from UltrasoundMotionLib.tracking.matching.shared_correction import share_correction
from UltrasoundMotionLib.tracking.matching.support_points import support_points
from UltrasoundMotionLib.tracking.registry import find_tracker

SIZE = 160
POINT = np.array([[70.0, 80.0]])
ALONE = {"support": {"count": 0}}


def _speckle(seed: int, size: int = 2 * SIZE) -> np.ndarray:
    """Speckle-like grey levels, about 3 px fine."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((2, size, size)), (0, 1.3, 1.3))
    level = np.hypot(*noise)
    return (90 * level / level.mean()).astype(np.float32)


def _moved(tissue: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The middle of a large picture, moved by (x, y) pixels."""
    margin = (len(tissue) - SIZE) // 2
    return ndimage.shift(tissue, (shift[1], shift[0]), order=3, mode="wrap")[margin:-margin, margin:-margin]


def _disk(centre: np.ndarray, radius: float) -> np.ndarray:
    """Weights (SIZE, SIZE), 1 in a disk with soft edges."""
    y, x = np.mgrid[:SIZE, :SIZE]
    return 1 / (1 + np.exp((np.hypot(x - centre[0], y - centre[1]) - radius) / 1.5))


def _errors(frames: np.ndarray, points: np.ndarray, shifts: np.ndarray, settings: dict | None = None) -> np.ndarray:
    """Errors (T, N) of the default tracker."""
    tracks = track_points(ImageSequence(frames), points, settings=settings, hide_graphics=False)
    assert tracks.positions_px.shape == (len(frames), len(points), 2)
    return np.linalg.norm(tracks.positions_px - points - shifts[:, None], axis=2)


def test_a_point_whose_tissue_drops_out_over_clutter_that_stands_still_goes_with_the_tissue():
    tissue, clutter = _speckle(1), _moved(_speckle(2), np.zeros(2))
    shifts = np.array([(0.0, 1.2 * t) for t in range(14)])
    frames = np.stack([_moved(tissue, shift) for shift in shifts])
    for t in range(3, 14):
        hidden = _disk(POINT[0] + shifts[t], 14.0)
        frames[t] = (1 - hidden) * frames[t] + hidden * clutter
    assert _errors(frames, POINT, shifts, ALONE)[-1, 0] > 5  # alone it stays with the clutter
    assert _errors(frames, POINT, shifts)[-1, 0] < 2


def test_a_point_does_not_take_a_far_twin_for_its_place():
    tissue = _speckle(3)
    shifts = np.array([(0.8 * t, 0.0) for t in range(16)])
    frames = np.stack([_moved(tissue, shift) for shift in shifts])
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float64)
    for t in range(4, 16):  # its own place fades into noise, and what is like it appears 12 px beside it
        copied = ndimage.map_coordinates(frames[t], (y - 12.0, x), order=3, mode="nearest")
        noise = ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), 1.3)
        here = _disk(POINT[0] + shifts[t], 14.0)
        frames[t] = (1 - here) * frames[t] + here * (90 + 40 * noise / noise.std())
        there = _disk(POINT[0] + (0.0, 12.0) + shifts[t], 12.0)
        frames[t] = (1 - there) * frames[t] + there * copied
    assert _errors(frames, POINT, shifts, ALONE)[-1, 0] > 10  # alone it is taken for found, on the twin
    assert _errors(frames, POINT, shifts)[-1, 0] < 1


@pytest.mark.parametrize("model", ["lucas-kanade", "lucas-kanade-wall", "block-matching"])
def test_support_points_are_never_shown(model):
    tissue = _speckle(6)
    frames = np.stack([_moved(tissue, np.array([t, 0.0])) for t in range(4)])
    seen: list[int] = []
    tracks = track_points(
        ImageSequence(frames),
        POINT,
        labels=["A"],
        model=model,
        watch_shadows=True,
        on_frame=lambda _, found: seen.append(len(found.positions_px)),
    )
    assert tracks.labels == ("A",) and tracks.positions_px.shape == (4, 1, 2) and set(seen) == {1}


def test_support_points_lie_on_tissue_inside_the_sector_apart_from_the_points():
    image = _speckle(7)[:256, :256].copy()
    y, x = np.mgrid[:256, :256]
    image[np.abs(x - 128) > 0.6 * y + 8] = 0  # outside the sector
    image[150:200, 90:140] = 80  # filled: no structure
    points = np.array([[128.0, 120.0], [150.0, 200.0]])
    found = support_points(image, points, 40, reach=60.0)
    assert 20 < len(found) <= 40
    columns, rows = found.round().astype(int).T
    assert (image[rows, columns] > 0).all()
    assert not ((rows > 155) & (rows < 195) & (columns > 95) & (columns < 135)).any()
    distance = np.linalg.norm(found[:, None] - points, axis=2)
    assert (distance >= 8).all() and (distance.min(axis=1) <= 60).all()
    between = np.linalg.norm(found[:, None] - found, axis=2) + 1e3 * np.eye(len(found))
    assert between.min() >= 8


def test_support_points_need_tissue():
    flat = np.zeros((64, 64), dtype=np.float32)
    assert len(support_points(flat, np.array([[30.0, 30.0]]), 10, reach=60.0)) == 0
    assert len(support_points(_speckle(8)[:64, :64], np.array([[30.0, 30.0]]), 0, reach=60.0)) == 0
    assert len(support_points(_speckle(8)[:9, :9], np.array([[4.0, 4.0]]), 10, reach=60.0)) == 0


def test_neighbours_correct_drift_that_they_share():
    places = np.array([(8.0 * i, 8.0 * j) for i in range(4) for j in range(4)])
    rng = np.random.default_rng(0)
    innovation = (1.0, -0.5) + 0.8 * rng.standard_normal((16, 2))
    drift, noise = np.full(16, 0.5), np.full(16, 0.64)
    alone = share_correction(places, innovation, drift, noise, length=25.0, shared=0.0)
    assert alone.correction == pytest.approx(innovation * 0.5 / 1.14)
    together = share_correction(places, innovation, drift, noise, length=25.0, shared=0.9)
    error = [np.linalg.norm(one.correction - (1.0, -0.5), axis=1).mean() for one in (alone, together)]
    assert error[1] < 0.6 * error[0]
    assert (together.left < alone.left).all()


def test_many_points_are_corrected_in_groups():
    rng = np.random.default_rng(1)
    places = rng.uniform(0, 400, (1100, 2))
    innovation = np.broadcast_to((0.5, 0.0), (1100, 2)).copy()
    corrected = share_correction(places, innovation, np.full(1100, 0.5), np.full(1100, 0.1), length=25.0, shared=0.5)
    assert np.abs(corrected.correction - corrected.correction.mean(axis=0)).max() < 0.1
    assert corrected.left.shape == (1100,) and (corrected.left < 1).all()


def test_filled_graphics_hold_no_support_points():
    tissue = _speckle(9)
    frames = np.stack([_moved(tissue, np.array([t, 0.0])) for t in range(6)])
    frames[:, 20:60, 20:60] = 250
    frames[:, 24:56:4, 20:60] = 0
    clip = without_graphics(ImageSequence(frames))
    filled = clip.frames.filled(0)
    found = support_points(clip.frame(0), np.array([[80.0, 80.0]]), 40, reach=90.0)
    columns, rows = found.round().astype(int).T
    assert len(found) and not filled[rows, columns].any()


def test_shared_corrections_work_without_a_consensus():
    tissue = _speckle(5)
    shifts = np.array([(0.9 * t, 0.0) for t in range(6)])
    frames = np.stack([_moved(tissue, shift) for shift in shifts])
    points = np.stack(np.meshgrid([50.0, 80.0, 110.0], [50.0, 80.0, 110.0]), axis=-1).reshape(-1, 2)
    assert np.median(_errors(frames, points, shifts, {"consensus": {"length": 0.0}})[-1]) < 0.2


def _structured(seed: int) -> np.ndarray:
    """Speckle over a coarse structure."""
    coarse = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((2 * SIZE, 2 * SIZE)), 7.0)
    return (_speckle(seed + 1) * np.exp(0.6 * coarse / coarse.std())).astype(np.float32)


def test_points_that_all_lost_their_way_are_found_by_the_motion_from_the_query_frame():
    tissue = _structured(3)
    shifts = np.array([(0.0, 0.0)] * 3 + [(0.0, 16.0)] * 6)  # frames are missing before the fourth
    frames = np.stack([_moved(tissue, shift) for shift in shifts])
    frames += np.random.default_rng(1).normal(0, 15, frames.shape).astype(np.float32)
    points = np.array([(x, y) for x in (40.0, 70.0, 100.0) for y in (40.0, 70.0, 100.0)])
    errors = []
    for settings in ({"flow": {"every": 0}}, None):
        tracker = find_tracker("lucas-kanade").make(settings=settings)  # itself, without what watches for jumps
        tracker.start(frames[0], points)
        found = [tracker.update(frame) for frame in frames[1:]][-1]
        errors.append(np.linalg.norm(found.positions_px - points - shifts[-1], axis=1))
    assert np.median(errors[0]) > 10
    assert errors[1].max() < 0.5


def test_the_coarse_motion_is_that_of_the_tissue_whatever_the_gain():
    tissue = _structured(5)
    flow = QueryFlow(_moved(tissue, np.zeros(2)))
    for step in range(1, 5):
        flow.update(0.5 * _moved(tissue, np.array([1.5 * step, -1.0 * step])) + 20)
    points = np.array([(50.0, 60.0), (80.0, 80.0), (110.0, 100.0)])
    assert flow.displacement(points) == pytest.approx(np.array([[6.0, -4.0]] * 3), abs=0.5)


def test_the_coarse_motion_takes_frames_of_any_size_and_flat_ones():
    for shape in ((37, 61), (100, 3), (200, 131)):
        flow = QueryFlow(np.zeros(shape, dtype=np.float32))
        flow.update(np.zeros(shape, dtype=np.float32))
        assert flow.displacement(np.array([[0.0, 0.0], [shape[1] - 1.0, shape[0] - 1.0]])) == pytest.approx(0, abs=1e-3)


def test_the_ablation_switches_every_part_off():
    whole, *without = part_trackers()
    assert whole.create().config == point_tracker_settings()
    configs = [one.create().config for one in without]
    assert len(set(configs)) == len(without) == 6 and point_tracker_settings() not in configs
    assert configs[-1] == LongShortSettings()
