"""Positions and state as messages to other programs: POINT, TRANSFORM and STRING."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.live.frame import LiveFrame
from UltrasoundMotionLib.live.live_tracker import LivePoints
from UltrasoundMotionLib.live.openigtlink import point_message, string_message, transform_message
from UltrasoundMotionLib.live.server import MessageServer
from UltrasoundMotionLib.live.source import ImageSource

if TYPE_CHECKING:
    from pyigtl.messages import MessageBase

POINTS_DEVICE, AHEAD_DEVICE, STATE_DEVICE = "LiveLandmarks", "LiveLandmarksAhead", "LiveState"
OWN_DEVICES = (POINTS_DEVICE, AHEAD_DEVICE)
"""Names of the POINT messages that are sent; one of them that comes back places no points."""
_MOST_TRANSFORMS = 16


class PositionSender:
    """Sends to the programs that are connected to a server, and back to the source where that is given."""

    def __init__(self, server: MessageServer | None, source: ImageSource | None) -> None:
        self._server, self._source = server, source

    def send_points(self, frame: LiveFrame, points: LivePoints) -> None:
        """Sends the points of a frame with its time stamp, and those predicted ahead, where there are any."""
        if self._server is None and self._source is None:
            return
        found, stamp = points.found, _stamp(frame)
        self._send(
            point_message(
                frame, points.labels, found.positions_px, found.visible, timestamp_s=stamp, device=POINTS_DEVICE
            )
        )
        if points.ahead_px is not None:
            ahead_s = stamp + points.ahead_s
            self._send(
                point_message(
                    frame, points.labels, points.ahead_px, found.visible, timestamp_s=ahead_s, device=AHEAD_DEVICE
                )
            )
        if len(points.labels) <= _MOST_TRANSFORMS:
            places = frame.pixels_to_ras(found.positions_px)
            for label, place, seen in zip(points.labels, places, found.visible, strict=True):
                if seen:  # a transform that is not sent is one that is not known
                    self._send(transform_message(place, timestamp_s=stamp, device=f"{label}ToRas"))

    def send_state(self, frame: LiveFrame, state: Mapping[str, Any]) -> None:
        """Sends the state as JSON."""
        if self._server is not None or self._source is not None:
            text = json.dumps(state, allow_nan=False)
            self._send(string_message(text, timestamp_s=_stamp(frame), device=STATE_DEVICE))

    def _send(self, message: MessageBase) -> None:
        if self._server is not None:
            self._server.send(message)
        if self._source is not None:
            self._source.send(message)


def _stamp(frame: LiveFrame) -> float:
    return frame.received_s if frame.source_time_s is None else frame.source_time_s
