"""The base of landmark objectives, and how far off landmark networks are in search windows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.lab.training.data.landmark_sources import LandmarkGroup, LandmarkSource
from UltrasoundMotionLib.lab.training.data.triple_batches import LandmarkBatchSettings, TripleBatches
from UltrasoundMotionLib.lab.training.objective import Batch, Objective
from UltrasoundMotionLib.text_table import format_number, markdown_table, text_table

_VALIDATION_SEED = 7


class LandmarkObjective(Objective[Batch, LandmarkGroup]):
    """Trains a network that finds landmarks in search windows.

    Attributes:
        largest_size, largest_ratio: see `LandmarkBatchSettings`.
    """

    task = "follows landmarks of one ultrasound frame through the clip, each in a window around it"
    limits = (
        "B-mode clips in which a landmark moves by less than 24 px at 256 x 256 from frame to frame. Not for clinical "
        "use."
    )
    largest_size: float = 1.0
    largest_ratio: float = 1.0

    @abstractmethod
    def batches(
        self, sources: Sequence[LandmarkSource], settings: LandmarkBatchSettings, seed: int
    ) -> TripleBatches[Batch]:
        """Returns the batches of landmarks that the network learns from."""

    @abstractmethod
    def errors(self, batch: Batch) -> Tensor:
        """Returns how far landmarks are found from their true places, (B,) in pixels of a frame whose longer side has
        256, without gradients.
        """

    def validate(self, cases: Sequence[LandmarkGroup]) -> dict[str, float]:
        """Measures the errors of each group.

        Returns:
            "GROUP_mean_px", "GROUP_median_px" and "GROUP_percentile_95_px", see `WindowErrors`.
        """
        return {name: value for one in window_errors(self, cases) for name, value in one.measured().items()}


@dataclass(frozen=True)
class WindowErrors:
    """Distances between found and true places of visible landmarks in their search windows.

    Attributes:
        group: name of the group of sequences.
        distances_px: (K,) in pixels of a frame whose longer side has 256.
    """

    group: str
    distances_px: np.ndarray

    def measured(self) -> dict[str, float]:
        """Returns mean, median and 95th percentile, named for a card."""
        name = self.group.replace("-", "_").replace(" ", "_").lower()
        values = {
            "mean": self.distances_px.mean(),
            "median": np.median(self.distances_px),
            "percentile_95": np.percentile(self.distances_px, 95),
        }
        return {f"{name}_{kind}_px": round(float(value), 3) for kind, value in values.items()}


@torch.no_grad()
def window_errors(
    objective: LandmarkObjective[Any], groups: Sequence[LandmarkGroup], steps: int = 6
) -> tuple[WindowErrors, ...]:
    """Returns the errors in `steps` batches of each group, always the same batches, without augmentation."""
    settings = LandmarkBatchSettings(motion=None, images=None, hidden_share=0.0)
    results = []
    for group, sources in groups:
        batches = objective.batches(sources, settings, _VALIDATION_SEED)
        distances = []
        for step in range(steps):
            batch = batches.draw(step, device=objective.device)
            distances.append(objective.errors(batch)[batch.visible].cpu().numpy())
        results.append(WindowErrors(group, np.concatenate(distances).astype(np.float64)))
    return tuple(results)


def leave_out_table(rows: Sequence[tuple[str, WindowErrors, WindowErrors]], markdown: bool = False) -> str:
    """Returns a table with a line for each group left out: the errors on it, and on the sequences learnt from."""
    header = ["left out", "held out: mean px", "std", "median", "95th", "learnt from: mean px", "95th"]
    lines = []
    for group, held, learnt in rows:
        values = (
            held.distances_px.mean(),
            held.distances_px.std(),
            np.median(held.distances_px),
            np.percentile(held.distances_px, 95),
            learnt.distances_px.mean(),
            np.percentile(learnt.distances_px, 95),
        )
        lines.append([group, *(format_number(float(value), 2) for value in values)])
    return (markdown_table if markdown else text_table)(header, lines)
