"""The objective of two-step semantically guided registration: Eqs. 1 to 4 of Ha et al., Sensors 2020."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import resample_displacement, smooth_by_pooling, warp
from UltrasoundMotionLib.lab.training.data.registration_pairs import RegistrationBatch
from UltrasoundMotionLib.lab.training.objectives.registration import RegistrationObjective
from UltrasoundMotionLib.registration.learned.model_domain import ModelDomain, normalise
from UltrasoundMotionLib.registration.methods.semantic.correlation_flow import CorrelationFlow
from UltrasoundMotionLib.registration.methods.semantic.two_step import (
    TwoStepNetwork,
    predict_two_step,
    two_step_network,
)
from UltrasoundMotionLib.registration.methods.semantic.two_step_config import TwoStepConfig
from UltrasoundMotionLib.similarity import one_hot

_SMOOTHING_PASSES = 2
_WINDOW_MARGIN = (6, 40)
"""Least and largest margin in voxels of the box around the labels that is kept."""


@dataclass(frozen=True)
class SemanticLoss:
    """The weights of Eq. 4 and the part of the images that the losses are computed on.

    Attributes:
        semantic: lambda_s; 0 trains without guidance.
        regular: lambda_r.
        smoothing: edge of the two average poolings that make V_smooth of Eq. 3, in voxels of the loss's grid: 5 for
            faces, 3 for cardiac images.
        full_resolution: labels are warped and compared at the images' resolution, as in the paper; False: at half of
            it, where the features and fields are, with the share of every class in the voxels that one covers. That is
            an eighth of the work in 3D.
        pretraining: fraction of the steps for the semantic loss alone, after which the features are frozen
            ("pre-trained U-Net" of Sec. 3.1).
        windowed: fraction of the steps in which images are empty outside of a random box around the labels (all of the
            slices' axis), as pairs are that `register` has cropped to the part that changes.
        crop: size (D, H, W) of the random part of the images that a step sees, which makes training cheaper; None: all.
    """

    semantic: float = 1.0
    regular: float = 0.001
    smoothing: int = 3
    full_resolution: bool = False
    pretraining: float = 0.0
    windowed: float = 0.0
    crop: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if (
            min(self.semantic, self.regular) < 0
            or not 0 <= self.pretraining < 1
            or not 0 <= self.windowed <= 1
            or self.smoothing % 2 == 0
        ):
            raise InputError(
                "semantic loss: weights must be 0 or more, fractions between 0 and 1 and smoothing an odd number, "
                f"got {self}"
            )


def label_weights(counts: Tensor) -> Tensor:
    """Returns (classes,) square roots of the inverse frequencies, divided by their mean; a class without voxels counts
    as if it had one.
    """
    weights = counts.clamp(min=1).double().rsqrt()
    return (weights / weights.mean()).float()


def semantic_loss(scores: Tensor, shares: Tensor, weights: Tensor) -> Tensor:
    """Returns Eq. 1, the weighted cross-entropy of class scores with the classes' true shares, both (B, classes,
    *spatial).

    Eq. 1 is a sum; here it is divided by the sum of the weights, as in the authors' code, so that it does not grow with
    the image.
    """
    weighted = shares * weights.view(1, -1, *[1] * (scores.ndim - 2))
    return -(weighted * functional.log_softmax(scores.float(), dim=1)).sum() / weighted.sum()


def deformation_loss(fixed_shares: Tensor, warped_shares: Tensor, weights: Tensor) -> Tensor:
    """Returns Eq. 2: the weighted mean absolute difference of the fixed and the warped moving shares (B, classes,
    *spatial).

    The mean is over classes as printed, and over voxels and pairs; the background is a class.
    """
    return ((fixed_shares - warped_shares).abs() * weights.view(1, -1, *[1] * (fixed_shares.ndim - 2))).mean()


def regular_loss(displacement: Tensor, smoothing: int) -> Tensor:
    """Returns Eq. 3, ||V - V_smooth||_2 of a displacement (B, n, *spatial) in voxels, averaged over the pairs.

    The norm is over voxels and components and not a mean, so that it grows with the root of their number, as printed.
    Displacements are in units of half the image (the coordinates of the authors' code), to which lambda_r belongs.
    V_smooth is the displacement after two average poolings.
    """
    half = displacement.new_tensor([size / 2 for size in reversed(displacement.shape[2:])]).view(
        1, -1, *[1] * (displacement.ndim - 2)
    )
    field = displacement / half
    rough = field - smooth_by_pooling(field, smoothing, passes=_SMOOTHING_PASSES)
    return torch.linalg.vector_norm(rough.flatten(1), dim=1).mean()


class SemanticObjective(RegistrationObjective):
    """Trains features and registration networks together.

    Class frequencies are counted over the training batches as they come (a buffer, so that a run resumes with them);
    the authors count them over the training set beforehand.

    Args:
        config: configuration of the network.
        loss: weights of the losses.
        name: name of the weights.
        domain: domain of the images.
        variant: name of the row of Table 1, for the card.
        seed: seed of crops and windows; None: the seed of PyTorch's default generator, from which the weights were
            drawn.
    """

    architecture = "TwoStepNetwork"
    trains_in_parts = True
    class_counts: Tensor
    task = "semantically guided two-step registration (Ha et al., Sensors 2020)"
    limits = "Images like those it was trained on and on its domain's grid only. Convolutions are kept in float16."

    def __init__(
        self,
        config: TwoStepConfig,
        loss: SemanticLoss,
        *,
        name: str,
        domain: ModelDomain,
        variant: str = "published",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.network: TwoStepNetwork | CorrelationFlow = two_step_network(config)
        self.name, self.loss, self.domain, self._variant = name, loss, domain, variant
        self._seed = torch.initial_seed() if seed is None else seed
        self.architecture = type(self.network).__name__
        self._pretraining_steps = 0
        self.register_buffer("class_counts", torch.zeros(config.unet.classes, dtype=torch.float64))

    def prepare(self, steps: int) -> None:
        """Computes the number of steps for the features alone."""
        self._pretraining_steps = round(self.loss.pretraining * steps)

    def losses(self, batch: RegistrationBatch, step: int) -> dict[str, Tensor]:
        """Computes Eq. 4 and its three parts."""
        self.class_counts += self._count(batch)
        random = np.random.default_rng([self._seed, step])
        if random.random() < self.loss.windowed:
            batch = windowed(batch, random)
        batch = replace(batch, fixed=normalise(batch.fixed), moving=normalise(batch.moving))
        if self.loss.crop is not None:
            batch = cropped(batch, self.loss.crop, random)
        weights = label_weights(self.class_counts)
        shares = one_hot(torch.cat([batch.fixed_labels, batch.moving_labels])[:, None], range(len(weights)))
        half_shares = (functional.avg_pool2d if shares.ndim == 4 else functional.avg_pool3d)(shares, 2, ceil_mode=True)
        scores = self._scores(batch, step)
        zero = shares.new_zeros(())
        semantic = zero
        if scores is not None and self.loss.semantic > 0:
            semantic = semantic_loss(torch.cat(scores), half_shares, weights)
        if step < self._pretraining_steps:
            return {"total": semantic, "semantic": semantic.detach(), "deformation": zero, "regular": zero}
        if scores is not None and isinstance(self.network, TwoStepNetwork):
            found = self.network.register(*scores)
        else:
            found = self.network(batch.fixed, batch.moving).displacement
        compared = shares if self.loss.full_resolution else half_shares
        field = resample_displacement(found.float(), tuple(compared.shape[2:]))
        fixed_shares, moving_shares = compared.chunk(2)
        deformation = deformation_loss(fixed_shares, warp(moving_shares, field), weights)
        regular = regular_loss(field, self.loss.smoothing)
        total = self.loss.semantic * semantic + deformation + self.loss.regular * regular
        return {
            "total": total,
            "semantic": semantic.detach(),
            "deformation": deformation.detach(),
            "regular": regular.detach(),
        }

    def displacement(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """Returns the network's displacement."""
        return predict_two_step(self.network, fixed, moving)

    def predicted_labels(self, image: Tensor, other: Tensor) -> Tensor | None:
        """Returns the likeliest class of every voxel, from scores at the image's resolution; None without semantic
        guidance.
        """
        if not isinstance(self.network, TwoStepNetwork) or self.loss.semantic == 0:
            return None
        mode = "bilinear" if image.ndim == 4 else "trilinear"
        with torch.no_grad():
            return functional.interpolate(
                self.network.unet(normalise(image)).float(), size=image.shape[2:], mode=mode, align_corners=False
            ).argmax(1)

    def weights(self) -> dict[str, Tensor]:
        """Returns the network's tensors, those of convolutions in float16, which halves the file."""
        return {name: value.half() if value.ndim > 2 else value for name, value in self.network.state_dict().items()}

    def configuration(self) -> dict[str, object]:
        """Returns network, domain, variant and loss, from which the network is built."""
        return {
            "network": asdict(self.network.config),
            "domain": asdict(self.domain),
            "variant": self._variant,
            "loss": asdict(self.loss),
        }

    def _scores(self, batch: RegistrationBatch, step: int) -> tuple[Tensor, Tensor] | None:
        """Returns the class scores of the fixed and of the moving images; None from a network without classes."""
        if not isinstance(self.network, TwoStepNetwork):
            return None
        images = torch.cat([batch.fixed, batch.moving])
        if 0 < self._pretraining_steps <= step:
            self.network.unet.eval()
            with torch.no_grad():
                return self.network.unet(images).chunk(2)
        return self.network.unet(images).chunk(2)

    def _count(self, batch: RegistrationBatch) -> Tensor:
        """Returns the number of voxels of every class, (classes,).

        Raises:
            InputError: a label is not a class.
        """
        counts = torch.bincount(
            torch.cat([batch.fixed_labels.flatten(), batch.moving_labels.flatten()]), minlength=len(self.class_counts)
        )
        if len(counts) > len(self.class_counts):
            raise InputError(
                f"labels: {len(counts) - 1} is none of the {len(self.class_counts)} classes of {self.name}, "
                "which count from 0"
            )
        return counts.to(self.class_counts)


def cropped(batch: RegistrationBatch, size: tuple[int, ...], random: np.random.Generator) -> RegistrationBatch:
    """Returns the same random part of all images of a batch; axes that are no longer than `size` stay whole."""
    spatial = batch.fixed.shape[2:]
    if len(size) != len(spatial):
        raise InputError(f"crop: expected {len(spatial)} sizes, got {size}")
    first = [int(random.integers(max(have - want, 0) + 1)) for have, want in zip(spatial, size, strict=True)]
    parts = [slice(start, start + want) for start, want in zip(first, size, strict=True)]
    where: Any = (..., *parts)
    return RegistrationBatch(
        batch.fixed[where], batch.moving[where], batch.fixed_labels[where], batch.moving_labels[where]
    )


def windowed(batch: RegistrationBatch, random: np.random.Generator) -> RegistrationBatch:
    """Returns a batch whose images keep their values in one random box around all labels and have their lowest value
    elsewhere; the box takes all of the first of 3 axes.
    """
    labelled = ((batch.fixed_labels > 0) | (batch.moving_labels > 0)).any(0)
    inside = torch.ones_like(labelled)
    for axis in range(labelled.ndim - 2, labelled.ndim):
        others = [other for other in range(labelled.ndim) if other != axis]
        present = labelled.sum(others).nonzero()[:, 0].tolist()
        if not present:
            return batch
        before, after = random.integers(*_WINDOW_MARGIN, 2).tolist()
        line = torch.arange(labelled.shape[axis], device=labelled.device).view(
            [-1 if other == axis else 1 for other in range(labelled.ndim)]
        )
        inside &= (line >= present[0] - before) & (line <= present[-1] + after)

    def kept(image: Tensor) -> Tensor:
        lowest = image.flatten(1).amin(1).view(-1, *[1] * (image.ndim - 1))
        return torch.where(inside, image, lowest)

    return replace(batch, fixed=kept(batch.fixed), moving=kept(batch.moving))
