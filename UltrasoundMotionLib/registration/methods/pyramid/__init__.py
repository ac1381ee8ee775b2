"""`pyramid`: a network that predicts a velocity field from coarse to fine, refined for the pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.registration.methods.instance import InstanceSettings
from UltrasoundMotionLib.registration.registry import (
    NETWORK_BYTES,
    NETWORK_FINEST_MM,
    MethodSetup,
    find_method,
    registration_method,
)
from UltrasoundMotionLib.settings import from_plain
from UltrasoundMotionLib.weights import NetworkKind

if TYPE_CHECKING:
    from torch import Tensor

    from UltrasoundMotionLib.registration.methods.pyramid.network import PyramidNetwork

WEIGHTS = ("pyramid-cardiac", "pyramid-hippocampus")


def _build_pyramid(configuration: Mapping[str, Any]) -> PyramidNetwork:
    """Builds the network of a card's configuration."""
    from UltrasoundMotionLib.registration.methods.pyramid.network import PyramidConfig, PyramidNetwork

    return PyramidNetwork(from_plain(PyramidConfig, configuration["network"]))


PYRAMID = NetworkKind("PyramidNetwork", _build_pyramid)


@dataclass(frozen=True)
class PyramidSettings:
    """Settings of `pyramid`.

    Attributes:
        model: name of installed weights, or path of a card beside its weights; None takes those that fit the pair.
        refine: optimise the field for the pair, from the network's; False is the plain network.
        guided: the refinement is guided by the class maps that the network gives for both images.
        refinement: settings of the optimisation; None: those of `refinement_settings`.
    """

    model: str | None = None
    refine: bool = True
    guided: bool = True
    refinement: InstanceSettings | None = None


@registration_method(
    "pyramid",
    "network trained with labels: a symmetric velocity field from coarse to fine, then refined",
    rank=4,
    settings=PyramidSettings,
    weights=WEIGHTS,
    networks=(PYRAMID,),
    refinable=True,
    guided_by_labels=True,
    bytes_per_voxel=NETWORK_BYTES,
    finest_mm=NETWORK_FINEST_MM,
    how_to_install="Train them with `ultrasound-motion train pyramid` and give their file with --weights.",
    use="heart MRI and hippocampi by one small network; its field alone without refinement",
)
def run_pyramid(setup: MethodSetup) -> Tensor:
    """Returns the displacement (1, n, *spatial) in voxels of the pair's grid.

    Raises:
        InputError: the weights are not there or of another network; images that no model is for.
    """
    from UltrasoundMotionLib.registration.learned.anatomy_maps import with_known_part
    from UltrasoundMotionLib.registration.learned.guided_refinement import refined
    from UltrasoundMotionLib.registration.learned.orientation import oriented_network
    from UltrasoundMotionLib.registration.methods.pyramid.prediction import predict_pyramid

    settings = setup.settings
    wanted = setup.weights or settings.model
    find_method("pyramid").check_weights(wanted)
    pair, chosen = oriented_network(setup.pair, PYRAMID, WEIGHTS, wanted)
    displacement, maps = predict_pyramid(pair, chosen)
    setup.keep_maps(with_known_part(pair, chosen, maps))
    setup.report(1, 1, f"network {chosen.name}", lambda: displacement)
    if pair.guides is not None:
        if not (settings.refine and settings.guided):
            raise InputError("guide_labels: pyramid is guided in its refinement only; leave out refine=False")
        maps = pair.guides.replace_maps(maps, chosen.domain.labels)
    if not settings.refine:
        return displacement
    return refined(
        pair,
        setup.report,
        settings=settings.refinement,
        start=displacement,
        maps=maps if settings.guided else None,
    )
