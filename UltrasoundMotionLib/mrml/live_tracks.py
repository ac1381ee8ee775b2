"""Tracks shown in the scene while tracking runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.markups_items import write_track_frame
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.steps import Steps, run_steps
from UltrasoundMotionLib.tracking.point_tracks import PointTracks


class LiveTracks:
    """Adds each frame of a growing result to the scene, and updates frames that change, as in offline tracking.

    Attributes:
        nodes: the markups that play with the clip; None before the first frame.
    """

    def __init__(
        self,
        sequence: ImageSequence,
        add: Callable[[PointTracks], Steps[SequenceNodes]] | None = None,
        *,
        nodes: SequenceNodes | None = None,
    ) -> None:
        """Needs either `add` or `nodes`.

        Args:
            sequence: the clip, for its geometry.
            add: makes the markups from the first part of the result.
            nodes: markups in the scene whose points of the same labels are replaced frame by frame.
        """
        self._sequence, self._add = sequence, add
        self._written: PointTracks | None = None
        self.nodes = nodes

    def show(self, tracks: PointTracks) -> None:
        """`showing` at once."""
        run_steps(self.showing(tracks))

    def showing(self, tracks: PointTracks) -> Steps[None]:
        """Writes the frames that are new or have changed since the last call, one in each step.

        Raises:
            InputError: the markups were removed from the scene in the meantime.
        """
        self._check_in_scene()
        if self.nodes is None and self._add is not None and tracks.reached.any():
            self.nodes = yield from self._add(tracks)
            self._written = tracks
        stale = tracks.reached if self._written is None else tracks.reached & ~_same_frames(tracks, self._written)
        kept = _without_frames(tracks) if self._written is None else self._written
        positions, visible, confidence = kept.positions_px.copy(), kept.visible.copy(), kept.confidence.copy()
        frames = np.flatnonzero(stale)
        try:
            for done, frame in enumerate(frames):
                yield done, len(frames), "putting the points into the scene"
                self._check_in_scene()
                assert self.nodes is not None  # a stale frame is reached
                write_track_frame(self.nodes, self._sequence, tracks, int(frame))
                positions[frame], visible[frame], confidence[frame] = (
                    tracks.positions_px[frame],
                    tracks.visible[frame],
                    tracks.confidence[frame],
                )
        finally:
            self._written = replace(tracks, positions_px=positions, visible=visible, confidence=confidence)
        if self.nodes is not None:
            self.nodes.sequence.InvokePendingModifiedEvent()

    def _check_in_scene(self) -> None:
        if self.nodes is not None and None in (self.nodes.sequence.GetScene(), self.nodes.proxy.GetScene()):
            raise InputError(
                f"{self.nodes.proxy.GetName()}: was removed from the scene while its points were being followed"
            )


def _without_frames(tracks: PointTracks) -> PointTracks:
    """Returns the tracks with no frame reached."""
    return replace(
        tracks, positions_px=np.full_like(tracks.positions_px, np.nan), visible=np.zeros_like(tracks.visible)
    )


def _same_frames(tracks: PointTracks, others: PointTracks) -> np.ndarray:
    """Returns a mask (T,): True where positions and visibility of all points are equal."""
    same = np.all(tracks.positions_px == others.positions_px, axis=(1, 2))
    return same & np.all(tracks.visible == others.visible, axis=1)
