"""`ltnet-published`: the correspondence from an atlas to an image by LT-Net, and `label-transfer`, which is ours.

`label-transfer`, formerly named `ltnet`, has LT-Net's losses, one velocity generator for both ways, which also learns
from image to atlas, and refines its field for the pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.registration.methods.instance import InstanceSettings
from UltrasoundMotionLib.registration.registry import NETWORK_BYTES, MethodSetup, find_method, registration_method
from UltrasoundMotionLib.settings import from_plain
from UltrasoundMotionLib.weights import NetworkKind

if TYPE_CHECKING:
    from torch import Tensor

    from UltrasoundMotionLib.registration.methods.ltnet.network import LtNet

WEIGHTS = ("ltnet-hippocampus",)
PUBLISHED_WEIGHTS = ("ltnet-published-hippocampus", "ltnet-published-candi")
_REFINEMENT = InstanceSettings(scales=(2, 1), iterations=(30, 40), control_strides=(1, 2))
"""The coarsest scale of `instance` is left out: the network has aligned the images that far."""


def _build_ltnet(configuration: Mapping[str, Any]) -> LtNet:
    """Builds the network of a card's configuration."""
    from UltrasoundMotionLib.registration.methods.ltnet.network import LtNet, LtNetConfig

    return LtNet(from_plain(LtNetConfig, configuration["network"]))


LTNET = NetworkKind("LtNet", _build_ltnet)


@dataclass(frozen=True)
class LtNetSettings:
    """Settings of `label-transfer` and of `ltnet-published`, which does not refine unless told to.

    Attributes:
        model: name of installed weights, or path of a card beside its weights; None takes the installed ones that the
            pair fits.
        backward: take the backward generator: the fixed image is the atlas and the moving one the atlas warped onto an
            image.
        refine: optimise the network's field for the pair, as `instance` does; not in the paper.
        refinement: settings of the optimisation; None: those of `instance` without its coarsest scale.
    """

    model: str | None = None
    backward: bool = False
    refine: bool = True
    refinement: InstanceSettings | None = None


def _published_settings() -> LtNetSettings:
    """Returns the paper's settings: the network's field as it is."""
    return LtNetSettings(refine=False)


@registration_method(
    "label-transfer",
    "labels of one atlas, carried by a network that was trained with no other labels (ours, from LT-Net)",
    rank=2,
    settings=LtNetSettings,
    weights=WEIGHTS,
    networks=(LTNET,),
    refinable=True,
    transfers_labels=True,
    bytes_per_voxel=NETWORK_BYTES,
    use="hippocampi, the labels of an atlas with how far each can be trusted",
    former_names=("ltnet",),
)
def run_label_transfer(setup: MethodSetup) -> Tensor:
    """Returns the displacement (1, n, *spatial) in voxels of the pair's grid.

    Raises:
        InputError: the weights are not there or of another network; images that the model is not for.
    """
    return _run(setup, WEIGHTS)


@registration_method(
    "ltnet-published",
    "LT-Net as published (Wang et al. 2020): separate generators there and back, its field as it is",
    rank=5,
    settings=_published_settings,
    weights=PUBLISHED_WEIGHTS,
    networks=(LTNET,),
    refinable=True,
    transfers_labels=True,
    bytes_per_voxel=NETWORK_BYTES,
    how_to_install="Train them with `ultrasound-motion train ltnet-published` and give their file with --weights.",
    use="comparison with the paper, on images that you have trained it for",
)
def run_ltnet_published(setup: MethodSetup) -> Tensor:
    """Returns the displacement (1, n, *spatial) in voxels of the pair's grid.

    Raises:
        InputError: no weights were given and none are installed; weights of `label-transfer`, which are not the
            paper's; otherwise as `label-transfer`.
    """
    from UltrasoundMotionLib.weights import find_card, read_card

    wanted = setup.weights or setup.settings.model
    find_method("ltnet-published").check_weights(wanted)
    if wanted is not None:
        card = read_card(find_card(wanted))
        network = card.configuration.get("network")
        if isinstance(network, Mapping) and network.get("shared", True):
            raise InputError(f"weights {card.name}: have one generator for both ways; use method='label-transfer'")
    return _run(setup, PUBLISHED_WEIGHTS)


def _run(setup: MethodSetup, names: tuple[str, ...]) -> Tensor:
    from UltrasoundMotionLib.registration.learned.guided_refinement import refined
    from UltrasoundMotionLib.registration.learned.orientation import oriented_network

    settings = setup.settings
    pair, chosen = oriented_network(setup.pair, LTNET, names, setup.weights or settings.model)
    displacement = chosen.displacement(pair, chosen.network.backward_field if settings.backward else None)
    if not settings.refine:
        setup.report(1, 1, "the network's field", lambda: displacement)
        return displacement
    return refined(pair, setup.report, settings=settings.refinement or _REFINEMENT, start=displacement)
