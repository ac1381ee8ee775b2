"""The objective of whole-clip trackers that refine trajectories step by step: EchoTracker and PIPs++."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

import torch
from torch import Tensor

from UltrasoundMotionLib.evaluation.track_errors import TrackErrors, compare_tracks
from UltrasoundMotionLib.lab.phantom_cases import thin_points
from UltrasoundMotionLib.lab.training.data.clip_batches import BatchClip
from UltrasoundMotionLib.lab.training.data.trajectory_clips import ValidationClip
from UltrasoundMotionLib.lab.training.objective import Objective
from UltrasoundMotionLib.lab.training.objectives.tracking_accuracy import accuracy_by_group
from UltrasoundMotionLib.tracking.clip_tracker import ClipTracker
from UltrasoundMotionLib.tracking.query import PointQuery
from UltrasoundMotionLib.tracking.registry import TrackerSetup, find_tracker
from UltrasoundMotionLib.tracking.run import run_clip_query

_STEP_DECAY = 0.8
"""Weight of a step's error over that of the step after it, as PIPs++ and EchoTracker are trained."""
_VALIDATION_POINTS = 48


class WholeClipObjective(Objective[list[BatchClip], ValidationClip]):
    """Trains a network that follows points of a clip's first frame.

    Args:
        network: the network, whose configuration `config` goes onto the card.
        iterations: of the refinement while training.
    """

    limits = (
        "B-mode clips of hearts, livers and muscle in which tissue moves by up to a quarter of the image. Not for "
        "clinical use."
    )

    def __init__(self, network: torch.nn.Module, iterations: int) -> None:
        super().__init__()
        self.network: Any = network
        self.iterations = iterations

    @abstractmethod
    def follow(self, images: Tensor, points: Tensor) -> list[Tensor]:
        """Follows points (N, 2) px of the first of the images (T, 1, H, W) in [-1, 1]; returns the trajectories
        (T, N, 2) px of each step.
        """

    def losses(self, batch: list[BatchClip], step: int) -> dict[str, Tensor]:
        """Computes means over the clips: "total", the L1 distance of every step's trajectories from the truth, the
        later the heavier, on frames on which a point is visible; "l1_px", that of the last step's.

        Points that are hidden on the first frame do not count.
        """
        totals, last = [], []
        for clip in batch:
            seen = clip.visible[0]
            if not seen.any():
                continue
            truth, valid = clip.points[:, seen], clip.visible[:, seen]
            found = self.follow(2 * clip.frames.clamp(0, 1) - 1, truth[0])
            errors = [(one.float() - truth).abs().mean(dim=2)[valid].mean() for one in found]
            weights = [_STEP_DECAY ** (len(errors) - 1 - number) for number in range(len(errors))]
            totals.append(torch.stack([weight * one for weight, one in zip(weights, errors, strict=True)]).mean())
            last.append(errors[-1])
        if not totals:  # no point is visible on a first frame: a gradient of zero
            nothing = torch.stack([0 * value.sum() for value in self.network.parameters()]).sum()
            return {"total": nothing, "l1_px": nothing.detach()}
        return {"total": torch.stack(totals).mean(), "l1_px": torch.stack(last).mean()}

    def validate(self, cases: Sequence[ValidationClip]) -> dict[str, float]:
        """Measures the positions of the tracker that runs this network, as `SpeckNetObjective.validate` does."""
        return accuracy_by_group(cases, self._errors)

    def weights(self) -> dict[str, Tensor]:
        """Returns the network's weights in float32."""
        return {name: value.float() for name, value in self.network.state_dict().items()}

    def configuration(self) -> dict[str, object]:
        """Returns the network's configuration."""
        return asdict(self.network.config)

    def _errors(self, case: ValidationClip) -> TrackErrors:
        truth, entry = thin_points(case.truth, _VALIDATION_POINTS), find_tracker(self.name)
        query = PointQuery.on(
            case.sequence, truth.positions_px[truth.query_frame], labels=truth.labels, frame=truth.query_frame
        )
        setup = TrackerSetup(str(self.device), entry.settings_from(), self.network)

        def create() -> ClipTracker:
            return cast(ClipTracker, entry.create(setup))

        tracks = run_clip_query(case.sequence, create, query, model=self.name)
        return compare_tracks(tracks, truth, rescale_from=case.sequence.frame_size)
