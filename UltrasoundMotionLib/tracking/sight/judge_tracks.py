"""Visibility and confidence of tracks that are known whole: those of whole-clip trackers and of tracking both ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks
from UltrasoundMotionLib.tracking.point_tracks import PointTracks
from UltrasoundMotionLib.tracking.query import PointQuery
from UltrasoundMotionLib.tracking.sight.picture_events import picture_notes, shortened
from UltrasoundMotionLib.tracking.sight.picture_watch import PictureWatch
from UltrasoundMotionLib.tracking.sight.sight_judge import SightJudge
from UltrasoundMotionLib.tracking.stalled_video import REPEATED


def judge_tracks(
    sequence: ImageSequence,
    tracks: PointTracks,
    query: PointQuery,
    on_frame: Callable[[int, FrameTracks], None] | None = None,
) -> PointTracks:
    """Returns tracks with the visibility and confidence of `SightJudge`, and notes on cuts and frozen video.

    Reads every frame that was tracked once more, from the query frame outwards; positions stay as they are.

    Args:
        on_frame: called with each judged frame's index and points.
    """
    confidence, visible = tracks.confidence.copy(), tracks.visible.copy()
    notes: list[str] = []
    for step in query.steps:
        watch, judge = PictureWatch(sequence.frame(query.frame)), SightJudge(tracks.model)
        if watch.sees_nothing:
            break
        judge.start(watch.query_pictures, tracks.positions_px[query.frame])
        for index in query.frames(step)[1:]:
            positions = tracks.positions_px[index]
            if not np.isfinite(positions).all():
                break
            state = watch.update(sequence.frame(index))
            found = FrameTracks(positions - state.offset, tracks.confidence[index], tracks.visible[index])
            if state.shows in (None, REPEATED):
                judged = judge.judge(state, found)
                confidence[index], visible[index] = judged.confidence, judged.visible
            else:
                confidence[index], visible[index] = 0.0, False
        notes += picture_notes(watch.events, frame=query.frame, step=step)
    result = replace(tracks, confidence=confidence, visible=visible, notes=(*shortened(notes), *tracks.notes))
    if on_frame is not None:
        for frame in np.flatnonzero(result.reached).tolist():
            on_frame(frame, FrameTracks(result.positions_px[frame], confidence[frame], visible[frame]))
    return result
