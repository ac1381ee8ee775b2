"""What a landmark network is trained by, for the one loop that trains them all."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.landmarks.landmark_batches import LandmarkBatch


class LandmarkObjective(nn.Module, ABC):
    """Holds the network, or networks, as submodules.

    Attributes:
        name: of the weights, `siamfc`.
        architecture: class of the network, for the card.
        motion_windows: whether batches need `first`, `before` and `now`.
        largest_size: of the search windows' drawn scale, see `LandmarkBatchConfig`.
    """

    name: str
    architecture: str
    motion_windows: bool = False
    largest_size: float = 1.0

    @abstractmethod
    def losses(self, batch: LandmarkBatch, step: int) -> dict[str, Tensor]:
        """Scalars by name; "total" is what is minimised."""

    @abstractmethod
    def locate(self, batch: LandmarkBatch) -> Tensor:
        """(B, 2) where the landmarks are found in the search windows, in their samples, without gradients; for
        validation.
        """

    def start_from(self, tensors: dict[str, Tensor]) -> None:
        """Takes up trained weights of this network, or of another one as far as they are alike.

        Raises:
            InputError: nothing is alike.
        """
        network = getattr(self, "network", self)
        held = network.state_dict()
        alike = {name: value for name, value in tensors.items() if name in held and held[name].shape == value.shape}
        if not alike:
            raise InputError(f"none of the {len(tensors)} weights to start from is of the network {self.architecture}")
        network.load_state_dict({**held, **alike})

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """What is shipped, by name."""

    @abstractmethod
    def configuration(self) -> dict[str, object]:
        """The network's configuration, for the card; values that JSON has."""
