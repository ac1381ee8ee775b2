"""How accurate a network is on the tuning phantoms while it is being trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.evaluation.track_errors import TrackErrors, compare_tracks
from UltrasoundMotionLib.evaluation.track_measures import measure_tracks
from UltrasoundMotionLib.lab.benchmarks.phantom_cases import thin_points
from UltrasoundMotionLib.lab.training.phantom_clips import TUNING_SEED, spread_in_time
from UltrasoundMotionLib.simulation import SimulatedSequence, phantom_set
from UltrasoundMotionLib.tracking import PointTracks
from UltrasoundMotionLib.tracking.trackers.specknet.cost_volume import log_cost_volume, query_features, soft_argmax
from UltrasoundMotionLib.tracking.trackers.specknet.network import SpeckNet
from UltrasoundMotionLib.tracking.trackers.specknet.network_input import GreyScale, NetworkGrid


@dataclass(frozen=True)
class ValidationCase:
    """A simulated clip of the tuning set and the group that it counts in."""

    kind: str
    difficulty: str
    simulated: SimulatedSequence


@dataclass(frozen=True)
class Accuracy:
    """Of one group: mean position accuracy at 1, 2, 4, 8 and 16 px of 256, and the median trajectory error in px."""

    delta_avg: float
    median_trajectory_error_px: float


def validation_cases(
    difficulties: Sequence[str] = ("easy", "hard", "extreme"), count: int = 2, frame_count: int = 12
) -> tuple[ValidationCase, ...]:
    """`count` tuning phantoms of each kind and difficulty, in few frames that span the time of 64."""
    return tuple(
        ValidationCase(kind, difficulty, spread_in_time(case, frame_count).simulate())
        for kind in ("heart", "liver")
        for difficulty in difficulties
        for case in phantom_set(kind, difficulty, count, TUNING_SEED)
    )


@torch.no_grad()
def validate(
    network: SpeckNet, cases: Sequence[ValidationCase], device: torch.device, query_frame: int = 0
) -> dict[str, Accuracy]:
    """Accuracy of each group, "heart easy", ..., and of "heart harder half" and "liver harder half"; the published
    tracker's positions.
    """
    network.eval()
    errors: dict[str, list[TrackErrors]] = {}
    for case in cases:
        truth = thin_points(case.simulated.truth_from(query_frame), 48)
        frames = np.stack([case.simulated.sequence.frame(index) for index in range(len(case.simulated.sequence))])
        found = find_points(
            network,
            torch.tensor(frames, device=device),
            torch.tensor(truth.positions_px[query_frame]).float(),
            query_frame,
        )
        error = compare_tracks(_as_tracks(found.cpu().numpy().astype(np.float64), truth), truth)
        groups = [f"{case.kind} {case.difficulty}"] + (
            [f"{case.kind} harder half"] if case.difficulty in ("hard", "extreme") else []
        )
        for group in groups:
            errors.setdefault(group, []).append(error)
    network.train()
    measured = {group: measure_tracks(several) for group, several in errors.items()}
    return {group: Accuracy(one.delta_avg, one.median_trajectory_error_px) for group, one in measured.items()}


@torch.no_grad()
def find_points(network: SpeckNet, frames: Tensor, query_points: Tensor, query_frame: int) -> Tensor:
    """(T, N, 2) where points (N, 2) of one of the frames (T, H, W) are found in each of them, by the network alone."""
    grid = NetworkGrid.of(*frames.shape[1:], network.config.input_size)
    grey = GreyScale.of(frames[query_frame].float())
    points = grid.to_network(query_points.to(frames.device))[None]
    query = query_features(network(grid.resize(grey.apply(frames[query_frame : query_frame + 1].float()))), points)
    found = []
    for frame in frames:
        volume = log_cost_volume(
            query, network(grid.resize(grey.apply(frame[None].float()))), network.config, grid.valid_size
        )
        found.append(grid.to_frame(soft_argmax(volume, network.config).points[0]))
    return torch.stack(found)


def _as_tracks(positions_px: np.ndarray, truth: PointTracks) -> PointTracks:
    shape = positions_px.shape[:2]
    return PointTracks(
        positions_px,
        np.ones(shape),
        np.ones(shape, dtype=bool),
        truth.labels,
        truth.query_frame,
        truth.times_s,
        truth.spacing_mm,
        model="specknet",
    )
