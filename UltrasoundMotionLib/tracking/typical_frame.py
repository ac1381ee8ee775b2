"""The frame on which points are best placed when nobody says which: the one that looks most like all the others."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence

SIDE = 48  # block means; ample to tell the phases of a heart or a breath apart
MOST_FRAMES = 600


def find_typical_frame(sequence: ImageSequence) -> int:
    """The medoid of the sequence: the frame whose mean normalised correlation with all the others is highest.

    Frames are compared as means over at most 48 x 48 blocks. Every frame of a sequence of up to 600 is looked at,
    evenly spread ones of a longer one, so that memory does not grow with its length. In a beating heart this falls in
    the longest quiet phase; it is not a detector of any phase.

    Raises:
        InputError: every frame is blank, so that none is more typical than another; or a frame cannot be read.
    """
    count = len(sequence)
    candidates = np.unique(np.linspace(0, count - 1, min(count, MOST_FRAMES)).round().astype(int))
    looks = normalised_looks(sequence, candidates)
    similarity = looks @ looks.sum(
        axis=0
    )  # with itself included, which adds the same 1 to every frame that is not blank
    return int(candidates[np.argmax(similarity)])


def normalised_looks(sequence: ImageSequence, frames: np.ndarray) -> np.ndarray:
    """(F, at most 48 * 48) block means of frames with those numbers, of zero mean and unit length, so that products are
    correlations.

    Raises:
        InputError: every frame is blank, or one cannot be read.
    """
    looks = np.stack([_small(sequence.frame(int(frame))) for frame in frames])
    looks -= looks.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(looks, axis=1, keepdims=True)
    if not np.any(norms > 1e-6):
        raise InputError(f"{sequence.path or sequence.name}: every frame is blank; no query frame can be chosen")
    return looks / np.maximum(norms, 1e-6)


def _small(frame: np.ndarray) -> np.ndarray:
    rows, columns = (
        np.unique(np.linspace(0, size, min(SIDE, size), endpoint=False).astype(int)) for size in frame.shape
    )
    sums = np.add.reduceat(np.add.reduceat(frame.astype(np.float64), rows, axis=0), columns, axis=1)
    areas = np.diff(rows, append=frame.shape[0])[:, None] * np.diff(columns, append=frame.shape[1])
    return (sums / areas).ravel()
