"""The objective of LSDM: the landmark's confidence map, the similarity of the frames after both motions, and smoothness
(Eqs. 1 and 3).

Supervision is weak: the only annotation is the landmark's place in x_t, of some of the samples. Motion is learnt from
the images of all samples.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.warping import warp
from UltrasoundMotionLib.lab.training.data.landmark_batches import FIELD_SAMPLE_PX, LandmarkBatch
from UltrasoundMotionLib.lab.training.objective import weighted_sum
from UltrasoundMotionLib.lab.training.objectives.landmarks import LandmarkObjective
from UltrasoundMotionLib.similarity.intensity import mse
from UltrasoundMotionLib.similarity.local_cross_correlation import lncc
from UltrasoundMotionLib.similarity.smoothness import diffusion
from UltrasoundMotionLib.tracking.trackers.lsdm.network import (
    CELL,
    Look,
    Lsdm,
    LsdmConfig,
    Motion,
    at_landmark,
    exemplar_window,
    to_pixels,
)
from UltrasoundMotionLib.tracking.trackers.lsdm.siamese import find_peak
from UltrasoundMotionLib.tracking.trackers.siamese.crops import INSTANCE_SIZE, SAMPLE_PX, standardised

_CONFIDENCE_MAPS = ("gaussian", "logistic")
_SIMILARITIES = ("lncc", "mse")


@dataclass(frozen=True)
class LsdmLoss:
    """The weights of the losses; those that are ours are 0 in `PUBLISHED_LOSS`. Lengths are in pixels of a frame whose
    longer side has 256.

    Attributes:
        confidence_map: "gaussian", squared difference from a Gaussian around the landmark, 0 everywhere when it is
            hidden (Eq. 1), or "logistic", SiamFC's balanced logistic loss with labels within a radius.
        map_deviation / map_radius: standard deviation of the Gaussian; radius of the labels.
        tracking: weight of the confidence map's loss.
        entropy: ours; weight of the cross-entropy of the response, as a distribution over places, with the same
            Gaussian. The map alone learns slowly.
        long / short: weight of the dissimilarity of x_0 and x_t (long), of x_{t-dt} and x_t (short), one warped onto
            the other, in both directions.
        similarity: "lncc" or "mse".
        window: side of LNCC's window.
        smoothness: weight of the velocities' squared gradient.
        landmark_motion: ours; weight of the distance in pixels between an annotated landmark and where the long motion
            brings it.
        landmark_reach: largest distance of the landmarks for which `landmark_motion` counts.
        annotated_share: fraction of the samples whose annotation is used; the others train motion alone. CLUST
            annotates a tenth of its frames and batches are drawn from those; in simulation annotations are free.

    Raises:
        InputError: an unknown confidence map or similarity, a share outside [0, 1].
    """

    confidence_map: str = "gaussian"
    map_deviation: float = 2.0
    map_radius: float = 4.0
    tracking: float = 0.1
    entropy: float = 1.0
    long: float = 1.0
    short: float = 1.0
    similarity: str = "lncc"
    window: int = 9
    smoothness: float = 0.2
    landmark_motion: float = 0.5
    landmark_reach: float = 12.0
    annotated_share: float = 1.0

    def __post_init__(self) -> None:
        for name, known in (("confidence_map", _CONFIDENCE_MAPS), ("similarity", _SIMILARITIES)):
            if getattr(self, name) not in known:
                raise InputError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)}")
        if not 0 <= self.annotated_share <= 1:
            raise InputError(f"annotated_share must lie between 0 and 1, got {self.annotated_share}")


PUBLISHED_LOSS = LsdmLoss(tracking=1.0, entropy=0.0, landmark_motion=0.0)


class LsdmObjective(LandmarkObjective):
    """Trains `Lsdm`."""

    name = "lsdm"
    architecture = "Lsdm"
    motion_windows = True

    def __init__(self, config: LsdmConfig | None = None, loss: LsdmLoss | None = None) -> None:
        super().__init__()
        self.network: Lsdm = Lsdm(config)
        self.loss = loss or LsdmLoss()

    def losses(self, batch: LandmarkBatch, step: int) -> dict[str, Tensor]:
        """Computes "total" and, unweighted, "tracking", "entropy", "long", "short", "smoothness", "landmark_motion"."""
        logits, motion = self.respond(batch)
        target, annotated = target_pixels(batch), self._annotated(batch, step)
        long = self.network.displacement(motion.long)
        parts = self._tracking(logits, target, batch.visible, annotated)
        parts["long"] = self._dissimilarity(
            batch.first, batch.now, long, self.network.displacement(motion.long, inverse=True)
        )
        parts["short"] = self._dissimilarity(
            batch.before,
            batch.now,
            self.network.displacement(motion.short),
            self.network.displacement(motion.short, inverse=True),
        )
        parts["smoothness"] = diffusion(motion.long) + diffusion(motion.short)
        off = (at_landmark(long) - target).norm(dim=1)
        counted = (annotated & batch.visible & (target.norm(dim=1) <= self.loss.landmark_reach)).float()
        parts["landmark_motion"] = (counted * off).sum() / counted.sum().clamp(min=1)
        return {"total": weighted_sum(parts, self.loss), **parts}

    def _annotated(self, batch: LandmarkBatch, step: int) -> Tensor:
        """Draws the samples whose annotation is used, (B,) bool, from the step's number."""
        generator = torch.Generator().manual_seed(step)
        return (torch.rand(len(batch.visible), generator=generator) < self.loss.annotated_share).to(
            batch.visible.device
        )

    def _tracking(self, logits: Tensor, target: Tensor, visible: Tensor, annotated: Tensor) -> dict[str, Tensor]:
        """Returns losses of the confidence map (B, h, w) for landmarks `target` (B, 2) pixels from its middle."""
        loss, size = self.loss, logits.shape[-1]
        places = CELL * (torch.arange(size, device=logits.device) - size // 2)
        squared = (places[None, None, :] - target[:, 0, None, None]).square() + (
            places[None, :, None] - target[:, 1, None, None]
        ).square()
        inside = (target.abs() <= CELL * (size // 2)).all(dim=1)
        seen = (annotated & visible & inside).float()
        gaussian = torch.exp(-0.5 * squared / loss.map_deviation**2)
        if loss.confidence_map == "gaussian":
            each = (torch.sigmoid(logits) - gaussian * (visible & inside)[:, None, None]).square().sum(dim=(1, 2))
        else:
            labels = ((squared <= loss.map_radius**2) & (visible & inside)[:, None, None]).float()
            positives = labels.sum(dim=(1, 2), keepdim=True)
            weights = torch.where(labels > 0, 0.5 / positives.clamp(min=1), 0.5 / (size**2 - positives))
            each = (weights * F.binary_cross_entropy_with_logits(logits, labels, reduction="none")).sum(dim=(1, 2))
        share = gaussian / gaussian.sum(dim=(1, 2), keepdim=True).clamp(min=1e-6)
        entropy = -(share * torch.log_softmax(logits.flatten(1), dim=1).view_as(logits)).sum(dim=(1, 2))
        known = (annotated & (inside | ~visible)).float()
        return {
            "tracking": (known * each).sum() / known.sum().clamp(min=1),
            "entropy": (seen * entropy).sum() / seen.sum().clamp(min=1),
        }

    def _dissimilarity(self, fixed: Tensor, moving: Tensor, displacement: Tensor, inverse: Tensor) -> Tensor:
        """Returns the mean dissimilarity of `fixed` to the warped moving window and of `moving` to the fixed one warped
        back.
        """
        there = warp(moving, to_pixels(displacement))
        back = warp(fixed, to_pixels(inverse))
        if self.loss.similarity == "mse":
            return 0.5 * (mse(fixed, there) + mse(moving, back))
        return 1 - 0.5 * (lncc(fixed, there, self.loss.window) + lncc(moving, back, self.loss.window))

    @torch.no_grad()
    def locate(self, batch: LandmarkBatch) -> Tensor:
        """Returns the peaks of the responses."""
        logits, _ = self.respond(batch)
        shift, _ = find_peak(logits)
        return INSTANCE_SIZE // 2 + CELL * shift * (FIELD_SAMPLE_PX / SAMPLE_PX)

    def respond(self, batch: LandmarkBatch) -> tuple[Tensor, Motion]:
        """Returns the responses and the motions of a batch."""
        first = standardised(batch.first)
        looks = self.network.look(torch.cat((first, standardised(batch.before), standardised(batch.now))))
        first_look, before, now = _thirds(looks)
        decoded = self.network.decode(first_look, before, now)
        logits = self.network.response(self.network.features.early(exemplar_window(first)), decoded, now).float()
        return logits, self.network.motion(decoded, first_look, before, now)

    def configuration(self) -> dict[str, object]:
        """Returns the network's configuration."""
        return {"network": asdict(self.network.config)}


def _thirds(looks: Look) -> list[Look]:
    """Splits the features of three batches that were concatenated."""
    features = zip(*(one.chunk(3) for one in looks.features), strict=True)
    levels = zip(*(one.chunk(3) for one in looks.levels), strict=True)
    return [Look(feature, level) for feature, level in zip(features, levels, strict=True)]


def target_pixels(batch: LandmarkBatch) -> Tensor:
    """Returns the true places of the landmarks (B, 2) in samples of the windows for motion, from their middle."""
    return (batch.target - INSTANCE_SIZE // 2) * (SAMPLE_PX / FIELD_SAMPLE_PX)
