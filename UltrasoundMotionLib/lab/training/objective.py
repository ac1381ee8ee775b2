"""The base class of everything that can be trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from UltrasoundMotionLib.errors import InputError

Batch = TypeVar("Batch")
Case = TypeVar("Case")


def weighted_sum(losses: Mapping[str, Tensor], weights: object) -> Tensor:
    """Returns the sum of the losses, each multiplied by the attribute of `weights` that has its name."""
    return reduce(add, (getattr(weights, name) * value for name, value in losses.items()))


@dataclass(frozen=True, eq=False)
class Adversary:
    """A discriminator, which learns beside the network by an Adam optimizer of its own.

    Attributes:
        parameters: the discriminator's parameters. They are frozen while the network's losses are computed.
        loss: the discriminator's loss, a scalar, on tensors that the last call of `Objective.losses` detached and kept.
        learning_rate: constant.
        betas: decay rates of Adam's moments.
    """

    parameters: Sequence[nn.Parameter]
    loss: Callable[[], Tensor]
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)


class Objective(nn.Module, ABC, Generic[Batch, Case]):
    """A network with the losses that train it and the measure that validates it.

    Attributes:
        name: name of the weights, such as "voxelmorph-hippocampus".
        architecture: class of the network, for the card.
        task: what the network does, in one line, for the card.
        limits: what it was not trained or measured for, for the card.
        network: the network that `weights` ships.
        trains_in_parts: some steps give a part of the parameters no gradient, which several processes must know.
    """

    name: str
    architecture: str
    task: str = ""
    limits: str = ""
    network: nn.Module
    trains_in_parts: bool = False

    def prepare(self, steps: int) -> None:
        """Receives the number of steps before training starts, for objectives that divide them into phases."""

    @abstractmethod
    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Computes scalar losses by name, the same names at every step; "total" is minimised.

        Runs under autocast where mixed precision is on. Random numbers must come from the step's number (or from
        PyTorch's default generator, which the trainer seeds at every step), so that a run can be resumed anywhere.
        """

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Computes `losses`; only "total" keeps its graph, which is what DistributedDataParallel has to see."""
        losses = self.losses(batch, step)
        return {name: value if name == "total" else value.detach() for name, value in losses.items()}

    def adversary(self) -> Adversary | None:
        """Returns the discriminator of an adversarial training, else None."""
        return None

    def validate(self, cases: Sequence[Case]) -> dict[str, float]:
        """Measures the network on held-out cases; called in evaluation mode without gradients.

        Returns:
            Figures by name; the unit ends the name ("_px", "_percent").
        """
        return {}

    def weights(self) -> dict[str, Tensor]:
        """Returns the tensors that are shipped, by name."""
        return dict(self.network.state_dict())

    @abstractmethod
    def configuration(self) -> dict[str, object]:
        """Returns the card's configuration, from which the network is built again; values that JSON has."""

    def start_from(self, tensors: Mapping[str, Tensor]) -> None:
        """Copies trained weights into the network: those whose name and shape are the network's.

        Raises:
            InputError: no name and shape is the network's.
        """
        held = self.network.state_dict()
        alike = {name: value for name, value in tensors.items() if name in held and held[name].shape == value.shape}
        if not alike:
            raise InputError(f"none of the {len(tensors)} weights to start from is of the network {self.architecture}")
        self.network.load_state_dict({**held, **alike})

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return next(self.parameters()).device
