"""What can be added to any tracker, by name."""

from __future__ import annotations

from dataclasses import dataclass

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.online_tracker import OnlineTracker


@dataclass(frozen=True)
class TrackingOptions:
    """How to track, beside the model.

    Attributes:
        watch_shadows: report and predict landmarks in shadow, hold frozen or black video, see `WatchedTracker`.
        offline: follow there and back, fuse and smooth, see `track_offline`.
        ahead_frames: state where each landmark will be so many frames later, see `AheadTracker`; 0: where it is.

    Raises:
        InputError: a prediction of less than 0 frames, or one of a result that knows the future already.
    """

    watch_shadows: bool = False
    offline: bool = False
    ahead_frames: int = 0

    def __post_init__(self) -> None:
        if self.ahead_frames < 0:
            raise InputError(f"ahead_frames must be at least 0, got {self.ahead_frames}")
        if self.offline and self.ahead_frames:
            raise InputError("offline tracking knows the frames to come; do not predict ahead with it")


def wrapped(tracker: OnlineTracker, options: TrackingOptions) -> OnlineTracker:
    """The tracker with what the options add to it; itself when they add nothing."""
    if options.watch_shadows:
        from UltrasoundMotionLib.tracking.wrappers.watched_tracker import WatchedTracker

        tracker = WatchedTracker(tracker)
    if options.ahead_frames:
        from UltrasoundMotionLib.tracking.wrappers.ahead_tracker import AheadTracker

        tracker = AheadTracker(tracker, options.ahead_frames)
    return tracker
