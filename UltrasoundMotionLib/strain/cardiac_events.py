"""End-diastole, end-systole and the cardiac cycles between them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from UltrasoundMotionLib.errors import InputError

_SOURCES = ("ecg", "contour", "given")


@dataclass(frozen=True)
class CardiacCycle:
    """One cardiac cycle, or the part of it that was recorded.

    Attributes:
        reference_frame: the end-diastole to which its strain refers.
        end_systole_frame: its end-systole.
        first_frame, last_frame: the first and the last frame of the cycle, both included.
        whole_systole: True when the end-diastole before its end-systole was recorded; otherwise the reference is the
            one after it.
        complete: True when the end-diastole after its end-systole was recorded too, so that drift is known.
    """

    reference_frame: int
    end_systole_frame: int
    first_frame: int
    last_frame: int
    whole_systole: bool = True
    complete: bool = True


@dataclass(frozen=True)
class CardiacEvents:
    """The frames of end-diastole and end-systole; change them with `dataclasses.replace`.

    Attributes:
        end_diastole_frames: strictly increasing frames; end-diastole is mitral valve closure (Voigt et al. 2015), here
            the peak of the R wave or, without an ECG, the frame on which the contour is largest.
        end_systole_frames: strictly increasing frames; end-systole is aortic valve closure (Voigt et al. 2015), here
            the frame on which the contour is smallest, unless it was given.
        source: how they were found: "ecg", "contour" or "given".
        heart_rate_bpm: beats per minute, or None when the times or two end-diastoles are unknown.

    Raises:
        InputError: frames that are negative or do not increase.
    """

    end_diastole_frames: tuple[int, ...]
    end_systole_frames: tuple[int, ...]
    source: str = "given"
    heart_rate_bpm: float | None = None

    def __post_init__(self) -> None:
        if self.source not in _SOURCES:
            raise InputError(f"source must be one of {', '.join(_SOURCES)}, got {self.source}")
        for name in ("end_diastole_frames", "end_systole_frames"):
            frames = tuple(int(frame) for frame in getattr(self, name))
            if any(frame < 0 for frame in frames) or any(b <= a for a, b in pairwise(frames)):
                raise InputError(f"{name} must be increasing frames from 0, got {list(frames)}")
            object.__setattr__(self, name, frames)

    def cycles(self, frame_count: int, tracked: tuple[int, int] | None = None) -> tuple[CardiacCycle, ...]:
        """Returns the cycles of a clip, complete ones and one cut off at either end; each has one end-systole.

        Args:
            frame_count: number of frames of the clip.
            tracked: first and last tracked frame, where tracking was cut short; cycles that are cut off end there.

        Raises:
            InputError: an event outside the clip; no pair of end-diastole and end-systole; two end-systoles
                without an end-diastole between them.
        """
        for frame in (*self.end_diastole_frames, *self.end_systole_frames):
            if frame >= frame_count:
                raise InputError(
                    f"events: frame {frame} does not exist; there are {frame_count} (0 to {frame_count - 1})"
                )
        first_frame, last_frame = tracked or (0, frame_count - 1)
        diastoles = np.asarray(self.end_diastole_frames, dtype=int)
        cycles: list[CardiacCycle] = []
        for end_systole in self.end_systole_frames:
            before, after = diastoles[diastoles < end_systole], diastoles[diastoles > end_systole]
            if len(before):
                last = int(after[0]) if len(after) else last_frame
                if cycles and cycles[-1].whole_systole and cycles[-1].reference_frame == before[-1]:
                    raise InputError(
                        f"events: end-systoles {cycles[-1].end_systole_frame} and {end_systole} have no end-diastole"
                        " between them"
                    )
                cycles.append(
                    CardiacCycle(int(before[-1]), end_systole, int(before[-1]), last, complete=len(after) > 0)
                )
            elif len(after):
                cycles.append(
                    CardiacCycle(
                        int(after[0]), end_systole, first_frame, int(after[0]), whole_systole=False, complete=False
                    )
                )
        if not cycles:
            found = f"end-diastole {list(self.end_diastole_frames)}, end-systole {list(self.end_systole_frames)}"
            raise InputError(
                f"events: less than a systole was recorded ({found}); strain needs one of each: give them as events"
            )
        return tuple(cycles)


def heart_rate(beat_times_s: np.ndarray) -> float | None:
    """Returns beats per minute from the times of successive beats (median interval), None for fewer than two."""
    intervals = np.diff(np.asarray(beat_times_s, dtype=np.float64))
    return float(60.0 / np.median(intervals)) if len(intervals) else None
