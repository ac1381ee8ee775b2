"""Report of a tracker's measures over several sequences: each, pooled, and their spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from UltrasoundMotionLib.evaluation.track_errors import TrackErrors
from UltrasoundMotionLib.evaluation.track_measures import LOST_PX, TrackMeasures, flat_measures, measure_tracks
from UltrasoundMotionLib.text_table import format_number, markdown_table, text_table

_COLUMNS = (
    ("points", "point_count", 0),
    ("positions", "annotation_count", 0),
    ("<1px", "accuracy_1px", 3),
    ("<2px", "accuracy_2px", 3),
    ("<4px", "accuracy_4px", 3),
    ("<8px", "accuracy_8px", 3),
    ("<16px", "accuracy_16px", 3),
    ("delta_avg", "delta_avg", 3),
    ("MTE px", "median_trajectory_error_px", 3),
    ("TE mean", "tracking_error_mean", 3),
    ("TE std", "tracking_error_std", 3),
    ("TE 95th", "tracking_error_percentile_95", 3),
    ("TE min", "tracking_error_min", 3),
    ("TE max", "tracking_error_max", 3),
    ("NoTE mean", "no_tracking_error_mean", 3),
    ("NoTE 95th", "no_tracking_error_percentile_95", 3),
    ("lost", "lost_count", 0),
    ("OA", "occlusion_accuracy", 3),
    ("AJ", "average_jaccard", 3),
    ("fps", "frames_per_second", 1),
)
"""Heading, name in `flat_measures`, decimals."""


@dataclass(frozen=True)
class Spread:
    """Spread of one measure over sequences: unweighted mean, sample standard deviation, minimum and maximum.

    The standard deviation of a single sequence is None.
    """

    mean: float
    std: float | None
    min: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Computes the spread of the values of all sequences."""
        std = float(np.std(values, ddof=1)) if len(values) > 1 else None
        return cls(float(np.mean(values)), std, float(np.min(values)), float(np.max(values)))


@dataclass(frozen=True)
class TrackReport:
    """Measures per sequence, of all positions pooled, and their spread by the names of `flat_measures`."""

    sequences: tuple[TrackMeasures, ...]
    pooled: TrackMeasures
    spread: dict[str, Spread]
    lost_px: float = LOST_PX

    @property
    def unit(self) -> str:
        """The unit of TE and NoTE: mm, or px if the spacing is unknown."""
        return self.pooled.tracking_error.unit

    def as_dict(self) -> dict:
        """Returns the content for JSON; numbers that were not measured are null."""
        return {
            "lost_px": self.lost_px,
            "unit": self.unit,
            "sequences": [{"name": one.name, **flat_measures(one)} for one in self.sequences],
            "pooled": {"name": self.pooled.name, **flat_measures(self.pooled)},
            "spread_over_sequences": {name: asdict(spread) for name, spread in self.spread.items()},
        }

    def table(self, markdown: bool = False) -> str:
        """Formats one row per sequence; for several also the pool and the mean, standard deviation and extremes."""
        rows = [self._row(one.name, flat_measures(one)) for one in self.sequences]
        if len(self.sequences) > 1:
            rows.append(self._row("pooled", flat_measures(self.pooled)))
            for part in ("mean", "std", "min", "max"):
                numbers = {name: getattr(spread, part) for name, spread in self.spread.items()}
                rows.append(self._row(f"{part} of sequences", numbers))
        used = [0] + [column for column in range(1, len(_COLUMNS) + 1) if any(row[column] != "-" for row in rows)]
        header = ["sequence", *(heading.replace("TE ", f"TE ({self.unit}) ") for heading, _, _ in _COLUMNS)]
        kept_rows = [[row[column] for column in used] for row in rows]
        return (markdown_table if markdown else text_table)([header[column] for column in used], kept_rows)

    @staticmethod
    def _row(name: str, numbers: dict) -> list[str]:
        return [name, *(format_number(numbers.get(key), digits) for _, key, digits in _COLUMNS)]


def report_tracks(sequences: Sequence[TrackErrors], *, name: str = "pooled", lost_px: float = LOST_PX) -> TrackReport:
    """Measures every sequence, and all of them pooled.

    Raises:
        InputError: as `measure_tracks`.
    """
    each = tuple(measure_tracks(errors, lost_px=lost_px) for errors in sequences)
    pooled = measure_tracks(sequences, name=name, lost_px=lost_px)
    columns: dict[str, list[float]] = {}
    for one in each:
        for key, value in flat_measures(one).items():
            if value is not None:
                columns.setdefault(key, []).append(value)
    return TrackReport(each, pooled, {key: Spread.of(values) for key, values in columns.items()}, lost_px)
