"""The objective of LT-Net: one labelled atlas, images without labels, and supervision by cycles there and back.

Wang et al., CVPR 2020 (arXiv:2003.07072). From its supplement: local cross-correlation with windows of 9 voxels, the
first-order smoothness of Eq. 2 and 3, the adversarial term between images and warped atlases. From its abstract: the
backward correspondence from warped atlas to atlas and cycle supervision. The main paper was not at hand: that the
cycles are one of images, one of transformations and one of anatomies, and their forms (L1, generalised Charbonnier,
Dice), is from descriptions of it, and the weights of the terms are ours. Whoever has the paper gives its weights to
`train ltnet-published --losses`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import compose, warp
from UltrasoundMotionLib.lab.training.data.registration_pairs import RegistrationBatch
from UltrasoundMotionLib.lab.training.objective import Adversary, weighted_sum
from UltrasoundMotionLib.lab.training.objectives.registration import RegistrationObjective
from UltrasoundMotionLib.registration.learned.model_domain import ModelDomain
from UltrasoundMotionLib.registration.methods.ltnet.network import LtNet, LtNetConfig, PatchDiscriminator
from UltrasoundMotionLib.similarity import diffusion, lncc, one_hot, soft_dice

_CHARBONNIER_EPSILON = 1e-3
_CHARBONNIER_EXPONENT = 0.45
"""From UnFlow (Meister et al., AAAI 2018), which LT-Net's supplement cites for forward-backward supervision."""


@dataclass(frozen=True)
class LtNetWeights:
    """The weights of the loss terms, all of them ours (see above); the defaults are those of `label-transfer`.

    Attributes:
        similarity: weight of 1 - LNCC between image and warped atlas.
        window: edge of the LNCC's windows in voxels.
        smoothness: weight of the first-order smoothness of each field.
        squared: the smoothness is the mean squared gradient (VoxelMorph's) instead of the mean length of Eq. 2 and 3.
        adversarial: weight of the generator's adversarial loss.
        image, transformation, anatomy: weights of the three cycles.
        reverse: weight of 1 - LNCC between atlas and image warped onto it (not published). Above 0 the backward field
            is found from the image itself instead of the warped atlas, and the cycles go through it.
        detour: weight of 1 - LNCC between an image and the next one of the batch warped onto it, plus 1 - Dice between
            the atlas's labels brought to the image directly and by way of the next image (not published; Pipitone et
            al., NeuroImage 2014, carry few atlases to many images through images without labels). Needs batches of two
            or more.
    """

    similarity: float = 1.0
    window: int = 9
    smoothness: float = 1.5
    squared: bool = True
    adversarial: float = 0.02
    image: float = 1.0
    transformation: float = 0.1
    anatomy: float = 0.5
    reverse: float = 1.0
    detour: float = 0.0

    def __post_init__(self) -> None:
        numbers = [value for value in asdict(self).values() if not isinstance(value, bool)]
        if min(numbers) < 0 or self.similarity == 0:
            raise InputError(f"ltnet: weights of losses must be 0 or more and similarity above 0, got {asdict(self)}")


PUBLISHED_TERMS = ("similarity", "smoothness", "adversarial", "image", "transformation", "anatomy")
"""The terms of the paper's loss."""


def published_weights(changes: Mapping[str, float] | None = None) -> LtNetWeights:
    """Returns the weights of exactly the paper's terms, with Eq. 2's smoothness and the way back from the warped atlas.

    Args:
        changes: weights by the name of their term, in place of ours.

    Raises:
        InputError: no such term, or a weight that is no weight.
    """
    given: dict[str, Any] = dict(changes or {})
    if unknown := [name for name in given if name not in PUBLISHED_TERMS]:
        raise InputError(f"losses: expected terms among {', '.join(PUBLISHED_TERMS)}, got {unknown[0]!r}")
    return replace(LtNetWeights(smoothness=0.1, squared=False, reverse=0.0, detour=0.0), **given)


class LtNetObjective(RegistrationObjective):
    """Trains `LtNet` and a discriminator. The moving image of every pair is the atlas; only its labels are read.

    Args:
        name: name of the weights.
        network: configuration of the generators.
        weights: weights of the loss terms.
        domain: domain of the images, with the labels that are transferred.
        atlas: name of the subject that moves, for the card.
    """

    architecture = "LtNet"
    task = "brings the labels of one atlas to any image of the same kind, and says how far each can be trusted"
    limits = "Trained with one atlas; an atlas of another appearance or field of view gives less. Not for clinical use."

    def __init__(
        self,
        name: str,
        network: LtNetConfig,
        weights: LtNetWeights,
        *,
        domain: ModelDomain,
        atlas: str,
    ) -> None:
        super().__init__()
        self.name, self.domain, self.atlas = name, domain, atlas
        self.loss_weights = weights
        self.labels: Sequence[int] = tuple(int(value) for value in domain.labels)
        self.network: LtNet = LtNet(network)
        self.discriminator = PatchDiscriminator(network.dimension) if weights.adversarial else None
        self._discriminated: tuple[Tensor, Tensor] | None = None

    def losses(self, batch: RegistrationBatch, step: int) -> dict[str, Tensor]:
        """Computes similarity, smoothness, adversarial loss and cycles; `batch.fixed_labels` is never read."""
        weights, image, atlas = self.loss_weights, batch.fixed, batch.moving
        anatomy = one_hot(batch.moving_labels[:, None], self.labels)
        forth = self.network(image, atlas)
        warped, warped_labels = warp(atlas, forth), warp(anatomy, forth)
        found = {"similarity": 1 - lncc(image, warped, weights.window), "smoothness": self._roughness(forth)}
        if self.discriminator is not None:
            found["adversarial"] = functional.softplus(-self.discriminator(warped).float()).mean()
            self._discriminated = (image.detach(), warped.detach())
        if weights.reverse or weights.image or weights.transformation or weights.anatomy:
            back = self.network.backward_field(atlas, image if weights.reverse else warped)
            found["smoothness"] = found["smoothness"] + self._roughness(back)
            found["image"] = image_cycle(atlas, warped, back)
            found["transformation"] = transformation_cycle(forth, back)
            found["anatomy"] = anatomy_cycle(anatomy, warped_labels, back)
            if weights.reverse:
                found["reverse"] = 1 - lncc(atlas, warp(image, back), weights.window)
        if weights.detour and len(image) > 1:
            between, found["detour"] = self._detour(image, warped_labels)
            found["smoothness"] = found["smoothness"] + self._roughness(between)
        return {**found, "total": weighted_sum(found, weights)}

    def _roughness(self, displacement: Tensor) -> Tensor:
        return (
            diffusion(displacement, reduction="voxelmorph")
            if self.loss_weights.squared
            else mean_gradient_length(displacement)
        )

    def _detour(self, image: Tensor, warped_labels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the fields from each image to the next one of the batch, and their loss: 1 - LNCC of the two images +
        1 - Dice between the labels brought to the image directly and by way of the next.
        """
        other, other_labels = image.roll(1, dims=0), warped_labels.roll(1, dims=0)
        between = self.network(image, other)
        likeness = lncc(image, warp(other, between), self.loss_weights.window)
        return between, 2 - likeness - soft_dice(warped_labels, warp(other_labels, between))

    def adversary(self) -> Adversary | None:
        """Returns the discriminator, if there is one."""
        if self.discriminator is None:
            return None
        return Adversary(list(self.discriminator.parameters()), partial(self._discriminate, self.discriminator))

    def _discriminate(self, discriminator: PatchDiscriminator) -> Tensor:
        """Returns the discriminator's cross-entropy on the last images (real) and warped atlases."""
        assert self._discriminated is not None, "losses come first"
        image, warped = self._discriminated
        real, made = discriminator(image).float(), discriminator(warped).float()
        return functional.softplus(-real).mean() + functional.softplus(made).mean()

    @torch.no_grad()
    def displacement(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """Returns the field of the generator G_F."""
        return self.network(fixed, moving)

    def configuration(self) -> dict[str, object]:
        """Returns generators, domain, atlas and the weights of the losses."""
        return {
            "network": asdict(self.network.config),
            "domain": asdict(self.domain),
            "atlas": self.atlas,
            "losses": asdict(self.loss_weights),
        }


def charbonnier(
    squared_length: Tensor, epsilon: float = _CHARBONNIER_EPSILON, exponent: float = _CHARBONNIER_EXPONENT
) -> Tensor:
    """Returns the generalised Charbonnier penalty (d^2 + epsilon^2)^exponent of squared lengths, elementwise: nearly
    the length, and robust against outliers.
    """
    return (squared_length + epsilon**2) ** exponent


def transformation_cycle(forth: Tensor, back: Tensor) -> Tensor:
    """Returns the mean penalty on the residual back(x) + forth(x + back(x)) from the atlas to the image and back.

    Args:
        forth: (B, n, *spatial), image to atlas voxels, image(x) = atlas(x + forth(x)).
        back: (B, n, *spatial), atlas to image voxels.

    Returns:
        A scalar tensor, differentiable for both.
    """
    return charbonnier(compose(forth, back).square().sum(1)).mean()


def image_cycle(atlas: Tensor, warped: Tensor, back: Tensor) -> Tensor:
    """Returns the mean absolute difference of the atlas (B, 1, *spatial) to itself warped to the image and back."""
    return (atlas - warp(warped, back)).abs().mean()


def anatomy_cycle(labels: Tensor, warped_labels: Tensor, back: Tensor) -> Tensor:
    """Returns 1 - Dice between the atlas's labels (B, L, *spatial), one channel a label, and themselves warped to the
    image and back.
    """
    return 1 - soft_dice(labels, warp(warped_labels, back))


def mean_gradient_length(displacement: Tensor) -> Tensor:
    """Returns Eq. 2 and 3 of LT-Net's supplement: the length of the difference between neighbours, averaged over axes
    and voxels (there: summed over voxels).

    It takes lengths and not their squares as `similarity.diffusion` does, so that a sharp bend costs no more than a
    gentle one of the same extent.
    """
    axes = range(2, displacement.ndim)
    lengths = [charbonnier(displacement.diff(dim=axis).square().sum(1), exponent=0.5).mean() for axis in axes]
    return torch.stack(lengths).mean()
