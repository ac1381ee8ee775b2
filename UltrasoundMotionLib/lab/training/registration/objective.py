"""What a registration network is trained by, for the one loop that trains them all."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn import Parameter

from UltrasoundMotionLib.lab.training.registration.batches import RegistrationBatch


class Objective(nn.Module, ABC):
    """Holds the network, or networks, as submodules, and says what is minimised, how it is validated and what is
    shipped.

    Displacements are (B, n, *spatial) in voxels of the images' grid, channels (x, y[, z]), fixed(x) = moving(x + u(x)).

    Attributes:
        name: of the weights, `voxelmorph-hippocampus`.
        architecture: class of the network, for the card.
        task: what it does, in one line, for the card.
        limits: what it was not trained or measured for, for the card.
    """

    name: str
    architecture: str
    task: str = "deformable registration"
    limits: str = ""

    def prepare(self, steps: int) -> None:
        """Told before training how many steps there are; for objectives that divide them."""

    @abstractmethod
    def losses(self, batch: RegistrationBatch, step: int) -> dict[str, Tensor]:
        """Scalars by name, the same names at every step; "total" is what is minimised.

        Runs under autocast where mixed precision is on.
        """

    def adversary_parameters(self) -> list[Parameter]:
        """Of a discriminator, which the trainer steps by itself, with `adversary_loss`; no part of the main optimizer."""
        return []

    def adversary_loss(self) -> Tensor | None:
        """The discriminator's own loss, asked for after the main step, on detached tensors kept from the last `losses`;
        None: there is none.
        """
        return None

    @abstractmethod
    def displacement(self, fixed: Tensor, moving: Tensor) -> Tensor | None:
        """(B, n, *spatial) for images (B, 1, *spatial), without gradients, for validation; None for networks that give
        no field.
        """

    def predicted_labels(self, image: Tensor) -> Tensor | None:
        """(B, *spatial) long for images (B, 1, *spatial), of networks that give class maps; None of others."""
        return None

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """What is shipped, by name."""

    @abstractmethod
    def configuration(self) -> dict[str, object]:
        """For the card, values that JSON has: {"network": {...}, "domain": asdict(domain), ...}."""
