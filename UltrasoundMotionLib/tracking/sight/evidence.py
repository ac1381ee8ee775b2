"""Evidence for each point on one frame that the tissue placed there is in sight at the position that was found."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.tracking.online_tracker import FrameTracks
from UltrasoundMotionLib.tracking.sight.picture_watch import PictureState
from UltrasoundMotionLib.tracking.sight.small_pictures import SmallPictures, detail

EVIDENCE = (
    "look_fine",
    "look_middle",
    "look_coarse",
    "recent_fine",
    "recent_middle",
    "recent_coarse",
    "less_than_usual",
    "contrast_lost",
    "contrast_lost_since",
    "contrast_gained",
    "darker",
    "darker_around",
    "darker_than_usual",
    "brighter",
    "beyond_border",
    "off_sector",
    "alone",
    "stepped_alone",
    "picture_change",
    "after_cut",
    "after_cut_unlike",
    "own_confidence",
    "own_lost",
    "unlike",
)
"""Names of the columns of `PointEvidence.of`."""
OWN_EVIDENCE = ("own_confidence", "own_lost")
"""Those that the tracker states itself, whose weight each tracker has for itself."""
_RATE = 0.15
"""Share of a frame in the running means of a point's look."""
_USUAL_RATE, _SUDDEN, _FIRST_FRAMES = 0.4, 0.25, 4
"""The look that is usual for a point follows by this share where its look has changed by less than that since; speckle
decorrelates slowly, and at once only on the first frames.
"""
_UNLIKE, _MOST_LOSS = 0.4, 0.5
"""Loss of correlation from which a place is unlike what it was, and from which more says no more."""
_NEIGHBOURS = 5
_GREY = 8.0
"""Grey levels (of 255) that count as nothing when levels are compared as a ratio."""
_LEAST_OWN = 0.02


class PointEvidence:
    """Keeps the look of points (N, 2) on the query frame and a running mean of it.

    A look is a patch of 9 x 9 samples on each of the three small pictures, without its mean and slope.
    """

    def __init__(self, pictures: SmallPictures, points: np.ndarray) -> None:
        self._points = np.asarray(points, dtype=np.float64)
        self._unit = max(pictures.shape) / 256
        self._first, self._contrast, self._grey = detail(pictures.patches(self._points))
        self._recent = self._first
        self._usual = np.ones(self._first.shape[:2])
        self._usual_contrast, self._usual_grey = self._contrast, self._grey
        self._last = self._points
        self._count = 0
        self._lit = pictures.levels[1] > 0
        self._query_grey = self._lit_grey(pictures)
        distance = np.linalg.norm(self._points[:, None] - self._points, axis=2)
        np.fill_diagonal(distance, np.inf)
        self._near = np.argsort(distance, axis=1)[:, : min(_NEIGHBOURS, len(self._points) - 1)]

    def of(self, state: PictureState, found: FrameTracks) -> np.ndarray:
        """Returns the evidence (N, E) for points found on a frame, in pixels of `state.frame`; see `EVIDENCE`."""
        self._count += 1
        pictures = state.pictures
        look, contrast, grey = detail(pictures.patches(found.positions_px))
        query = np.einsum("lns,lns->ln", look, self._first)
        recent = np.einsum("lns,lns->ln", look, self._recent)
        ratio, since = (
            np.log((contrast[:2] + 1) / (known[:2] + 1)).mean(axis=0)
            for known in (self._usual_contrast, self._contrast)
        )
        overall = np.log((self._lit_grey(pictures) + _GREY) / (self._query_grey + _GREY))
        level = np.log((grey + _GREY) / (self._grey + _GREY)) - overall
        usual = np.log((grey[0] + _GREY) / (self._usual_grey[0] + _GREY))
        border = self._beyond_border(pictures, found.positions_px + state.offset)
        dark = self._off_sector(pictures, found.positions_px)
        alone, stepped = self._alone(found.positions_px)
        change = np.full(len(border), state.change)
        loss = np.minimum(query - self._usual, 0).mean(axis=0)
        after = np.full(len(border), float(state.was_cut))
        own = np.clip(found.confidence, _LEAST_OWN, 1 - _LEAST_OWN)
        self._learn(look, contrast, grey, query)
        self._last = found.positions_px
        return np.stack(
            [
                *_stretched(query),
                *_stretched(recent),
                np.maximum(loss, -_MOST_LOSS),
                np.clip(-ratio, 0, 2),
                np.clip(-since, 0, 2),
                np.clip(ratio, 0, 1),
                np.clip(-level[0], 0, 2),
                np.clip(-level[2], 0, 2),
                np.clip(-usual, 0, 2),
                np.clip(level[0], 0, 1),
                border,
                dark,
                alone,
                stepped,
                change,
                after,
                after * (1 - query[1]),
                np.log(own / (1 - own)),
                ~np.asarray(found.visible, dtype=bool),
                loss <= -_UNLIKE,
            ],
            axis=1,
        )

    def _lit_grey(self, pictures: SmallPictures) -> float:
        """Returns the mean grey level of what the picture shows, so that a change of gain is no shadow."""
        coarse = pictures.levels[-1]
        lit = coarse > 0
        return float(coarse[lit].mean()) if lit.any() else 0.0

    def _learn(self, look: np.ndarray, contrast: np.ndarray, grey: np.ndarray, query: np.ndarray) -> None:
        """Takes the looks of this frame into the running means, the more the more they are like the query frame's."""
        share = _RATE * np.clip(query[1], 0, 1) ** 2
        mean = self._recent + share[:, None] * (look - self._recent)
        size = np.linalg.norm(mean, axis=2, keepdims=True)
        self._recent = mean / np.where(size > 0, size, 1)
        slow = (query - self._usual).mean(axis=0) > -_SUDDEN
        follow = _USUAL_RATE * (slow | (self._count <= _FIRST_FRAMES))
        self._usual = self._usual + follow * (query - self._usual)
        self._usual_contrast = self._usual_contrast + share * (contrast - self._usual_contrast)
        self._usual_grey = self._usual_grey + share * (grey - self._usual_grey)

    def _beyond_border(self, pictures: SmallPictures, positions: np.ndarray) -> np.ndarray:
        """Returns (N,) how near positions in the frame's own pixels lie to the border: 0 from 4 pixels on, 1 on it."""
        height, width = pictures.shape
        low = np.minimum(positions[:, 0], positions[:, 1])
        high = np.minimum(width - 1 - positions[:, 0], height - 1 - positions[:, 1])
        return np.clip(1 - np.minimum(low, high) / self._unit / 4, 0, 3)

    def _off_sector(self, pictures: SmallPictures, positions: np.ndarray) -> np.ndarray:
        """Returns (N,) bool: the picture has never shown anything there."""
        self._lit |= pictures.levels[1] > 0
        rows, columns = self._lit.shape
        places = np.rint((positions + 0.5) / pictures.steps[1] - 0.5).astype(int)
        return ~self._lit[places[:, 1].clip(0, rows - 1), places[:, 0].clip(0, columns - 1)]

    def _alone(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns how far (N,) each point has moved against its neighbours since the query frame, and since the last
        frame, as log(1 + pixels of a frame of 256); 0 of fewer than four points.
        """
        if self._near.shape[1] < 3:
            nothing = np.zeros(len(positions))
            return nothing, nothing
        since_query, since_last = (
            np.log1p(np.linalg.norm(way - np.median(way[self._near], axis=1), axis=1) / self._unit)
            for way in (positions - self._points, positions - self._last)
        )
        return since_query, since_last


def _stretched(correlation: np.ndarray) -> np.ndarray:
    """Returns Fisher's transform of correlations, in which differences near 1 count more."""
    return np.arctanh(np.clip(correlation, -0.5, 0.97))
