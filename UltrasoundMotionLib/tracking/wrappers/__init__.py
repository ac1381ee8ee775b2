"""Wrappers that add a behaviour to any online tracker."""

from __future__ import annotations

from UltrasoundMotionLib.tracking.online_tracker import OnlineTracker


def wrapped_tracker(tracker: OnlineTracker, *, watch_shadows: bool = False, ahead_frames: int = 0) -> OnlineTracker:
    """Returns the tracker with the behaviour that a request adds to it; itself where it adds none."""
    if watch_shadows:
        from UltrasoundMotionLib.tracking.wrappers.watched_tracker import WatchedTracker

        tracker = WatchedTracker(tracker)
    if ahead_frames:
        from UltrasoundMotionLib.tracking.wrappers.ahead_tracker import AheadTracker

        tracker = AheadTracker(tracker, ahead_frames)
    return tracker
