"""The tracker of a live session: begun on one frame, begun anew on another, and waiting while the image has another
size.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from UltrasoundMotionLib.device import choose_device
from UltrasoundMotionLib.images.grey_range import usual_scale
from UltrasoundMotionLib.live.frame import LiveFrame
from UltrasoundMotionLib.live.request import LiveRequest
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks, OnlineTracker
from UltrasoundMotionLib.tracking.query import PointQuery
from UltrasoundMotionLib.tracking.registry import find_tracker
from UltrasoundMotionLib.tracking.sight.sight_judge import SightJudge
from UltrasoundMotionLib.tracking.wrappers.judged_tracker import JudgedTracker
from UltrasoundMotionLib.tracking.wrappers.motion_memory import MotionMemory

_LONGEST_AHEAD_FRAMES = 30
_INTERVALS = 60


@dataclass(frozen=True, eq=False)
class LivePoints:
    """Points of one frame.

    Attributes:
        labels: (N,) names.
        found: positions in pixels of the frame, confidence, and whether each is visible.
        ahead_px: (N, 2) positions predicted ahead, None where nothing is predicted.
        ahead_s: by how many seconds.
    """

    labels: tuple[str, ...]
    found: FrameTracks
    ahead_px: np.ndarray | None = None
    ahead_s: float = 0.0

    @property
    def lost(self) -> tuple[str, ...]:
        """Labels of the points that are lost."""
        return tuple(label for label, seen in zip(self.labels, self.found.visible, strict=True) if not seen)


class LiveTracker:
    """Follows points with the tracker of a request, frame by frame; their confidence is judged as `track_points` does.

    Attributes:
        labels: of the points; empty before there are any.
        places: number of times that points were placed.
    """

    def __init__(self, request: LiveRequest) -> None:
        """Checks that the tracker can run here.

        Raises:
            InputError: weights or a device that are missing.
        """
        self._request = request
        self._entry = find_tracker(request.tracker)
        self._entry.check_installed(request.weights)
        self._entry.settings_from(request.settings)
        self._device = choose_device(request.device, supported=self._entry.devices, name=self._entry.name)
        self.labels: tuple[str, ...] = ()
        self.places = 0
        self._tracker: JudgedTracker | None = None

    def place(self, frame: LiveFrame, points_px: np.ndarray, labels: tuple[str, ...] | None = None) -> LivePoints:
        """Begins on a frame with points (N, 2).

        Raises:
            InputError: no points, points outside the image, labels that do not fit.
        """
        query = PointQuery.on(frame.as_sequence("the image"), points_px, labels=labels)
        tracker = self._entry.make(self._device, settings=self._request.settings, weights=self._request.weights)
        judged = JudgedTracker(cast(OnlineTracker, tracker), SightJudge(self._entry.name))
        self._scale = None if frame.pixels.dtype == np.uint8 else usual_scale(*_limits(frame.pixels))
        found = judged.start(self._image(frame), query.points_px)
        self._tracker, self.labels, self._size = judged, query.labels, frame.size
        self.places += 1
        self._memory = MotionMemory(found.positions_px, max(frame.size) / 256)
        self._times: deque[float] = deque([frame.time_s], maxlen=_INTERVALS)
        return LivePoints(self.labels, found)

    def fits(self, frame: LiveFrame) -> bool:
        """Returns True where there are points and the frame has the size of the one that they were placed on."""
        return self._tracker is not None and frame.size == self._size

    def update(self, frame: LiveFrame, ahead_s: float | None = None) -> LivePoints:
        """Follows the points into a frame that `fits`.

        Args:
            ahead_s: seconds by which to predict the positions too; None predicts nothing.
        """
        assert self._tracker is not None
        found = self._tracker.update(self._image(frame))
        self._memory.add(found.positions_px, found.visible)
        self._times.append(frame.time_s)
        points = LivePoints(self.labels, found)
        if ahead_s is None or len(self._times) < 2:
            return points
        interval_s = float(np.median(np.diff(self._times)))
        frames = min(_LONGEST_AHEAD_FRAMES, ahead_s / interval_s)
        if frames <= 0:
            return replace(points, ahead_px=found.positions_px, ahead_s=0.0)
        whole = int(np.ceil(frames))
        before = found.positions_px if whole == 1 else self._memory.predict(whole - 1)
        ahead = before + (frames - whole + 1) * (self._memory.predict(whole) - before)
        limits = np.array(frame.size) - 1
        return replace(points, ahead_px=np.clip(ahead, 0, limits), ahead_s=frames * interval_s)

    def _image(self, frame: LiveFrame) -> np.ndarray:
        image = frame.pixels.astype(np.float32)
        if self._scale is None:
            return image
        low, factor = self._scale
        return (image - np.float32(low)) * np.float32(factor)


def _limits(pixels: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(pixels.astype(np.float64), (0.5, 99.5))
    return float(low), float(high)
