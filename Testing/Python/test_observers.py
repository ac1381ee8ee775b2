"""Disagreement of observers, against numbers by hand and against statsmodels."""

import numpy as np
import pytest

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.evaluation import compare_observers
from UltrasoundMotionLib.tracking.point_tracks import PointTracks


def tracks(positions, labels=("A", "B"), visible=None, spacing_mm=(0.5, 0.25)):
    positions = np.asarray(positions, dtype=float)
    seen = np.ones(positions.shape[:2], dtype=bool) if visible is None else np.asarray(visible)
    return PointTracks(positions, seen.astype(float), seen, tuple(labels), 0, spacing_mm=spacing_mm)


def test_two_observers_by_hand():
    first = np.zeros((3, 2, 2))
    second = first.copy()
    second[0, 0] = [6, 16]  # 3 mm and 4 mm: 5 mm apart
    second[1, 0] = [-2, 0]  # 1 mm
    second[2, 1] = [100, 100]  # not seen by the second
    visible = np.array([[1, 1], [1, 1], [1, 0]], dtype=bool)
    found = compare_observers({"Ann": tracks(first), "Bo": tracks(second, visible=visible)})
    assert found.unit == "mm" and found.labels == ("A", "B") and found.observers == ("Ann", "Bo")
    np.testing.assert_allclose(found.distance, [[5, 0], [1, 0], [0, np.nan]])
    np.testing.assert_allclose(found.by_frame, [2.5, 0.5, 0])
    np.testing.assert_allclose(found.by_point, [2, 0])
    (pair,) = found.pairs
    assert pair.observers == ("Ann", "Bo") and pair.count == 5 and not pair.placed
    assert pair.mean == pytest.approx(6 / 5) and pair.maximum == 5
    assert pair.visibility == pytest.approx(5 / 6)
    differences = np.array([-3.0, 1.0, 0, 0, 0])  # first less second, along x
    assert pair.bias[0] == pytest.approx(differences.mean())
    assert pair.upper[0] == pytest.approx(differences.mean() + 1.96 * differences.std(ddof=1))
    assert pair.lower[0] == pytest.approx(differences.mean() - 1.96 * differences.std(ddof=1))


def test_limits_of_agreement_are_those_of_statsmodels():
    weights = pytest.importorskip("statsmodels.stats.weightstats")
    rng = np.random.default_rng(4)
    one, two = rng.normal(50, 5, (40, 3, 2)), rng.normal(51, 5, (40, 3, 2))
    labels = ("A", "B", "C")
    (pair,) = compare_observers({"x": tracks(one, labels), "y": tracks(two, labels)}).pairs
    for axis, spacing in enumerate((0.5, 0.25)):
        described = weights.DescrStatsW((one - two)[..., axis].ravel() * spacing, ddof=1)
        assert pair.bias[axis] == pytest.approx(described.mean)
        assert pair.upper[axis] - pair.bias[axis] == pytest.approx(1.96 * described.std)


def test_positions_that_nobody_touched_do_not_pass_for_agreement():
    """Both layers hold the same automatic track but on one frame: the pair is told apart by what was placed by hand."""
    first = np.zeros((10, 1, 2))
    second = first.copy()
    second[4] = [8, 0]
    placed = {"a": np.zeros((10, 1), bool), "b": np.zeros((10, 1), bool)}
    placed["a"][4] = placed["b"][4] = placed["b"][7] = True
    found = compare_observers({"a": tracks(first, ("A",)), "b": tracks(second, ("A",))}, placed)
    every, by_hand = found.pairs
    assert (every.count, every.placed, every.mean) == (10, False, 0.4)
    assert (by_hand.count, by_hand.placed, by_hand.mean) == (1, True, 4.0)
    assert np.isnan(by_hand.std) and np.isnan(by_hand.upper).all()


def test_three_observers_and_labels_in_another_order():
    base = np.zeros((2, 2, 2))
    moved = base + np.array([2, 0])
    turned = tracks(np.stack([moved[:, 1], base[:, 0]], axis=1), ("B", "A"))
    found = compare_observers({"a": tracks(base), "b": tracks(moved), "c": turned})
    assert [pair.observers for pair in found.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    np.testing.assert_allclose(found.distance, [[2 / 3, 2 / 3]] * 2)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({}, "observers: two or more are needed, got a"),
        ({"b": tracks(np.zeros((3, 2, 2)))}, "observers: b has 3 frames, a has 2"),
        ({"b": tracks(np.zeros((2, 2, 2)), ("C", "D"))}, "observers: a and b have no point in common"),
        ({"b": tracks(np.zeros((2, 2, 2)), spacing_mm=None)}, "observers: b has pixels of None mm"),
    ],
)
def test_observers_that_cannot_be_compared(others, message):
    with pytest.raises(InputError, match=message):
        compare_observers({"a": tracks(np.zeros((2, 2, 2))), **others})
