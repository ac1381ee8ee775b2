"""Tracks that appear in the scene while they are being found."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from UltrasoundMotionLib.errors import InputError
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

    def show(self, tracks: PointTracks, budget_s: float = math.inf) -> None:
        """Puts the frames that are new since the last call into the scene; when the time is over the others wait for the next call.

        Raises:
            InputError: the markups were removed from the scene in the meantime.
        """
        if self.nodes is not None and None in (self.nodes.sequence.GetScene(), self.nodes.proxy.GetScene()):
            raise InputError(f"{self.nodes.proxy.GetName()}: was removed from the scene while its points were being followed")
        end = time.perf_counter() + budget_s
        if self.nodes is None and tracks.reached.any():
            self.nodes = self._add(tracks)
            self._written |= tracks.reached
        for frame in np.flatnonzero(tracks.reached & ~self._written):
            if time.perf_counter() > end:
                break
            write_track_frames(self.nodes, self._sequence, tracks, [int(frame)])
            self._written[frame] = True
