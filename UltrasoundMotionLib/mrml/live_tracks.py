"""Tracks that appear in the scene while they are being found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.markups_items import write_track_frames
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.tracks import PointTracks


class LiveTracks:
    """Gives each frame of a growing result to the scene once.

    Attributes:
        nodes: the markups that play with the clip; None until the first frame is there.
    """

    def __init__(
        self, sequence: ImageSequence, add: Callable[[PointTracks], SequenceNodes] | None = None, *, nodes: SequenceNodes | None = None
    ) -> None:
        """Needs one of the two.

        Args:
            sequence: the clip, for its geometry.
            add: makes the markups from the first part of the result.
            nodes: markups that are in the scene already, whose points of the same labels are to be replaced frame by frame.
        """
        self._sequence, self._add = sequence, add
        self._written = np.zeros(len(sequence), dtype=bool)
        self.nodes = nodes

    def show(self, tracks: PointTracks, most_frames: int | None = None) -> int:
        """Puts the frames that are new since the last call into the scene, at most so many of them; returns how many are left."""
        new = np.flatnonzero(tracks.reached & ~self._written)
        if not len(new):
            return 0
        if self.nodes is None:
            self.nodes = self._add(tracks)
            self._written |= tracks.reached
            return 0
        now = new[:most_frames]
        write_track_frames(self.nodes, self._sequence, tracks, now)
        self._written[now] = True
        return len(new) - len(now)
