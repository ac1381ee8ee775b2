"""The objective of SpeckNet's temporal head, on clips whose cost volumes the encoder has computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.data.clip_batches import BatchClip
from UltrasoundMotionLib.lab.training.data.head_batches import HeadClip
from UltrasoundMotionLib.lab.training.data.step_batches import to_device
from UltrasoundMotionLib.lab.training.objective import Objective
from UltrasoundMotionLib.lab.training.precision import full_precision, mixed_precision
from UltrasoundMotionLib.tracking.trackers.specknet.cost_volume import Features, cosines, query_features
from UltrasoundMotionLib.tracking.trackers.specknet.network import (
    STRIDES,
    SpeckNet,
    SpeckNetConfig,
    TemporalHeadConfig,
)
from UltrasoundMotionLib.tracking.trackers.specknet.temporal_head import HeadAnswer, build_specknet

_HEAD_PREFIX = "head."


class SpeckNetHeadObjective(Objective[list[HeadClip], HeadClip]):
    """Trains the temporal head of a `SpeckNet`, whose encoder stands still.

    Args:
        network: configuration of the network; a head of default sizes is added where it names none.
    """

    name = "specknet"
    architecture = "SpeckNet"
    task = "finds points of tissue of one ultrasound frame in any other frame of the clip"
    limits = (
        "B-mode clips of hearts, livers and muscle in which tissue moves by up to a quarter of the image. Not for "
        "clinical use."
    )

    def __init__(self, network: SpeckNetConfig | None = None) -> None:
        super().__init__()
        config = network or SpeckNetConfig()
        if config.head is None:
            config = replace(config, head=TemporalHeadConfig())
        self.network: SpeckNet = build_specknet(config)
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name.startswith(_HEAD_PREFIX))

    @torch.no_grad()
    def encode(self, clip: BatchClip) -> Features:
        """Computes the cosines of the points of frame 0 with the cells of all frames."""
        kind = clip.frames.device.type
        with mixed_precision(kind, wanted=True):
            maps = self.network(clip.frames)
        first, second, third = (values.float() for values in maps)
        query = query_features((first[:1], second[:1], third[:1]), clip.points[:1])
        return cosines(query, (first, second, third))

    def losses(self, batch: list[HeadClip], step: int) -> dict[str, Tensor]:
        """Computes means over points and frames after the first: "total"; "cross_entropy" of the window's distribution;
        "position", the negative log-likelihood of the true position; "visibility", the binary cross-entropy; and
        "error_px", the distance in pixels of the network's input.
        """
        with full_precision(batch[0].points.device.type):
            parts = [_clip_losses(self._answer(clip), clip) for clip in batch if clip.points.shape[1]]
        if not parts:
            nothing = 0 * torch.stack([one.sum() for one in self.parameters() if one.requires_grad]).sum()
            parts = [dict.fromkeys(("cross_entropy", "position", "visibility", "error_px"), nothing)]
        mean = {name: torch.stack([part[name] for part in parts]).mean() for name in parts[0]}
        return {"total": mean["cross_entropy"] + 0.5 * mean["position"] + 0.5 * mean["visibility"], **mean}

    def _answer(self, clip: HeadClip) -> HeadAnswer:
        head = self.network.head
        assert head is not None
        first, second, third = (values.float() for values in clip.volumes)
        costs = head.costs((first, second, third), clip.estimates)
        return head(costs[None], clip.estimates[None], clip.points[:1])

    def validate(self, cases: Sequence[HeadClip]) -> dict[str, float]:
        """Measures the head on held-out clips.

        Returns:
            The mean error in pixels of the network's input of the estimates that it was given and of its own, over
            points in sight; the share of its 90 % discs that hold the true position; and how many of its guesses of the
            visibility are right, mean over the visible and the hidden.
        """
        given, found, held, seen, hidden = [], [], [], [], []
        for case in to_device(list(cases), self.device):
            if not case.points.shape[1]:
                continue
            answer, visible = self._answer(case), case.visible[1:]
            truth = case.points - case.estimates
            given.append(truth[1:][visible].norm(dim=-1))
            off = (answer.offset[0] - truth).norm(dim=-1)[1:][visible]
            found.append(off)
            held.append(off / answer.deviation[0, 1:][visible] < 2.146)  # radius of 90 % of a circular Gaussian
            sighted = answer.visibility[0, 1:] > 0
            seen.append(sighted[visible])
            hidden.append(~sighted[~visible])

        def mean(parts: list[Tensor]) -> float:
            values = torch.cat(parts).float() if parts else torch.zeros(0)
            return round(float(values.mean()), 4) if len(values) else float("nan")

        return {
            "given_error_px": mean(given),
            "head_error_px": mean(found),
            "in_90_percent_disc_percent": round(100 * mean(held), 1),
            "visibility_right_percent": round(50 * (mean(seen) + mean(hidden)), 1),
        }

    def weights(self) -> dict[str, Tensor]:
        """Returns the weights of encoder and head in float32."""
        return {name: value.float() for name, value in self.network.state_dict().items()}

    def configuration(self) -> dict[str, object]:
        """Returns the network's configuration."""
        return asdict(self.network.config)

    def start_from(self, tensors: Mapping[str, Tensor]) -> None:
        """Copies the weights of a trained SpeckNet, with or without a head.

        Raises:
            InputError: weights of another network.
        """
        missing, unexpected = self.network.load_state_dict(dict(tensors), strict=False)
        wrong = [name for name in missing if not name.startswith(_HEAD_PREFIX)] + list(unexpected)
        if wrong:
            raise InputError(f"start from: not the weights of this network ({wrong[0]})")


def _clip_losses(answer: HeadAnswer, clip: HeadClip) -> dict[str, Tensor]:
    """Returns the means of one clip over its frames after the first."""
    truth, visible = (clip.points - clip.estimates)[1:], clip.visible[1:].to(clip.points.dtype)
    count = visible.sum().clamp(min=1)
    side = round(answer.log_weights.shape[-1] ** 0.5)
    target = _window_target(truth / STRIDES[0], side)
    entropy = -(target * answer.log_weights[0, 1:]).sum(-1)
    error = (answer.offset[0, 1:] - truth).norm(dim=-1)
    deviation = answer.deviation[0, 1:]
    position = error / deviation + 2 * deviation.log()  # Laplace's distribution in the plane: false matches are many
    seen = F.binary_cross_entropy_with_logits(answer.visibility[0, 1:], visible)
    return {
        "cross_entropy": (visible * entropy).sum() / count,
        "position": (visible * position).sum() / count,
        "visibility": seen,
        "error_px": (visible * error).sum().detach() / count,
    }


def _window_target(offset: Tensor, side: int) -> Tensor:
    """Spreads offsets (..., 2) in cells bilinearly over the cells (..., side^2) of a window around 0."""
    place = (offset + side // 2).clamp(0, side - 1)
    axis = torch.arange(side, dtype=offset.dtype, device=offset.device)
    along_x, along_y = ((1 - (place[..., index, None] - axis).abs()).clamp(min=0) for index in (0, 1))
    return (along_y[..., :, None] * along_x[..., None, :]).flatten(-2)
