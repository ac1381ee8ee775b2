"""Changes of a user to a tracked point list, each recorded so that it can be undone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.correction_history import CorrectionHistory, Snapshot
from UltrasoundMotionLib.mrml.layer_corrections import (
    accepted_points,
    check_frame,
    check_label,
    check_position,
    found_state,
    frame_state,
    labels_of,
    layer_corrections,
    lost_state,
    moved_points,
    placed_state,
    set_frame_state,
    store_corrections,
    store_disagreement,
    unreached_state,
    untracked_labels,
    with_corrections,
    without_corrections,
)
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.steps import Steps, not_cancelled, run_steps
from UltrasoundMotionLib.tracking.corrections.corrections import Correction
from UltrasoundMotionLib.tracking.corrections.track_corrected import CorrectedTracks

_MOVED_PX = 0.01
"""Smaller differences are rounding in a saved scene."""


class LayerEditor:
    """Edits a tracked point list of a clip; frames count from 0, positions are (x, y) in pixels of the clip.

    Attributes:
        landmarks: the list.
        sequence: the clip, for its geometry.
        history: of what was done.
    """

    def __init__(self, landmarks: SequenceNodes, sequence: ImageSequence) -> None:
        self.landmarks, self.sequence = landmarks, sequence
        self.history = CorrectionHistory(landmarks)

    @property
    def corrections(self) -> tuple[Correction, ...]:
        """All corrections, the points as they were first placed included."""
        return layer_corrections(self.landmarks, self.sequence)

    def take_moved(self, frames: Iterable[int], before: Snapshot | None = None) -> tuple[str, ...]:
        """Takes the points that a user dragged, or placed after they were lost, on some frames as corrections.

        Args:
            before: the state before the drag, for undo; the present one when None, and then only the corrections are
                undone.

        Returns:
            The labels of the points that were not corrected to that place before.
        """
        known = {(one.frame, one.label): one for one in self.corrections}
        new: list[Correction] = []
        for frame in frames:
            moved = {one.label: one for one in moved_points(self.landmarks, self.sequence, frame)}
            corrected = [one.label for place, one in known.items() if place[0] == frame and not one.lost]
            again = accepted_points(self.landmarks, self.sequence, frame, corrected) if corrected else ()
            for one in (*moved.values(), *(point for point in again if point.label not in moved)):
                there = known.get((frame, one.label))
                before_px = None if there is None else there.position_px
                if before_px is None or np.abs(np.subtract(before_px, one.position_px or before_px)).max() > _MOVED_PX:
                    new.append(replace(one, accepted=False))
        if new:
            before = before or self.history.snapshot(sorted({one.frame for one in new}))
            self._store(with_corrections(self.corrections, new))
            self.history.record(f"moving {_names(one.label for one in new)}", before)
        return tuple(dict.fromkeys(one.label for one in new))

    def accept(self, frame: int, labels: Sequence[str] | None = None) -> tuple[str, ...]:
        """Accepts the points of a frame (all that are placed there, or some) where they are; returns their labels.

        Points that were corrected there already stay so.

        Raises:
            InputError: the frame or a label does not exist.
        """
        self._check(frame, labels or ())
        known = {(one.frame, one.label) for one in self.corrections}
        new = [
            one
            for one in accepted_points(self.landmarks, self.sequence, frame, labels)
            if (frame, one.label) not in known
        ]
        if new:
            before = self.history.snapshot([frame])
            self._store(with_corrections(self.corrections, new))
            self.history.record(f"accepting {_names(one.label for one in new)}", before)
        return tuple(one.label for one in new)

    def mark_lost(self, labels: Sequence[str], frames: Iterable[int]) -> None:
        """Marks points as lost at once, see `marking_lost`."""
        run_steps(self.marking_lost(labels, frames))

    def marking_lost(self, labels: Sequence[str], frames: Iterable[int]) -> Steps[None]:
        """Marks points as lost on some frames: missing there, and no guide for the track.

        Raises:
            InputError: a frame or label does not exist, or a point would be placed on no frame any more.
        """
        frames = list(frames)
        for frame in frames:
            self._check(frame, labels)
        gone = {(frame, label) for frame in frames for label in labels}
        kept = without_corrections(self.corrections, gone)
        for label in labels:
            if not any(one.label == label and not one.lost for one in kept):
                raise InputError(
                    f"{self.landmarks.proxy.GetName()}: {label} is placed on no other frame; correct it elsewhere first"
                )
        before = yield from self.history.taking_snapshot(frames)
        for done, frame in enumerate(frames):
            yield done, len(frames), "marking the points as lost"
            state = lost_state(frame_state(self.landmarks, frame), self.sequence, labels)
            set_frame_state(self.landmarks, frame, state)
        self.landmarks.sequence.InvokePendingModifiedEvent()
        self._store(with_corrections(kept, [Correction(frame, label) for frame, label in gone]))
        yield from not_cancelled(self.history.recording(f"marking {_names(labels)} as lost", before))

    def unmark_lost(self, label: str, frame: int) -> None:
        """Takes a lost mark back: the point is where it was thought to be, and nothing is stated on that frame.

        Raises:
            InputError: the frame or label does not exist.
        """
        self._check(frame, [label])
        before = self.history.snapshot([frame])
        state = found_state(frame_state(self.landmarks, frame), self.sequence, label)
        set_frame_state(self.landmarks, frame, state)
        self.landmarks.sequence.InvokePendingModifiedEvent()
        self._store(without_corrections(self.corrections, [(frame, label)]))
        self.history.record(f"finding {label}", before)

    def place(self, label: str, frame: int, position_px: tuple[float, float]) -> None:
        """Places a point on a frame, as dragging it there does.

        Raises:
            InputError: the frame or label does not exist, or the position lies outside the image.
        """
        self._check(frame, [label])
        check_position(self.landmarks, self.sequence, position_px)
        before = self.history.snapshot([frame])
        state = placed_state(frame_state(self.landmarks, frame), self.sequence, label, position_px)
        set_frame_state(self.landmarks, frame, state)
        self.landmarks.sequence.InvokePendingModifiedEvent()
        self._store(with_corrections(self.corrections, [Correction(frame, label, position_px)]))
        self.history.record(f"moving {label}", before)

    def adding_point(self, label: str, frame: int, position_px: tuple[float, float]) -> Steps[None]:
        """Adds a point on a frame, to be followed from there both ways.

        Raises:
            InputError: the frame does not exist, the label is taken or empty, or the position lies outside the image.
        """
        check_frame(self.landmarks, frame)
        check_position(self.landmarks, self.sequence, position_px)
        name = self.landmarks.proxy.GetName()
        if not label or label in labels_of(self.landmarks):
            raise InputError(f"{name}: a new point needs a label of its own, got {label!r}")
        count = self.landmarks.sequence.GetNumberOfDataNodes()
        corrections = self.corrections
        before = yield from self.history.taking_snapshot(range(count))
        for number in range(count):
            yield number, count, "adding the point"
            state = frame_state(self.landmarks, number)
            if number == frame:
                state = placed_state(state, self.sequence, label, position_px)
            else:
                state = unreached_state(state, label)
            set_frame_state(self.landmarks, number, state)
        self.landmarks.sequence.InvokePendingModifiedEvent()
        self._store(with_corrections(corrections, [Correction(frame, label, position_px)]))
        yield from not_cancelled(self.history.recording(f"adding {label}", before))

    def add_point(self, label: str, frame: int, position_px: tuple[float, float]) -> None:
        """Adds a point at once, see `adding_point`."""
        run_steps(self.adding_point(label, frame, position_px))

    def to_track(self) -> tuple[tuple[str, ...], tuple[Correction, ...]]:
        """Returns the points whose corrections have changed since they were last followed, and their corrections.

        Raises:
            InputError: there is none.
        """
        labels = untracked_labels(self.landmarks, self.sequence)
        if not labels:
            raise InputError(
                f"{self.landmarks.proxy.GetName()}: no point was corrected since the last run; correct, accept or add"
                " one first"
            )
        return labels, tuple(one for one in self.corrections if one.label in labels)

    def storing_tracked(self, found: CorrectedTracks, before: Snapshot) -> Steps[None]:
        """Stores that the points of a result have been followed; the result is in the items already.

        Args:
            before: the state before it was written.
        """
        store_corrections(self.landmarks, self.sequence, self.corrections, tracked=True)
        store_disagreement(self.landmarks, found.tracks.labels, found.disagreement_px)
        yield from not_cancelled(self.history.recording(f"tracking {_names(found.tracks.labels)}", before))

    def lost_labels(self, frame: int) -> tuple[str, ...]:
        """Returns the points that are missing on a frame."""
        defined = slicer.vtkMRMLMarkupsNode.PositionDefined
        return tuple(point.label for point in frame_state(self.landmarks, frame) if point.status != defined)

    def _store(self, corrections: Iterable[Correction]) -> None:
        store_corrections(self.landmarks, self.sequence, corrections)

    def _check(self, frame: int, labels: Iterable[str]) -> None:
        check_frame(self.landmarks, frame)
        for label in labels:
            check_label(self.landmarks, label)


def _names(labels: Iterable[str]) -> str:
    names = list(dict.fromkeys(labels))
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
