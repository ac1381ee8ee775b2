"""Changes of the whole picture in a clip: cuts, jumps of the probe, changes of depth, frozen and black video.

A tracker goes on after a cut as if nothing had happened: what it matches is another place. So frames that show another
picture are kept from it, until the picture is again one of those before; and a picture that has only jumped is moved
back by as much, so that the tracker sees no jump.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from UltrasoundMotionLib.tracking.sight.picture_events import BLACK, CUT, FROZEN, JUMP, PictureEvent
from UltrasoundMotionLib.tracking.sight.picture_structure import (
    Likeness,
    Structure,
    best_shift,
    likeness_of,
    translated,
)
from UltrasoundMotionLib.tracking.sight.small_pictures import SmallPictures
from UltrasoundMotionLib.tracking.stalled_video import REPEATED, StallConfig, StalledVideo

_LEVEL = 1
"""The small picture, of about 64 pixels, in which pictures are compared."""
_LEAST_CHANGE, _LEAST_FIRST_CHANGE = 0.08, 0.25
"""Change (1 - correlation, in a typical block) from which a cut is possible, and that without frames to compare with.
From frame to frame of six real clips (echo, liver, phantoms) it is 0.04 at most, where a shadow falls on a part 0.09;
from a frame to itself mirrored, magnified by 1.4 or shifted by 20 pixels 0.14 to 1.2. A quick freehand sweep reaches
0.36.
"""
_USUAL_FACTOR = 5.0
"""A cut changes the picture more than so many times as much as the median of the last frames."""
_SUSPECT_CHANGE, _SUSPECT_FACTOR = 0.02, 4.0
"""The same two for the case that the picture is that of the frame before, mirrored or magnified."""
_LEAST_JUMP_PX = 4.0
"""Shortest jump, in pixels of a frame of 256."""
_JUMPS_APART = 3
"""Jumps on frames no further apart are one event."""
_JUMP_SHARE = 0.5
"""A shift explains a change of the picture when it leaves less than this share of it."""
_FARTHER, _FARTHEST = 1.5, 0.5
"""The picture is back when it differs from one before the cut at most so many times as much as those did from each
other, and at most by so much.
"""
_FRAMES, _FEWEST_FRAMES = 32, 3
_KEY_FRAMES, _KEY_STEP = 8, 8

FREEZE = StallConfig(frozen_frames=4)
"""Videos often hold each picture two or three times; from so many repetitions in a row on the video stands still."""


@dataclass(frozen=True)
class PictureState:
    """One frame compared with those before.

    Attributes:
        shows: None where it shows tissue to track in; else `REPEATED` (the frame before once more), `FROZEN`, `BLACK`
            or `CUT` (another picture).
        frame: (H, W), moved back by `offset`; of another picture as it is.
        offset: (x, y) whole pixels by which the picture has jumped since the query frame.
        pictures: small pictures of `frame`.
        change: how much `frame` differs from the query frame, 1 - correlation in a typical block.
        was_cut: a cut or a jump has been seen, on this frame or before.
    """

    shows: str | None
    frame: np.ndarray
    offset: np.ndarray
    pictures: SmallPictures
    change: float
    was_cut: bool


class PictureWatch:
    """Compares each frame (H, W) with the one before, the query frame and some between.

    Attributes:
        events: what was seen; frames count from 0 on the query frame, in the direction of the updates.
    """

    def __init__(self, frame: np.ndarray) -> None:
        self.events: list[PictureEvent] = []
        self._background = float(frame.min())
        self._frame = frame
        self._offset = np.zeros(2, dtype=int)
        self._query = self._before = self._moved(frame, self._offset)
        self._video = StalledVideo(self._query.pictures.levels[0], FREEZE)
        self._keys = deque([self._query.structure], maxlen=_KEY_FRAMES)
        self._changes: deque[float] = deque(maxlen=_FRAMES)
        self._farthest = self._key_gap = self._now = self._limit = self._change = 0.0
        self._is_cut = self._was_cut = False
        self._count = self._cut_event = 0
        self._likeness: Likeness | None = None

    @property
    def sees_nothing(self) -> bool:
        """True where the query frame is flat: then nothing can be compared with it."""
        return not self._query.structure.any

    @property
    def query_pictures(self) -> SmallPictures:
        """Small pictures of the query frame."""
        return self._query.pictures

    def update(self, frame: np.ndarray) -> PictureState:
        """Compares the next frame."""
        self._count += 1
        seen = self._moved(frame, self._offset)
        stall = self._video.check(seen.pictures.levels[0])
        if stall is not None:
            kind = REPEATED if stall == REPEATED else BLACK if self._video.is_black else FROZEN
            self._note_stall(kind)
            if kind == REPEATED and self._is_cut:  # the other picture once more
                kind = CUT
            return PictureState(kind, seen.frame, self._offset, seen.pictures, self._change, self._was_cut)
        missed = self._video.resume()
        if self._is_cut:
            returned = self._returned(frame, seen)
            if returned is not None:
                self._end_cut()
                seen = returned
        elif self._is_suspect(seen.structure) and not self._is_known(seen.structure, missed):
            jumped = self._jumped(frame, seen) if self._now > self._limit else None
            likeness = None if jumped else likeness_of(self._before.structure.picture, seen.structure.picture)
            if jumped is not None:
                seen = jumped
            elif likeness is not None or self._now > self._limit:
                self._begin_cut(likeness)
        else:
            self._learn(seen.structure)
        known = self._query.structure.any and seen.structure.any
        self._change = self._query.structure.change_to(seen.structure) if known else 0.0
        self._before, self._frame = seen, frame
        if not self._is_cut:
            self._farthest = max(self._farthest, self._change)
        return PictureState(
            CUT if self._is_cut else None, seen.frame, self._offset, seen.pictures, self._change, self._was_cut
        )

    def _moved(self, frame: np.ndarray, offset: np.ndarray) -> _Seen:
        """Moves a frame back by an offset (x, y) in whole pixels."""
        moved = translated(frame, -offset, self._background)
        pictures = SmallPictures(moved)
        return _Seen(moved, pictures, Structure(pictures.levels[_LEVEL]))

    def _note_stall(self, kind: str) -> None:
        """Adds this frame to the stretch of frozen or black video that it belongs to."""
        if kind == REPEATED:
            return
        last = self.events[-1] if self.events else None
        if last is not None and last.kind == kind and last.last == self._count - 1:
            self.events[-1] = replace(last, last=self._count)
        else:
            first = self._count if kind == BLACK else self._count - self._video.missed + 1
            self.events.append(PictureEvent(kind, first, self._count))

    def _is_suspect(self, structure: Structure) -> bool:
        """Tells whether the change from the frame before is more than usual."""
        if not (self._before.structure.any and structure.any):
            return False  # a flat frame: the next one is compared with the last that showed something
        self._now = self._before.structure.change_to(structure)
        known = len(self._changes) >= _FEWEST_FRAMES
        usual = float(np.median(self._changes)) if known else 0.0
        self._limit = max(_LEAST_CHANGE if known else _LEAST_FIRST_CHANGE, _USUAL_FACTOR * usual)
        if not known and not self._is_cut:
            return self._now > _LEAST_FIRST_CHANGE
        return self._now > max(_SUSPECT_CHANGE, _SUSPECT_FACTOR * usual)

    def _learn(self, structure: Structure) -> None:
        """Takes the change of a usual frame into account."""
        if not structure.any:
            return
        if self._before.structure.any:
            self._changes.append(self._now)
        if self._count % _KEY_STEP == 0 and not self._is_cut:
            self._key_gap = max(self._key_gap, self._keys[-1].change_to(structure))
            self._keys.append(structure)

    def _begin_cut(self, likeness: Likeness | None) -> None:
        self._is_cut = self._was_cut = True
        self._likeness = likeness
        self._changes.clear()
        self._cut_event = len(self.events)
        self.events.append(PictureEvent(CUT, self._count, self._count, likeness.text if likeness else ""))

    def _end_cut(self) -> None:
        self._is_cut = False
        self._changes.clear()
        self.events[self._cut_event] = replace(self.events[self._cut_event], last=self._count - 1, returned=True)

    def _jumped(self, frame: np.ndarray, seen: _Seen) -> _Seen | None:
        """Returns the frame moved back, if a shift explains its change from the frame before.

        The shift is that of the frames as they were: in those that were moved back, what came in at the border stands
        still.
        """
        before, after = (Structure(SmallPictures(one).levels[0], fine=True).picture for one in (self._frame, frame))
        step = seen.pictures.steps[0]
        shift = best_shift(before, after)[0] * step
        again = translated(frame, -np.rint(shift).astype(int), self._background)
        shift = (
            np.rint(shift) + step * best_shift(before, Structure(SmallPictures(again).levels[0], fine=True).picture)[0]
        )
        limit = min(self._limit, _JUMP_SHARE * self._now)
        return self._moved_back(frame, shift, self._before.structure, limit)

    def _moved_back(self, frame: np.ndarray, shift: np.ndarray, like: Structure, limit: float) -> _Seen | None:
        """Moves a frame back by a shift (x, y) in pixels; None where it then still differs from `like`.

        A shift that is no more than tissue may move from frame to frame is left to the tracker.
        """
        whole = np.rint(shift).astype(int)
        if not whole.any():
            return None
        seen = self._moved(frame, self._offset + whole)
        if like.change_to(seen.structure) > limit:
            return None
        if np.linalg.norm(whole) < _LEAST_JUMP_PX * max(frame.shape) / 256:
            return self._moved(frame, self._offset)
        self._offset = self._offset + whole
        self._was_cut = True
        self._note_jump(whole)
        return seen

    def _note_jump(self, shift: np.ndarray) -> None:
        """Adds a jump to those on the frames just before."""
        last = self.events[-1] if self.events else None
        x, y = shift.tolist()
        if last is not None and last.kind == JUMP and self._count - last.last <= _JUMPS_APART:
            self.events[-1] = replace(last, last=self._count, shift=(last.shift[0] + x, last.shift[1] + y))
        else:
            self.events.append(PictureEvent(JUMP, self._count, self._count, shift=(x, y)))

    def _known(self) -> list[tuple[Structure, float]]:
        """Returns structures from before, with the change between them that is usual."""
        return [(self._query.structure, self._farthest), *((key, self._key_gap) for key in self._keys)]

    def _is_known(self, structure: Structure, missed: int) -> bool:
        """Tells whether a picture that suddenly changed is that of the query frame again, or, after frames were missed,
        one of those between.
        """
        query = self._query.structure
        if query.change_to(structure) <= min(_limit_of(self._farthest), query.change_to(self._before.structure)):
            return True
        return missed > 0 and any(key.change_to(structure) <= _limit_of(gap) for key, gap in self._known())

    def _returned(self, frame: np.ndarray, seen: _Seen) -> _Seen | None:
        """Returns the frame, moved back where it must be, if its picture is again one of those before the cut."""
        structure = seen.structure
        sudden = self._is_suspect(structure)
        if not sudden:
            self._learn(structure)
            if self._likeness is not None or not structure.any:
                return None  # the same other picture as on the frame before
        if sudden and self._likeness is not None:
            likeness = likeness_of(self._before.structure.picture, structure.picture)
            if likeness is not None and likeness.undoes(self._likeness):
                return seen
        known = self._known()
        peaks = [best_shift(key.picture, structure.picture) for key, _ in known]
        nearest = int(np.argmax([peak for _, peak in peaks]))
        like, gap = known[nearest]
        shift, peak = peaks[nearest]
        if self._likeness is not None and best_shift(self._likeness.apply(like.picture), structure.picture)[1] >= peak:
            return None
        limit = _limit_of(gap)
        if like.change_to(structure) <= limit:
            return seen
        return self._moved_back(frame, shift * seen.pictures.steps[_LEVEL], like, limit)


def _limit_of(gap: float) -> float:
    """Returns the change up to which a picture is one from before, where those differed by `gap` from each other."""
    return min(_FARTHEST, max(_LEAST_CHANGE, _FARTHER * gap))


@dataclass(frozen=True)
class _Seen:
    """A frame (H, W), its small pictures, and the structure (h, w) of one of them."""

    frame: np.ndarray
    pictures: SmallPictures
    structure: Structure
