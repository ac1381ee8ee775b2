"""`voxelmorph`: the displacement by one pass of VoxelMorph, the plain learned baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.registration.methods.instance import InstanceSettings
from UltrasoundMotionLib.registration.registry import (
    NETWORK_BYTES,
    NETWORK_FINEST_MM,
    MethodSetup,
    registration_method,
)
from UltrasoundMotionLib.settings import from_plain
from UltrasoundMotionLib.weights import NetworkKind

if TYPE_CHECKING:
    from torch import Tensor

    from UltrasoundMotionLib.registration.methods.voxelmorph.network import VoxelMorph

WEIGHTS = ("voxelmorph-cardiac", "voxelmorph-labels-hippocampus", "voxelmorph-hippocampus")
"""The first that is installed and fits a pair is taken; the last is installed with the library."""


def _build_voxelmorph(configuration: Mapping[str, Any]) -> VoxelMorph:
    """Builds the network of a card's configuration."""
    from UltrasoundMotionLib.registration.methods.voxelmorph.network import VoxelMorph, VoxelMorphConfig

    return VoxelMorph(from_plain(VoxelMorphConfig, configuration["network"]))


VOXELMORPH = NetworkKind("VoxelMorph", _build_voxelmorph)


@dataclass(frozen=True)
class VoxelMorphSettings:
    """Settings of `voxelmorph`.

    Attributes:
        model: name of installed weights, or path of a card beside its weights; None takes those that fit the pair: for
            two moments of one scan the cardiac ones, for two subjects those of the hippocampus.
        refine: optimise the field for the pair, from the network's; False is the plain network.
        refinement: settings of the optimisation; None: those of `refinement_settings`.
    """

    model: str | None = None
    refine: bool = False
    refinement: InstanceSettings | None = None


@registration_method(
    "voxelmorph",
    "one pass of a trained network (VoxelMorph), trained for one kind of image",
    rank=3,
    settings=VoxelMorphSettings,
    weights=WEIGHTS,
    networks=(VOXELMORPH,),
    refinable=True,
    bytes_per_voxel=NETWORK_BYTES,
    finest_mm=NETWORK_FINEST_MM,
    use="heart MRI and hippocampi in a second; a plain learned baseline",
)
def run_voxelmorph(setup: MethodSetup) -> Tensor:
    """Returns the displacement (1, n, *spatial) in voxels of the pair's grid.

    Raises:
        InputError: the weights are not there or of another network; images that no model is for.
    """
    from UltrasoundMotionLib.registration.learned.guided_refinement import refined
    from UltrasoundMotionLib.registration.learned.orientation import oriented_network

    settings = setup.settings
    pair, chosen = oriented_network(setup.pair, VOXELMORPH, WEIGHTS, setup.weights or settings.model)
    displacement = chosen.displacement(pair)
    setup.report(1, 1, f"network {chosen.name}", lambda: displacement)
    if not settings.refine:
        return displacement
    return refined(pair, setup.report, settings=settings.refinement, start=displacement)
