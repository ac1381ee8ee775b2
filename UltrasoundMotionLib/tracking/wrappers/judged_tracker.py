"""The wrapper that gives every online tracker's points their visibility and confidence."""

from __future__ import annotations

from typing import Any

import numpy as np

from UltrasoundMotionLib.tracking.online_tracker import FrameTracks, OnlineTracker
from UltrasoundMotionLib.tracking.sight.picture_events import BLACK, FROZEN, PictureEvent
from UltrasoundMotionLib.tracking.sight.picture_watch import PictureState, PictureWatch
from UltrasoundMotionLib.tracking.sight.sight_judge import SightJudge
from UltrasoundMotionLib.tracking.stalled_video import REPEATED


class JudgedTracker:
    """Implements `OnlineTracker` around another one.

    Frames that show nothing new, or another picture, do not reach the tracker. After a jump of the picture it sees
    frames that were moved back, and points that are then beyond the border are held with its `hold` or `place`, if it
    has one: `(which (N,) bool, positions_px (N, 2))`. A tracker with `watches_video` True gets black and frozen frames
    all the same. One that states positions of another time has `seen`, the `FrameTracks` of this frame, which are
    judged instead. A clip whose query frame is flat is left to the tracker.

    Args:
        judge: decides on visibility and confidence; None leaves the tracker's own, except where it saw no frame.
    """

    def __init__(self, tracker: OnlineTracker, judge: SightJudge | None = None) -> None:
        self.frames_at_once: int = getattr(tracker, "frames_at_once", 1)
        self._tracker: Any = tracker
        self._judge = judge
        self._watch: PictureWatch | None = None
        self._hold = getattr(tracker, "hold", None) or getattr(tracker, "place", None)
        self._own_stalls: tuple[str | None, ...] = ()
        if getattr(tracker, "watches_video", False):
            self._own_stalls = (REPEATED, FROZEN, BLACK)

    @property
    def events(self) -> list[PictureEvent]:
        """Events of the picture; frames count from 0 on the query frame, in the direction of the updates."""
        return [] if self._watch is None else self._watch.events

    def start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        """Implements `OnlineTracker.start`."""
        self._watch = PictureWatch(frame)
        self._last = self._tracker.start(frame, query_points)
        if self._judge is not None:
            self._judge.start(self._watch.query_pictures, self._last.positions_px)
        return self._last

    def update(self, frame: np.ndarray) -> FrameTracks:
        """Implements `OnlineTracker.update`."""
        assert self._watch is not None
        if self._watch.sees_nothing:
            return self._tracker.update(frame)
        state = self._watch.update(frame)
        if not self._reaches(state):
            return self._finish(state, None)
        out = ~inside_frame(self._last.positions_px, state)
        if self._hold is not None and out.any():
            self._hold(out, self._last.positions_px)
        return self._finish(state, self._tracker.update(state.frame))

    def update_many(self, frames: np.ndarray) -> list[FrameTracks]:
        """Updates with several frames (K, H, W) at once."""
        assert self._watch is not None
        if self._watch.sees_nothing:
            return self._tracker.update_many(frames)
        states = [self._watch.update(frame) for frame in frames]
        shown = [state.frame for state in states if self._reaches(state)]
        found = iter(self._tracker.update_many(np.stack(shown)) if shown else ())
        return [self._finish(state, next(found) if self._reaches(state) else None) for state in states]

    def _reaches(self, state: PictureState) -> bool:
        """Tells whether the tracker sees a frame."""
        return state.shows is None or state.shows in self._own_stalls

    def _finish(self, state: PictureState, found: FrameTracks | None) -> FrameTracks:
        """Returns the points of a frame, in its own pixels."""
        if found is None:
            result = self._last
        elif self._judge is None or state.shows is not None:
            result = found
        else:
            result = self._judge.judge(state, found, getattr(self._tracker, "seen", found))
        if state.shows not in (None, REPEATED):
            nothing = np.zeros(len(result.positions_px))
            result = FrameTracks(result.positions_px, nothing, nothing.astype(bool))
        else:
            self._last = result
        return moved_tracks(result, state)


def moved_tracks(found: FrameTracks, state: PictureState) -> FrameTracks:
    """Returns points in pixels of the frame as it was, not moved back; those beyond its border are hidden at it."""
    if not state.offset.any():
        return found
    height, width = state.frame.shape
    inside = inside_frame(found.positions_px, state)
    positions = np.clip(found.positions_px + state.offset, 0, [width - 1, height - 1])
    return FrameTracks(positions, np.where(inside, found.confidence, 0.0), found.visible & inside)


def inside_frame(positions: np.ndarray, state: PictureState) -> np.ndarray:
    """Finds the positions (N, 2), in pixels of the frame moved back, that lie in the frame as it was; (N,) bool."""
    height, width = state.frame.shape
    places = positions + state.offset
    return np.all((places >= -0.5) & (places <= [width - 0.5, height - 0.5]), axis=1)
