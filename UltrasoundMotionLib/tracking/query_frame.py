"""Choice of the query frame: diastasis of a beating heart, where it rests before the atria contract, else a typical
frame.

Azad et al., "Taming Modern Point Tracking for Speckle Tracking Echocardiography via Impartial Motion", Sec. 4.4 and
5.2.2: of all phases, points placed at about 72 % of the cycle, diastasis, are followed best. Without an ECG the cycle
is found in the frames: its length is the lag at which frames look alike again; the greatest contraction is where they
are least like what they mostly are, and diastasis the quiet part of what follows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence

SHORTEST_CYCLE = 8  # frames
LEAST_RETURN = 0.5  # how far frames come back to likeness after a cycle, of what they lose within it
FEWEST_PAIRS = 4  # of frames, for a lag to be judged by
QUIET_WIDTH = 0.05  # standard deviation of the window that the change is averaged with, as a part of the cycle
AFTER_CONTRACTION = (
    0.2,
    0.5,
)  # part of the cycle, from the greatest contraction on, in which diastasis lies: 72 % less about 36 % is the middle
MOST_FRAMES = 600
SIDE = 48  # block means; ample to tell the phases of a heart or a breath apart


@dataclass(frozen=True)
class Cycle:
    """A cycle found in a clip.

    Attributes:
        period_frames: its length.
        quiet_frames: the frame of each whole or partial cycle of the clip at its diastasis.
    """

    period_frames: float
    quiet_frames: tuple[int, ...]


@dataclass(frozen=True)
class QueryFrameChoice:
    """A frame to place points on, and the reason for it."""

    frame: int
    reason: str


def choose_query_frame(sequence: ImageSequence) -> QueryFrameChoice:
    """Chooses the quiet frame nearest to the middle of the clip where a cycle is found; else the frame that is most
    like all the others.

    Raises:
        InputError: every frame is blank, or one cannot be read.
    """
    cycle = find_cycle(sequence)
    if cycle is None:
        return QueryFrameChoice(find_typical_frame(sequence), "the most like all the others, since no cycle was found")
    middle = (len(sequence) - 1) / 2
    frame = min(cycle.quiet_frames, key=lambda quiet: abs(quiet - middle))
    return QueryFrameChoice(
        frame, f"in the quiet part (in a heart, diastasis) of a cycle of {cycle.period_frames:.0f} frames"
    )


def find_cycle(sequence: ImageSequence) -> Cycle | None:
    """Finds the cycle of a beating (or breathing) clip of up to 600 frames that is longer than the cycle; None where
    there is none to be sure of.

    Raises:
        InputError: every frame is blank, or one cannot be read.
    """
    if not SHORTEST_CYCLE + FEWEST_PAIRS <= len(sequence) <= MOST_FRAMES:
        return None
    blocks = _normalised_blocks(sequence, np.arange(len(sequence)))
    period = _period(blocks @ blocks.T)
    if period is None:
        return None
    return Cycle(period, _quiet_frames(blocks, period))


def _period(likeness: np.ndarray) -> float | None:
    """The lag at which frames are alike again, from the likeness of all pairs (T, T); T for a clip that ends as it
    began.
    """
    count = len(likeness)
    longest = count - FEWEST_PAIRS
    by_lag = np.array([np.mean(np.diagonal(likeness, lag)) for lag in range(longest + 1)])
    trough = np.minimum.accumulate(by_lag[1:])
    back = (by_lag[1:] - trough) / np.maximum(by_lag[1] - trough, 1e-6)  # 1 when as alike again as neighbours are
    lags = np.arange(SHORTEST_CYCLE, longest)
    peaks = [int(lag) for lag in lags if by_lag[lag - 1] < by_lag[lag] >= by_lag[lag + 1]]
    if by_lag[longest] > by_lag[longest - 1]:
        peaks.append(longest)
    best = max((back[lag - 1] for lag in peaks), default=0.0)
    if best < LEAST_RETURN or by_lag[1] - trough[-1] < 1e-6:
        return None
    first = next(lag for lag in peaks if back[lag - 1] >= 0.85 * best)
    if first == longest:
        return float(count)
    before, here, after = by_lag[first - 1 : first + 2]
    return float(first + 0.5 * (before - after) / min(before - 2 * here + after, -1e-12))


def _quiet_frames(blocks: np.ndarray, period: float) -> tuple[int, ...]:
    """Diastasis in each cycle."""
    count = len(blocks)
    places = np.linspace(0, 1, 200, endpoint=False)
    contraction = _folded(_contraction(blocks), np.arange(count) / period, places)
    change = _folded(1 - np.sum(blocks[1:] * blocks[:-1], axis=1), (np.arange(count - 1) + 0.5) / period, places)
    after = np.mod(places - places[np.argmax(contraction)], 1.0)
    later = (after >= AFTER_CONTRACTION[0]) & (after <= AFTER_CONTRACTION[1])
    quietest = places[later][np.argmin(change[later])]
    frames = np.round((np.arange(np.ceil(count / period)) + quietest) * period).astype(int)
    return tuple(int(frame) for frame in frames[frames < count]) or (
        int(np.clip(round(quietest * period), 0, count - 1)),
    )


def _contraction(blocks: np.ndarray) -> np.ndarray:
    """(T,) the blocks along their main direction of change, signed so that what is rare is high: a heart is contracted
    for a third of a beat.
    """
    centred = blocks - blocks.mean(axis=0)
    main = np.linalg.svd(centred, full_matrices=False)[0][:, 0]
    return main if np.median(main) < (main.min() + main.max()) / 2 else -main


def _folded(values: np.ndarray, cycles: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Values at times in cycles (N,), averaged over cycles around places in the cycle (P,)."""
    away = np.abs(places[:, None] - np.mod(cycles, 1.0))
    weight = np.exp(-0.5 * (np.minimum(away, 1 - away) / QUIET_WIDTH) ** 2)
    return weight @ values / weight.sum(axis=1)


def find_typical_frame(sequence: ImageSequence) -> int:
    """Returns the medoid of the sequence: the frame whose mean normalised correlation with all the others is highest.

    Frames are compared as means over at most 48 x 48 blocks. Every frame of a sequence of up to 600 is compared,
    evenly spread ones of a longer one, so that memory does not grow with its length. In a beating heart this falls in
    the longest quiet phase; it is not a detector of any phase.

    Raises:
        InputError: every frame is blank, so that none is more typical than another; or a frame cannot be read.
    """
    count = len(sequence)
    candidates = np.unique(np.linspace(0, count - 1, min(count, MOST_FRAMES)).round().astype(int))
    blocks = _normalised_blocks(sequence, candidates)
    similarity = blocks @ blocks.sum(
        axis=0
    )  # with itself included, which adds the same 1 to every frame that is not blank
    return int(candidates[np.argmax(similarity)])


def _normalised_blocks(sequence: ImageSequence, frames: np.ndarray) -> np.ndarray:
    """(F, at most 48 * 48) block means of frames with those numbers, of zero mean and unit length, so that products are
    correlations.

    Raises:
        InputError: every frame is blank, or one cannot be read.
    """
    blocks = np.stack([_block_means(sequence.frame(int(frame))) for frame in frames])
    blocks -= blocks.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(blocks, axis=1, keepdims=True)
    if not np.any(norms > 1e-6):
        raise InputError(f"{sequence.path or sequence.name}: every frame is blank; no query frame can be chosen")
    return blocks / np.maximum(norms, 1e-6)


def _block_means(frame: np.ndarray) -> np.ndarray:
    rows, columns = (
        np.unique(np.linspace(0, size, min(SIDE, size), endpoint=False).astype(int)) for size in frame.shape
    )
    sums = np.add.reduceat(np.add.reduceat(frame.astype(np.float64), rows, axis=0), columns, axis=1)
    areas = np.diff(rows, append=frame.shape[0])[:, None] * np.diff(columns, append=frame.shape[1])
    return (sums / areas).ravel()
