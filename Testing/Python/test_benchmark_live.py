"""`benchmark live`: rows from a short run, and what counts as reached."""

from dataclasses import replace

import numpy as np
import pytest

from UltrasoundMotionLib.lab.benchmarks.live import LiveRow, benchmark_live, live_targets, swaying_clip

ROW = LiveRow(1, 1800, 1790, 20.0, 40.0, 50.0, 13.0, 1.0, 98.0)


def test_targets_are_those_of_the_worst_minute_and_of_growth():
    rows = [replace(ROW, minute=minute) for minute in range(1, 5)]
    assert [target.met for target in live_targets(rows)] == [True, True, True]
    slow = [*rows, replace(ROW, minute=5, p50_ms=31.0, p95_ms=101.0, resident_mb=119.0)]
    assert [target.met for target in live_targets(slow)] == [False, False, False]
    assert len(live_targets(rows[:1])) == 1


def test_the_clip_begins_again_without_a_jump():
    frames = swaying_clip((80, 60)).frames.astype(float)
    steps = [np.abs(np.diff(pair, axis=0)).mean() for pair in (frames[[0, 1]], frames[[-1, 0]])]
    assert steps[1] == pytest.approx(steps[0], rel=0.5)


@pytest.mark.own_process
def test_a_short_run():
    result = benchmark_live(seconds=2, rate_hz=20, size=(160, 120), point_count=2)
    (row,) = result.rows
    assert row.minute == 1 and 0 < row.tracked <= row.received
    assert 0 < row.p50_ms <= row.p95_ms and row.resident_mb > 0
