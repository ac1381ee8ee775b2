"""Points that move with their neighbours: the same result as all coupled to all, and affordable with many thousands."""

import tracemalloc

import numpy as np
import pytest

from UltrasoundMotionLib.tracking.matching import neighbour_consensus as consensus
from UltrasoundMotionLib.tracking.matching import neighbour_motion as motion
from UltrasoundMotionLib.tracking.matching.neighbour_groups import MOST_POINTS_TOGETHER, neighbour_groups


def scattered(count, size=200.0):
    generator = np.random.default_rng(count)
    places = generator.uniform(0, size, (count, 2))
    moved = np.stack([3 * np.sin(places[:, 0] / 40), 2 * np.cos(places[:, 1] / 50)], 1)
    moved += 0.2 * generator.normal(size=(count, 2))
    covariance = np.eye(2) * generator.uniform(0.05, 1.05, (count, 1, 1))
    return places, moved, covariance


def both(places, moved, covariance):
    shared = motion.share_motion(places, moved, covariance, 30.0, 0.3, stretch=0.5)
    expected = consensus.neighbour_consensus(
        places, places + moved, covariance[:, 0, 0], length=30.0, own_share=0.3, least_spread=0.1
    )
    return shared.displacement, shared.covariance, expected.points, expected.variance


def test_every_point_is_a_member_of_a_group_of_its_neighbours():
    places = scattered(1500)[0]
    seen = np.zeros(1500, dtype=int)
    for groups, members in neighbour_groups(places):
        for group in groups:
            assert len(set(group)) == len(group) == 128
            seen[group[:members]] += 1
            inside = places[group[:members]]
            near = np.linalg.norm(places[group] - inside.mean(0), axis=1).max()
            assert near < 60
    assert (seen > 0).all()


def test_groups_of_neighbours_give_nearly_what_all_points_give(monkeypatch):
    sample = scattered(MOST_POINTS_TOGETHER)
    exact = both(*sample)
    for module in (consensus, motion):
        monkeypatch.setattr(module, "MOST_POINTS_TOGETHER", 200)
    for by_groups, together, tolerance in zip(both(*sample), exact, (0.15, 0.15, 0.1, 0.1), strict=True):
        difference = np.abs(by_groups - together)
        assert np.quantile(difference, 0.95) < tolerance
    assert not np.array_equal(both(*sample)[0], exact[0])


@pytest.mark.parametrize("count", [1025, 5000])
def test_many_points_take_work_and_memory_that_grow_with_their_number(count):
    tracemalloc.start()
    try:
        for result in both(*scattered(count)):
            assert np.isfinite(result).all()
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 20_000 * count  # one matrix of all 5,000 points has twice as many
    assert sum(len(groups) for groups, _ in neighbour_groups(scattered(count)[0])) < count / 50
