"""How far off a landmark network is while it is trained: in search windows of the tuning phantoms, or of the sequences
that were left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from UltrasoundMotionLib.lab.training.landmarks.landmark_batches import LandmarkBatchConfig, LandmarkBatches
from UltrasoundMotionLib.lab.training.landmarks.landmark_objective import LandmarkObjective
from UltrasoundMotionLib.lab.training.landmarks.landmark_sources import ClipSource, LandmarkSource
from UltrasoundMotionLib.lab.training.phantom_clips import TUNING_SEED, phantom_clip, spread_in_time
from UltrasoundMotionLib.lab.training.training_clip import write_clip
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.simulation import phantom_set
from UltrasoundMotionLib.text_table import format_number, markdown_table, text_table
from UltrasoundMotionLib.tracking.trackers.siamese.crops import SAMPLE_PX

TUNING_FRAMES = 12
VALIDATION_SEED = 7


@dataclass(frozen=True)
class WindowErrors:
    """Distances between where visible landmarks were found in their search windows and where they are, in px of a frame
    whose longer side has 256.

    Attributes:
        group: whose.
        distances_px: (K,).
    """

    group: str
    distances_px: np.ndarray

    def as_text(self) -> str:
        """For the log."""
        return f"{self.group} {self.distances_px.mean():.2f} px, median {np.median(self.distances_px):.2f}, 95th {self._percentile(95):.2f}"

    def measured(self) -> dict[str, float]:
        """For a card."""
        name = self.group.replace("-", "_").replace(" ", "_").lower()
        values = {
            "mean": self.distances_px.mean(),
            "median": np.median(self.distances_px),
            "percentile_95": self._percentile(95),
        }
        return {f"{name}_{kind}_px": round(float(value), 3) for kind, value in values.items()}

    def _percentile(self, part: float) -> float:
        return float(np.percentile(self.distances_px, part))


def tuning_sources(folder: Path | str, count: int = 2, progress: Progress = no_progress) -> tuple[ClipSource, ...]:
    """`count` liver phantoms of the tuning seed for each of three difficulties, in few frames that span the time of 64;
    made into a folder once.

    Raises:
        OutputError: a file cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    cases = [
        case
        for difficulty in ("easy", "hard", "extreme")
        for case in phantom_set("liver", difficulty, count, TUNING_SEED)
    ]
    paths = []
    for done, case in enumerate(cases):
        paths.append(folder / f"{case.name}.npz")
        if not paths[-1].exists():
            write_clip(paths[-1], phantom_clip(spread_in_time(case, TUNING_FRAMES), np.random.default_rng(TUNING_SEED)))
        progress(done + 1, len(cases), "simulating tuning phantoms")
    return tuple(ClipSource(path) for path in paths)


@torch.no_grad()
def validate(
    objective: LandmarkObjective, groups: dict[str, Sequence[LandmarkSource]], device: torch.device, steps: int = 6
) -> tuple[WindowErrors, ...]:
    """Errors in `steps` batches of each group, always the same ones, without augmentation."""
    objective.eval()
    config = LandmarkBatchConfig(
        motion=None, images=None, hidden_share=0.0, trajectories=0, windows_for_motion=objective.motion_windows
    )
    results = []
    for group, sources in groups.items():
        batches = LandmarkBatches(sources, config, VALIDATION_SEED, device)
        distances = []
        for step in range(steps):
            batch = batches.step(step)
            off = torch.linalg.norm(objective.locate(batch) - batch.target, dim=1) * SAMPLE_PX
            distances.append(off[batch.visible].cpu().numpy())
        results.append(WindowErrors(group, np.concatenate(distances).astype(np.float64)))
    objective.train()
    return tuple(results)


def by_difficulty(sources: Sequence[LandmarkSource]) -> dict[str, Sequence[LandmarkSource]]:
    """Groups of the tuning phantoms."""
    return {
        name: [source for source in sources if source.in_group(name)]
        for name in ("liver-easy", "liver-hard", "liver-extreme")
    }


def leave_out_table(rows: Sequence[tuple[str, WindowErrors, WindowErrors]], markdown: bool = False) -> str:
    """A line for each group left out: errors on it, and on the sequences that were learnt from."""
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
