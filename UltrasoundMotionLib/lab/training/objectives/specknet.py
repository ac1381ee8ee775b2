"""The objective of SpeckNet (Azad et al., Sec. 5.1), and its accuracy on the tuning phantoms while it is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.evaluation.track_errors import TrackErrors, compare_tracks
from UltrasoundMotionLib.lab.phantom_cases import HARDER_HALF, thin_points
from UltrasoundMotionLib.lab.training.data.clip_batches import BatchClip
from UltrasoundMotionLib.lab.training.data.phantom_clips import TUNING_SEED, spread_in_time
from UltrasoundMotionLib.lab.training.data.trajectory_clips import ValidationClip
from UltrasoundMotionLib.lab.training.objective import Objective
from UltrasoundMotionLib.lab.training.objectives.specknet_loss import SpeckNetLoss, clip_loss
from UltrasoundMotionLib.lab.training.objectives.tracking_accuracy import accuracy_by_group
from UltrasoundMotionLib.lab.training.precision import full_precision
from UltrasoundMotionLib.simulation import phantom_set
from UltrasoundMotionLib.tracking import PointTracks
from UltrasoundMotionLib.tracking.trackers.specknet.cost_volume import log_cost_volume, query_features, soft_argmax
from UltrasoundMotionLib.tracking.trackers.specknet.network import SpeckNet, SpeckNetConfig
from UltrasoundMotionLib.tracking.trackers.specknet.network_input import GreyScale, NetworkGrid

_VALIDATION_POINTS = 48


class SpeckNetObjective(Objective[list[BatchClip], ValidationClip]):
    """Trains `SpeckNet`.

    Args:
        network: configuration of the network.
        loss: weights of the losses.
        all_query_frames: every frame of a clip is the query frame for all others, at no cost of further features;
            False: one random frame.
        start_share: share of the weights to start from in those that are written, which are the mean of both (Wortsman
            et al., CVPR 2022): what the new data teach is learnt, what the old ones taught is kept.
    """

    name = "specknet"
    architecture = "SpeckNet"
    task = "finds points of tissue of one ultrasound frame in any other frame of the clip"
    limits = (
        "B-mode clips of hearts, livers and muscle in which tissue moves by up to a quarter of the image. Not for "
        "clinical use."
    )

    def __init__(
        self,
        network: SpeckNetConfig | None = None,
        loss: SpeckNetLoss | None = None,
        *,
        all_query_frames: bool = True,
        start_share: float = 0.0,
    ) -> None:
        super().__init__()
        self.network: SpeckNet = SpeckNet(network)
        self.loss, self.all_query_frames = loss or SpeckNetLoss(), all_query_frames
        self.start_share = start_share
        self._start: dict[str, Tensor] = {}

    def losses(self, batch: list[BatchClip], step: int) -> dict[str, Tensor]:
        """Computes means over the pairs of points that count: "total"; "l1_px", the distance in pixels of the network's
        input; "cross_entropy"; "missed_percent", points found more than a cell's side from the truth.
        """
        frames = torch.cat([clip.frames for clip in batch])
        maps = self.network(frames)
        with full_precision(frames.device.type):
            return self._losses(tuple(values.float() for values in maps), batch)

    def _losses(self, maps: tuple[Tensor, ...], batch: list[BatchClip]) -> dict[str, Tensor]:
        parts = []
        first = 0
        for clip in batch:
            count = len(clip.frames)
            fine, middle, coarse = (values[first : first + count] for values in maps)
            queries = list(range(count)) if self.all_query_frames else [clip.query_frame]
            parts.append(
                clip_loss(
                    (fine, middle, coarse),
                    clip.points,
                    clip.visible,
                    queries,
                    config=self.network.config,
                    loss=self.loss,
                )
            )
            first += count
        weight = torch.stack([part.weight.detach() for part in parts]).sum()
        total, l1, entropy, found = (
            sum((getattr(part, name) for part in parts), start=weight.new_zeros(())) / weight.clamp(min=1)
            for name in ("total", "l1", "cross_entropy", "found")
        )
        missed = 100 * (weight > 0) * (1 - found)
        if not total.requires_grad:  # no point is visible in two frames: a gradient of zero
            total = total + 0 * torch.stack([values.sum() for values in maps]).sum()
        return {"total": total, "l1_px": l1, "cross_entropy": entropy, "missed_percent": missed}

    def validate(self, cases: Sequence[ValidationClip]) -> dict[str, float]:
        """Measures the published tracker's positions.

        Returns:
            "GROUP_delta_avg_percent", the mean position accuracy at 1, 2, 4, 8 and 16 px of 256, and
            "GROUP_median_trajectory_error_px" of the groups that the cases name: of phantoms "heart_easy", ... and
            "heart_harder_half" and "liver_harder_half", which have the hard and the extreme clips.
        """
        return accuracy_by_group(cases, lambda case: _errors(self.network, case, self.device))

    def weights(self) -> dict[str, Tensor]:
        """Returns the network's weights in float32, averaged with those it started from by `start_share`."""
        weights = {name: value.float() for name, value in self.network.state_dict().items()}
        return weights | {
            name: torch.lerp(weights[name], start.to(weights[name]), self.start_share)
            for name, start in self._start.items()
        }

    def configuration(self) -> dict[str, object]:
        """Returns the network's configuration."""
        return {name: value for name, value in asdict(self.network.config).items() if value is not None}

    def start_from(self, tensors: Mapping[str, Tensor]) -> None:
        """Copies the weights of a trained SpeckNet.

        Raises:
            InputError: weights of another network.
        """
        try:
            self.network.load_state_dict(tensors)
        except RuntimeError as error:
            raise InputError(f"start from: not the weights of this network ({str(error).splitlines()[0]})") from error
        if self.start_share:
            self._start = {name: value.detach().clone() for name, value in tensors.items()}


def validation_clips(
    difficulties: Sequence[str] = ("easy", "hard", "extreme"), count: int = 2, frame_count: int = 12
) -> tuple[ValidationClip, ...]:
    """Simulates `count` tuning phantoms of each kind and difficulty, in few frames over the time of 64."""
    clips = []
    for kind in ("heart", "liver"):
        for difficulty in difficulties:
            groups: tuple[str, ...] = (f"{kind}_{difficulty}",)
            groups += (f"{kind}_harder_half",) if difficulty in HARDER_HALF else ()
            for case in phantom_set(kind, difficulty, count, TUNING_SEED):
                simulated = spread_in_time(case, frame_count).simulate()
                clips.append(ValidationClip(groups, simulated.sequence, simulated.truth_from(0)))
    return tuple(clips)


def _errors(network: SpeckNet, case: ValidationClip, device: torch.device) -> TrackErrors:
    truth, sequence = thin_points(case.truth, _VALIDATION_POINTS), case.sequence
    frames = np.stack([sequence.frame(index) for index in range(len(sequence))])
    query_points = torch.tensor(truth.positions_px[truth.query_frame]).float()
    found = _find_points(network, torch.tensor(frames, device=device), query_points, truth.query_frame)
    tracks = _as_tracks(found.cpu().numpy().astype(np.float64), truth)
    return compare_tracks(tracks, truth, rescale_from=sequence.frame_size)


@torch.no_grad()
def _find_points(network: SpeckNet, frames: Tensor, query_points: Tensor, query_frame: int) -> Tensor:
    """Finds points (N, 2) of one of the frames (T, H, W) in each of them, by the network alone; (T, N, 2)."""
    height, width = frames.shape[1:]
    grid = NetworkGrid.of(height, width, network.config.input_size)
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
