"""LSDM's trained network with one of its parts switched off at a time, without training anew."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, CaseMeasure, Column
from UltrasoundMotionLib.lab.training.data.landmark_sources import LandmarkGroup
from UltrasoundMotionLib.lab.training.data.triple_batches import LandmarkBatchSettings
from UltrasoundMotionLib.lab.training.objectives.lsdm import LsdmObjective
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.trackers.lsdm.motion import Motion
from UltrasoundMotionLib.tracking.trackers.lsdm.network import Lsdm

WHOLE = "whole network"
_SEED = 7
_FLAT = 20.0


@dataclass(frozen=True)
class PartRow:
    """The errors with one part switched off.

    Attributes:
        part: that is switched off.
        mean_px, median_px: distance of the response's peak from the true place, in pixels of a frame of 256.
        by_landmark: the distance of each landmark.
    """

    part: str
    mean_px: float
    median_px: float
    by_landmark: dict[str, float]


COLUMNS: tuple[Column[PartRow], ...] = (
    Column("switched off", "part", names_method=True),
    Column("mean", "mean_px", 3, unit="px"),
    Column("median", "median_px", 3, unit="px"),
    Column("n", lambda row: len(row.by_landmark)),
)
CASES: CaseMeasure[PartRow] = CaseMeasure("px", values=lambda row: row.by_landmark, method=lambda row: row.part)


def lsdm_parts(
    network: Lsdm, groups: Sequence[LandmarkGroup], *, batches: int = 6, progress: Progress = no_progress
) -> BenchmarkResult[PartRow]:
    """Measures the trained network without each part, on the same landmarks of held-out clips."""
    rows = []
    for done, (part, change) in enumerate(_CHANGES.items()):
        progress(done, len(_CHANGES), part)
        made = copy.deepcopy(network)
        with torch.no_grad():
            change(made)
        errors = _errors(made, groups, batches)
        values = np.array(list(errors.values()))
        rows.append(PartRow(part, float(values.mean()), float(np.median(values)), errors))
    progress(len(_CHANGES), len(_CHANGES), "done")
    return BenchmarkResult(COLUMNS, tuple(rows), cases=CASES, against=WHOLE)


def _errors(network: Lsdm, groups: Sequence[LandmarkGroup], batches: int) -> dict[str, float]:
    objective = LsdmObjective(network.config)
    objective.network = network.eval()
    settings = LandmarkBatchSettings(motion=None, images=None, hidden_share=0.0)
    found = {}
    for name, sources in groups:
        drawn = objective.batches(sources, settings, _SEED)
        for step in range(batches):
            batch = drawn.draw(step)
            for number, (error, seen) in enumerate(
                zip(objective.errors(batch).tolist(), batch.visible.tolist(), strict=True)
            ):
                if seen:
                    found[f"{name}/{step}/{number}"] = error
    return found


def _with_motion(network: Lsdm, keep: Callable[[Motion], tuple[Tensor, Tensor]]) -> None:
    """Lets the network use changed velocities."""
    original = network.motion

    def motion(frames: Tensor) -> Motion:
        found = original(frames)
        return Motion.of(*keep(found), found.features, network.config.squarings)

    network.motion = motion  # type: ignore[method-assign]


def _iterations(count: int) -> Callable[[Lsdm], None]:
    def change(network: Lsdm) -> None:
        network.alignment.iterations = count

    return change


def _no_pyramid(network: Lsdm) -> None:
    network.pyramid = None


def _no_prior(network: Lsdm) -> None:
    network.log_outlier.fill_(_FLAT)


_CHANGES: dict[str, Callable[[Lsdm], None]] = {
    WHOLE: lambda network: None,
    "EMMA": _iterations(0),
    "EMMA but 1 iteration": _iterations(1),
    "EMMA, 5 iterations instead": _iterations(5),
    "EMMA, 10 iterations instead": _iterations(10),
    "pyramid": _no_pyramid,
    "prior": _no_prior,
    "long motion": lambda network: _with_motion(network, lambda found: (0 * found.long, found.short)),
    "short motion": lambda network: _with_motion(network, lambda found: (found.long, 0 * found.short)),
    "both motions": lambda network: _with_motion(network, lambda found: (0 * found.long, 0 * found.short)),
}
