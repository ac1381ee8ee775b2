"""LT-Net's objective: one labelled atlas, images without labels, and what going there and back must give back.

Wang et al., CVPR 2020 (arXiv:2003.07072). From its supplement: local cross-correlation with windows of 9 voxels, the
first-order smoothness of Eq. 2 and 3, the adversarial term between images and warped atlases. From its abstract: the
backward correspondence from warped atlas to atlas and cycle supervision. That the cycles are one of images (L1), one of
transformations (generalised Charbonnier) and one of anatomies (Dice) is what the task that this was written for says of
the main paper, which was not at hand; nor were its weights of the terms: those here are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import Parameter, functional

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import warp
from UltrasoundMotionLib.lab.training.registration.batches import RegistrationBatch
from UltrasoundMotionLib.lab.training.registration.objective import Objective
from UltrasoundMotionLib.lab.training.registration.reversibility import (
    anatomy_cycle,
    image_cycle,
    mean_gradient_length,
    transformation_cycle,
)
from UltrasoundMotionLib.registration.learned.model_domain import ModelDomain
from UltrasoundMotionLib.registration.methods.ltnet.network import LtNet, LtNetConfig, PatchDiscriminator
from UltrasoundMotionLib.similarity import diffusion, lncc, one_hot, soft_dice


@dataclass(frozen=True)
class LtNetWeights:
    """What the terms count. All weights are ours (see above).

    Attributes:
        similarity: of 1 - LNCC between image and warped atlas.
        window: edge of its windows in voxels.
        smoothness: of the first-order smoothness of each field.
        squared: the smoothness is the mean squared gradient (VoxelMorph's), rather than the mean length of Eq. 2 and 3.
        adversarial: of the generator's part of the adversarial game.
        image, transformation, anatomy: of the three cycles.
        reverse: of 1 - LNCC between atlas and image warped onto it (not published). Above 0 the backward field is found
            from the image itself rather than from the warped atlas, and the cycles go through it.
        detour: of 1 - LNCC between an image and the next one of the batch warped onto it, and of 1 - Dice between the
            atlas's labels brought to the image and those brought there by way of the next (not published; Pipitone et
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


class LtNetObjective(Objective):
    """The generators and the discriminator. The moving image of every pair is the atlas, and only its labels are read.

    Args:
        name: of the weights.
        network: what the generators are made of.
        weights: of the terms.
        domain: what the images are, with the labels that are carried.
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
        self.network = LtNet(network)
        self.discriminator = PatchDiscriminator(network.dimension) if weights.adversarial else None
        self._verdicts_wanted: tuple[Tensor, Tensor] | None = None

    def losses(self, batch: RegistrationBatch, step: int) -> dict[str, Tensor]:
        """Similarity, smoothness, adversary and cycles; see `LtNetWeights`. `batch.fixed_labels` is never read."""
        weights, image, atlas = self.loss_weights, batch.fixed, batch.moving
        anatomy = one_hot(batch.moving_labels[:, None], self.labels)
        forth = self.network(image, atlas)
        warped, carried = warp(atlas, forth), warp(anatomy, forth)
        found = {"similarity": 1 - lncc(image, warped, weights.window), "smoothness": self._roughness(forth)}
        if self.discriminator is not None:
            found["adversarial"] = functional.softplus(-self.discriminator(warped).float()).mean()
            self._verdicts_wanted = (image.detach(), warped.detach())
        if weights.reverse or weights.image or weights.transformation or weights.anatomy:
            back = self.network.backward_field(atlas, image if weights.reverse else warped)
            found["smoothness"] = found["smoothness"] + self._roughness(back)
            found["image"] = image_cycle(atlas, warped, back)
            found["transformation"] = transformation_cycle(forth, back)
            found["anatomy"] = anatomy_cycle(anatomy, carried, back)
            if weights.reverse:
                found["reverse"] = 1 - lncc(atlas, warp(image, back), weights.window)
        if weights.detour and len(image) > 1:
            between, found["detour"] = self._detour(image, carried)
            found["smoothness"] = found["smoothness"] + self._roughness(between)
        total = sum(getattr(weights, name) * value for name, value in found.items())
        return {**found, "total": total}

    def _roughness(self, displacement: Tensor) -> Tensor:
        return (
            diffusion(displacement, reduction="voxelmorph")
            if self.loss_weights.squared
            else mean_gradient_length(displacement)
        )

    def _detour(self, image: Tensor, carried: Tensor) -> tuple[Tensor, Tensor]:
        """The field from each image to the next one of the batch, and its loss: 1 - LNCC of the two + 1 - Dice between
        the labels brought to the image and those brought to the next and from there to it."""
        other, other_labels = image.roll(1, dims=0), carried.roll(1, dims=0)
        between = self.network(image, other)
        likeness = lncc(image, warp(other, between), self.loss_weights.window)
        return between, 2 - likeness - soft_dice(carried, warp(other_labels, between))

    def adversary_parameters(self) -> list[Parameter]:
        """The discriminator's."""
        return [] if self.discriminator is None else list(self.discriminator.parameters())

    def adversary_loss(self) -> Tensor | None:
        """The discriminator's cross-entropy on the last images (real) and warped atlases."""
        if self.discriminator is None or self._verdicts_wanted is None:
            return None
        image, warped = self._verdicts_wanted
        real, made = self.discriminator(image).float(), self.discriminator(warped).float()
        return functional.softplus(-real).mean() + functional.softplus(made).mean()

    @torch.no_grad()
    def displacement(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """G_F's field."""
        return self.network(fixed, moving)

    def weights(self) -> dict[str, Tensor]:
        """The generators'; the discriminator is not shipped."""
        return dict(self.network.state_dict())

    def configuration(self) -> dict[str, object]:
        """Networks, domain, atlas and the weights of the losses."""
        return {
            "network": asdict(self.network.config),
            "domain": asdict(self.domain),
            "atlas": self.atlas,
            "losses": asdict(self.loss_weights),
        }
