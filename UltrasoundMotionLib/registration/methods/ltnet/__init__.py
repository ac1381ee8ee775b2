"""`ltnet`: the correspondence from an atlas to an image by LT-Net, refined for the pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.registration.methods.instance import InstanceSettings
from UltrasoundMotionLib.registration.registry import MethodSetup, registration_method
from UltrasoundMotionLib.settings import from_plain
from UltrasoundMotionLib.weights import NetworkKind

if TYPE_CHECKING:
    from torch import Tensor

    from UltrasoundMotionLib.registration.methods.ltnet.network import LtNet

WEIGHTS = ("ltnet-hippocampus",)
NETWORK_BYTES = 1000
_REFINEMENT = InstanceSettings(scales=(2, 1), iterations=(30, 40), control_strides=(1, 2))
"""The coarsest scale of `instance` is left out: the network has aligned the images that far."""


def _build_ltnet(configuration: Mapping[str, Any]) -> LtNet:
    """Builds the network of a card's configuration."""
    from UltrasoundMotionLib.registration.methods.ltnet.network import LtNet, LtNetConfig

    return LtNet(from_plain(LtNetConfig, configuration["network"]))


LTNET = NetworkKind("LtNet", _build_ltnet)


@dataclass(frozen=True)
class LtNetSettings:
    """Settings of `ltnet`.

    Attributes:
        model: name of installed weights, or path of a card beside its weights; None takes the installed ones that the
            pair fits.
        backward: take the backward generator: the fixed image is the atlas and the moving one the atlas warped onto an
            image.
        refine: optimise the network's field for the pair, as `instance` does (not published).
        refinement: settings of the optimisation; None: those of `instance` without its coarsest scale.
    """

    model: str | None = None
    backward: bool = False
    refine: bool = True
    refinement: InstanceSettings | None = None


@registration_method(
    "ltnet",
    "LT-Net: labels of one atlas, carried by a network that was trained with no other labels",
    rank=2,
    settings=LtNetSettings,
    weights=WEIGHTS,
    networks=(LTNET,),
    refinable=True,
    transfers_labels=True,
    bytes_per_voxel=NETWORK_BYTES,
    use="hippocampi, the labels of an atlas with how far each can be trusted",
)
def run_ltnet(setup: MethodSetup) -> Tensor:
    """Returns the displacement (1, n, *spatial) in voxels of the pair's grid.

    Raises:
        InputError: the weights are not there or of another network; images that the model is not for.
    """
    from UltrasoundMotionLib.registration.learned.anatomy_weights import ANATOMY, ANATOMY_WEIGHTS
    from UltrasoundMotionLib.registration.learned.guided_refinement import refined
    from UltrasoundMotionLib.registration.learned.network_choice import network_for
    from UltrasoundMotionLib.registration.learned.orientation import oriented

    pair, settings = setup.pair, setup.settings
    chosen = network_for(pair, LTNET, WEIGHTS, setup.weights or settings.model)
    pair = oriented(pair, chosen.domain, ANATOMY, ANATOMY_WEIGHTS)
    displacement = chosen.displacement(pair, chosen.network.backward_field if settings.backward else None)
    if not settings.refine:
        setup.report(1, 1, "the network's field", lambda: displacement)
        return displacement
    return refined(pair, setup.report, settings=settings.refinement or _REFINEMENT, start=displacement)
