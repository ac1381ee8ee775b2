"""Whole-clip trackers: any query frame, windows that go outwards, lost points, progress and cancelling."""

import numpy as np
import pytest

from UltrasoundMotionLib.errors import Cancelled
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.tracking import ClipTracks
from UltrasoundMotionLib.tracking.query import PointQuery
from UltrasoundMotionLib.tracking.run import run_clip_query

POINTS = np.array([[20.0, 20.0], [30.0, 10.0]])


class Numbered:
    """Moves points by a pixel a frame; reads the frame's number from its first pixel.

    A point is visible except on the frames of `hidden`, by its row among the points.
    """

    def __init__(self, frames_at_most, hidden=()):
        self.frames_at_most, self.hidden, self.calls = frames_at_most, dict(hidden), []

    def follow(self, frames, points, places):
        numbers = frames[:, 0, 0].astype(int)
        self.calls.append((numbers.tolist(), points.copy(), numbers[places].tolist()))
        moved = (numbers[:, None] - numbers[places]).astype(float)
        positions = points[None] + moved[..., None] * [1.0, 0.0]
        visible = np.ones(moved.shape, dtype=bool)
        for row, hidden in self.hidden.items():
            at = [index for index, point in enumerate(points) if point[1] == POINTS[row, 1]]
            visible[np.isin(numbers, hidden)[:, None] & np.isin(np.arange(len(points)), at)] = False
        return ClipTracks(positions, np.where(visible, 0.9, 0.2), visible)


class FirstFrame(Numbered):
    def track(self, frames, query_points):
        return self.follow(frames, query_points, np.zeros(len(query_points), dtype=int))


class AnyFrame(Numbered):
    any_query_frame = True

    def track(self, frames, query_points, query_frames):
        return self.follow(frames, query_points, query_frames)


def numbered_clip(count):
    frames = np.zeros((count, 32, 48), dtype=np.float32)
    frames[:] = np.arange(count)[:, None, None]
    return ImageSequence(frames)


def run(tracker, count, query_frame, direction="both", **keywords):
    sequence = numbered_clip(count)
    query = PointQuery.on(sequence, POINTS, frame=query_frame, direction=direction)
    return run_clip_query(sequence, lambda: tracker, query, model="toy", **keywords)


@pytest.mark.parametrize("query_frame", [0, 7, 19])
@pytest.mark.parametrize("window", [2, 3, 6, 7, 64])
@pytest.mark.parametrize("kind", [FirstFrame, AnyFrame])
def test_every_frame_is_reached_from_any_query_frame(kind, window, query_frame):
    tracker = kind(window)
    tracks = run(tracker, 20, query_frame)
    np.testing.assert_array_equal(tracks.positions_px[:, 0, 0], 20.0 + np.arange(20) - query_frame)
    assert tracks.visible.all() and tracks.confidence[query_frame].min() == 1
    assert all(2 <= len(numbers) <= window for numbers, _, _ in tracker.calls)
    assert bool(tracks.notes) == (window < 64)


def test_a_clip_that_fits_is_seen_whole_and_forwards():
    tracker = AnyFrame(20)
    assert run(tracker, 20, 7).notes == ()
    ((numbers, _, given),) = tracker.calls
    assert numbers == list(range(20)) and given == [7, 7]
    tracker = FirstFrame(20)
    assert run(tracker, 20, 7).notes == ()
    assert [numbers for numbers, _, _ in tracker.calls] == [list(range(7, 20)), list(range(7, -1, -1))]


@pytest.mark.parametrize("kind", [FirstFrame, AnyFrame])
def test_one_direction_shows_the_tracker_no_frame_of_the_other(kind):
    tracker = kind(64)
    tracks = run(tracker, 20, 7, "backward")
    assert np.flatnonzero(tracks.reached).tolist() == list(range(8))
    assert sorted(tracker.calls[0][0]) == list(range(8))
    nothing = kind(64)
    only = run(nothing, 20, 19, "forward")
    assert np.flatnonzero(only.reached).tolist() == [19] and not nothing.calls


def test_windows_go_outwards_and_keep_the_query_frame_while_they_can():
    tracker = AnyFrame(6)
    tracks = run(tracker, 20, 9)
    assert [numbers[0] for numbers, _, _ in tracker.calls] == [6, 9, 12, 14, 3, 0]
    assert [given[0] for _, _, given in tracker.calls] == [9, 9, 14, 17, 6, 3]
    assert "6 frames with 2 points: it was tracked in 6 overlapping windows" in tracks.notes[0]


@pytest.mark.parametrize(
    ("kind", "hidden", "starts"),
    [
        (AnyFrame, {1: [6, 7]}, [7, 5]),
        (FirstFrame, {1: [6, 7]}, [5, 5]),
        (FirstFrame, {0: [4, 5], 1: [6, 7]}, [7, 5]),
    ],
)
def test_a_point_goes_on_from_where_it_was_last_seen(kind, hidden, starts):
    tracker = kind(8, hidden=hidden)
    tracks = run(tracker, 20, 0)
    given = {}
    for _, points, frames in tracker.calls:
        given |= {tuple(point): frame for point, frame in zip(points.tolist(), frames, strict=True)}
    assert [given[x + start, y] for (x, y), start in zip(POINTS, starts, strict=True)] == starts
    for row in range(2):
        assert np.flatnonzero(~tracks.visible[:, row]).tolist() == hidden.get(row, [])
    np.testing.assert_array_equal(tracks.positions_px[:, 1, 0], 30.0 + np.arange(20))


@pytest.mark.parametrize("kind", [FirstFrame, AnyFrame])
@pytest.mark.parametrize(("query_frame", "text"), [(0, "P2 from frame 8"), (19, "P2 up to frame 11")])
def test_a_point_hidden_through_an_overlap_is_lost_and_said(kind, query_frame, text):
    hidden = [4, 5, 6, 7] if query_frame == 0 else [12, 13, 14, 15]
    tracks = run(kind(8, hidden={1: hidden}), 20, query_frame)
    lost = np.arange(20) >= 4 if query_frame == 0 else np.arange(20) <= 15
    np.testing.assert_array_equal(tracks.visible[:, 1], ~lost)
    assert tracks.visible[:, 0].all() and tracks.reached.all()
    assert tracks.confidence[0 if query_frame else 19, 1] == 0
    assert text in tracks.notes[-1]


def test_the_number_of_frames_follows_from_frame_size_and_points():
    tracker = AnyFrame(64)
    asked = []
    tracker.frames_that_fit = lambda shape, count: asked.append((shape, count)) or 10
    run(tracker, 20, 0)
    assert asked == [((32, 48), 2)]
    assert max(len(numbers) for numbers, _, _ in tracker.calls) == 10


class Reporting(AnyFrame):
    progress = None

    def track(self, frames, query_points, query_frames):
        for step in range(4):
            self.progress(step, 4, f"iteration {step + 1} of 4")
        return super().track(frames, query_points, query_frames)


def test_progress_is_reported_within_windows_and_never_goes_back():
    seen = []
    run(Reporting(8), 20, 0, progress=lambda done, total, message: seen.append((done, total, message)))
    counts = [done for done, _, _ in seen]
    assert counts == sorted(counts) and counts[-1] == 20 and {total for _, total, _ in seen} == {20}
    assert (1 + 7 * 3 // 4, 20, "frames 0 to 7, iteration 4 of 4") in seen


def test_a_run_is_cancelled_within_a_window_and_keeps_what_is_finished():
    def stop(done, total, message):
        if message == "frames 4 to 11, iteration 2 of 4":
            raise Cancelled("enough")

    tracks = run(Reporting(8), 20, 0, progress=stop, keep_partial=True)
    assert np.flatnonzero(tracks.reached).tolist() == list(range(8))
    with pytest.raises(Cancelled):
        run(Reporting(8), 20, 0, progress=stop)
