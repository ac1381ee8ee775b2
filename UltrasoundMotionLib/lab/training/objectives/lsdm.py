"""The objective of LSDM: the landmark's confidence map, the likeness of the registered frames, and the prior of the
velocities (Eqs. 1, 3, 4 and 6).

Supervision is weak: the only annotation is the landmark's place in x_0 and x_t. Motion is learnt from the images, and
from the response through the exemplar that it warps and the prior that it gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.data.landmark_sources import LandmarkSource
from UltrasoundMotionLib.lab.training.data.lsdm_batches import LsdmBatch, LsdmBatches
from UltrasoundMotionLib.lab.training.data.triple_batches import LandmarkBatchSettings
from UltrasoundMotionLib.lab.training.objective import weighted_sum
from UltrasoundMotionLib.lab.training.objectives.landmarks import LandmarkObjective
from UltrasoundMotionLib.similarity.intensity import mse
from UltrasoundMotionLib.similarity.smoothness import diffusion
from UltrasoundMotionLib.tracking.trackers.lsdm.motion import Motion, to_pixels, warped
from UltrasoundMotionLib.tracking.trackers.lsdm.network import Lsdm, LsdmConfig
from UltrasoundMotionLib.tracking.trackers.lsdm.tracking_branch import RESPONSE, SAMPLE, STRIDE
from UltrasoundMotionLib.tracking.trackers.siamese.peak import map_peaks, upsampled

_CONFIDENCE_MAPS = ("gaussian", "logistic")
_UPSAMPLING = 8


@dataclass(frozen=True)
class LsdmLoss:
    """The losses and their weights.

    The authors' code weighs tracking 1.5, both differences 0.2, both gradients 1, for grey values whose unit it does
    not show. With a noise of 0.45, which is what is left between registered frames, that is `PUBLISHED_LOSS`; the
    default counts differences and gradients nine times as much beside tracking.

    Attributes:
        confidence_map: "gaussian", the Gaussian around the landmark of Eq. 1, as the cross-entropy of the response as a
            distribution over places (Eq. 2) and as the balanced logistic loss of each place; "logistic", the authors'
            code: the balanced logistic loss, with labels of 1 up to a block distance.
        map_deviation / map_radius: of the Gaussian, and the block distance, in cells of the response.
        tracking: weight of the confidence map's loss; 0 leaves tracking out, for motion alone.
        long / short: weight of the mean squared difference of x_0 o phi_l and x_{t-dt}, and of x_{t-dt} o phi_s and
            x_t, over twice the noise's variance (Eq. 6).
        noise: standard deviation of Eq. 6, of frames of `motion_frames`.
        long_gradient / short_gradient: weight of the velocities' squared gradient, the Gaussian prior of Eq. 4 with
            the graph Laplacian as its precision.

    Raises:
        InputError: an unknown confidence map, a noise of 0.
    """

    confidence_map: str = "gaussian"
    map_deviation: float = 1.0
    map_radius: float = 8.0
    tracking: float = 1.5
    long: float = 0.2
    short: float = 0.2
    noise: float = 0.15
    long_gradient: float = 9.0
    short_gradient: float = 9.0

    def __post_init__(self) -> None:
        if self.confidence_map not in _CONFIDENCE_MAPS:
            raise InputError(f"confidence_map must be one of {', '.join(_CONFIDENCE_MAPS)}, got {self.confidence_map}")
        if not self.noise > 0:
            raise InputError(f"noise must be above 0, got {self.noise}")


PUBLISHED_LOSS = LsdmLoss(confidence_map="logistic", noise=0.45, long_gradient=1.0, short_gradient=1.0)
MOTION_LOSS = LsdmLoss(tracking=0.0)


class LsdmObjective(LandmarkObjective[LsdmBatch]):
    """Trains `Lsdm`."""

    name = "lsdm"
    architecture = "Lsdm"

    def __init__(self, config: LsdmConfig | None = None, loss: LsdmLoss | None = None) -> None:
        super().__init__()
        self.network: Lsdm = Lsdm(config)
        self.loss = loss or LsdmLoss()

    def batches(self, sources: Sequence[LandmarkSource], settings: LandmarkBatchSettings, seed: int) -> LsdmBatches:
        """Returns the batches to learn from."""
        return LsdmBatches(sources, settings, seed)

    def losses(self, batch: LsdmBatch, step: int) -> dict[str, Tensor]:
        """Computes "total" and, unweighted, "long", "short", "long_gradient", "short_gradient" and "tracking"."""
        motion = self.network.motion(batch.frames)
        first, before, now = batch.frames.split(1, dim=1)
        parts = {
            "long": self._difference(first, before, motion.long_backward),
            "short": self._difference(before, now, motion.short_backward),
            "long_gradient": diffusion(motion.long.float()),
            "short_gradient": diffusion(motion.short.float()),
        }
        if self.loss.tracking > 0:
            logits = self.network.response(motion, batch.landmarks)[:, 0].float()
            parts["tracking"] = self._tracking(logits, batch)
        return {"total": weighted_sum(parts, self.loss), **parts}

    def respond(self, batch: LsdmBatch) -> tuple[Motion, Tensor]:
        """Returns the motions and the responses (N, 33, 33) of a batch."""
        motion = self.network.motion(batch.frames)
        return motion, self.network.response(motion, batch.landmarks)[:, 0].float()

    def _difference(self, moving: Tensor, fixed: Tensor, displacement: Tensor) -> Tensor:
        registered = warped(moving, to_pixels(displacement))
        return mse(fixed, registered) / (2 * self.loss.noise**2)

    def _tracking(self, logits: Tensor, batch: LsdmBatch) -> Tensor:
        """Returns the loss of confidence maps (N, 33, 33); a landmark that is hidden or beyond the map has none."""
        loss, size = self.loss, RESPONSE
        cells = torch.arange(size, device=logits.device) - size // 2
        x = cells[None, None, :] - (batch.target[:, 0] / STRIDE)[:, None, None]
        y = cells[None, :, None] - (batch.target[:, 1] / STRIDE)[:, None, None]
        inside = (batch.target.abs() <= STRIDE * (size // 2)).all(dim=1)
        seen = (batch.visible & inside).float()[:, None, None]
        if loss.confidence_map == "gaussian":
            labels = torch.exp(-0.5 * (x.square() + y.square()) / loss.map_deviation**2) * seen
        else:
            labels = (x.abs() + y.abs() <= loss.map_radius).float() * seen
        positive = labels / labels.sum(dim=(1, 2), keepdim=True).clamp(min=1e-6)
        negative = (1 - labels) / (1 - labels).sum(dim=(1, 2), keepdim=True)
        each = 0.5 * (positive * F.softplus(-logits) + negative * F.softplus(logits)).sum(dim=(1, 2))
        if loss.confidence_map == "gaussian":
            each = each - (positive * torch.log_softmax(logits.flatten(1), dim=1).view_as(logits)).sum(dim=(1, 2))
        known = (inside | ~batch.visible).float()
        return (known * each).sum() / known.sum().clamp(min=1)

    @torch.no_grad()
    def errors(self, batch: LsdmBatch) -> Tensor:
        """Returns the distances from the true places: of the responses' peaks, or of the places where motion brings the
        landmarks when motion is trained alone.
        """
        if self.loss.tracking == 0:
            return self.motion_errors(batch)[0]
        _, logits = self.respond(batch)
        places = map_peaks(upsampled(logits, _UPSAMPLING)).places / _UPSAMPLING - RESPONSE // 2
        return torch.linalg.norm(STRIDE * places - batch.target, dim=1) * (2 * SAMPLE)

    @torch.no_grad()
    def motion_errors(self, batch: LsdmBatch) -> tuple[Tensor, Tensor]:
        """Returns how far, in pixels at 256 x 256, motion's places of the landmarks are from the true ones (N,), and
        how far the landmarks moved.
        """
        motion = self.network.motion(batch.frames).of_landmarks(batch.landmarks.frames)
        truth = batch.landmarks.middles + SAMPLE * batch.target
        found = motion.place_now(batch.landmarks.start)
        return 2 * (found - truth).norm(dim=1), 2 * (batch.landmarks.start - truth).norm(dim=1)

    def configuration(self) -> dict[str, object]:
        """Returns the network's configuration."""
        return {"network": asdict(self.network.config)}
