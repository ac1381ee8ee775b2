"""Undo and redo of corrections, whose every press restores exactly; Slicer's own undo is off by default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from UltrasoundMotionLib.mrml.layer_corrections import (
    FrameState,
    frame_state,
    restore_attributes,
    set_frame_state,
    stored_attributes,
)
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.steps import Steps, run_steps

_MOST_POINTS = 200_000
"""Points in the changes that are kept, about 100 MB; the oldest changes are forgotten."""


@dataclass(frozen=True)
class Snapshot:
    """The state that a change may alter: the control points of some frames, and the stored corrections."""

    frames: Mapping[int, FrameState]
    attributes: Mapping[str, str | None]


@dataclass(frozen=True)
class _Change:
    name: str
    before: Snapshot
    after: Snapshot

    @property
    def size(self) -> int:
        """Number of points that are kept."""
        return sum(len(points) for state in (self.before, self.after) for points in state.frames.values())


class CorrectionHistory:
    """The changes of one tracked point list, in the order in which they were made."""

    def __init__(self, landmarks: SequenceNodes) -> None:
        self.landmarks = landmarks
        self._done: list[_Change] = []
        self._undone: list[_Change] = []

    def snapshot(self, frames: Iterable[int]) -> Snapshot:
        """Returns the present state of some frames, to be given to `record` after the change."""
        return run_steps(self.taking_snapshot(frames))

    def taking_snapshot(self, frames: Iterable[int]) -> Steps[Snapshot]:
        """`snapshot` in steps, for many frames."""
        attributes, states, frames = stored_attributes(self.landmarks), {}, list(frames)
        for done, frame in enumerate(frames):
            yield done, len(frames), "keeping the points for undo"
            states[frame] = frame_state(self.landmarks, frame)
        return Snapshot(states, attributes)

    def record(self, name: str, before: Snapshot) -> bool:
        """Keeps the change since a snapshot; returns False where nothing has changed."""
        return run_steps(self.recording(name, before))

    def recording(self, name: str, before: Snapshot) -> Steps[bool]:
        """`record` in steps, for many frames."""
        after = yield from self.taking_snapshot(before.frames)
        if after == before:
            return False
        changed = [frame for frame, points in before.frames.items() if after.frames[frame] != points]
        self._done.append(_Change(name, *(_only(state, changed) for state in (before, after))))
        while len(self._done) > 1 and sum(change.size for change in self._done) > _MOST_POINTS:
            del self._done[0]
        self._undone.clear()
        return True

    def clear(self) -> None:
        """Forgets all changes, after one that cannot be undone."""
        self._done, self._undone = [], []

    @property
    def next_undo(self) -> str:
        """The name of the change that `undo` takes back; empty where there is none."""
        return self._done[-1].name if self._done else ""

    @property
    def next_redo(self) -> str:
        """The name of the change that `redo` makes again; empty where there is none."""
        return self._undone[-1].name if self._undone else ""

    def undo(self) -> Steps[str]:
        """Takes back the last change and returns its name; stopped halfway, it is taken back whole next time."""
        change = self._done[-1]
        yield from self._restore(change.before)
        self._done.pop()
        self._undone.append(change)
        return change.name

    def redo(self) -> Steps[str]:
        """Makes the change that was taken back last again and returns its name."""
        change = self._undone[-1]
        yield from self._restore(change.after)
        self._undone.pop()
        self._done.append(change)
        return change.name

    def _restore(self, state: Snapshot) -> Steps[None]:
        for done, (frame, points) in enumerate(state.frames.items()):
            if frame_state(self.landmarks, frame) != points:
                yield done, len(state.frames), "restoring the points"
                set_frame_state(self.landmarks, frame, points)
        self.landmarks.sequence.InvokePendingModifiedEvent()
        restore_attributes(self.landmarks, state.attributes)


def _only(state: Snapshot, frames: Iterable[int]) -> Snapshot:
    return Snapshot({frame: state.frames[frame] for frame in frames}, state.attributes)
