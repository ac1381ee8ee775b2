"""`voxelmorph`: the displacement by one pass of VoxelMorph, the plain learned baseline."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.registration.learned.domain_choice import card_for
from UltrasoundMotionLib.registration.learned.guided_refinement import refined
from UltrasoundMotionLib.registration.learned.model_domain import ModelDomain, domain_grid, field_to_grid, sample_on
from UltrasoundMotionLib.registration.methods.instance import InstanceConfig
from UltrasoundMotionLib.registration.methods.voxelmorph.network import VoxelMorph, VoxelMorphNetworkConfig
from UltrasoundMotionLib.registration.registry import Report, registration_method
from UltrasoundMotionLib.registration.working_pair import WorkingPair
from UltrasoundMotionLib.weights import LoadedWeights, load_weights
from UltrasoundMotionLib.weights.model_file import file_times

MODELS = ("voxelmorph-cardiac", "voxelmorph-labels-hippocampus", "voxelmorph-hippocampus")
"""Shipped; of those that fit a pair the first is taken."""

NETWORK_BYTES = 1000
FINEST_MM = 1.0
"""Finer than any domain: a network's grid must not be made coarser where slices are thick."""


@dataclass(frozen=True)
class VoxelmorphConfig:
    """Settings of `voxelmorph`.

    Attributes:
        model: name of shipped weights, or path of a card beside its weights; None takes those that fit the pair: for
            two moments of one scan the cardiac ones, for two subjects those of the hippocampus.
        refine: optimise the field for the pair, from the network's; False is the plain network.
        refinement: settings of the optimisation; None: those of `refinement_config`.
    """

    model: str | None = None
    refine: bool = False
    refinement: InstanceConfig | None = None


@dataclass(frozen=True, eq=False)
class VoxelMorphModel:
    """A trained network and what it was trained on."""

    name: str
    network: VoxelMorph
    domain: ModelDomain


@registration_method(
    "voxelmorph",
    "one pass of a trained network (VoxelMorph), trained for one kind of image",
    VoxelmorphConfig,
    bytes_per_voxel=NETWORK_BYTES,
    finest_mm=FINEST_MM,
)
def run_voxelmorph(pair: WorkingPair, config: VoxelmorphConfig, report: Report) -> Tensor:
    """(1, n, *spatial) displacement in voxels of the pair's grid.

    Raises:
        InputError: the weights are not there or of another network; images that no model is for.
    """
    model = load_voxelmorph(card_for(pair, MODELS, config.model), pair.fixed.device)
    displacement = predict(model, pair)
    report(1, 1, f"network {model.name}", lambda: displacement)
    return refined(pair, report, config=config.refinement, start=displacement) if config.refine else displacement


@torch.no_grad()
def predict(model: VoxelMorphModel, pair: WorkingPair) -> Tensor:
    """The network's displacement (1, n, *spatial) in voxels of the pair's grid."""
    inner = domain_grid(pair.grid, model.domain)
    fixed, moving = (sample_on(image, pair.grid, inner) for image in (pair.fixed, pair.moving))
    return field_to_grid(model.network(fixed, moving), inner, pair.grid)


def load_voxelmorph(card_path: str | Path, device: torch.device | str) -> VoxelMorphModel:
    """Reads and checks weights, and keeps the network for the next call with the same file and device.

    Raises:
        InputError: see `load_weights`; a card of another network.
    """
    path = Path(card_path)
    times = file_times(path)
    return _load(path, str(device), times)


@lru_cache(maxsize=2)
def _load(card_path: Path, device: str, times: tuple[int, int]) -> VoxelMorphModel:
    return _model_of(load_weights(card_path), device)


def _model_of(weights: LoadedWeights, device: str) -> VoxelMorphModel:
    card = weights.card
    if card.architecture != "VoxelMorph":
        raise InputError(f"weights {card.name}: are of {card.architecture}, not VoxelMorph")
    try:
        values = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in card.configuration["network"].items()
        }
        network = VoxelMorph(VoxelMorphNetworkConfig(**values))
        domain = ModelDomain.from_card(card.configuration["domain"])
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"weights {card.name}: the card's configuration is not VoxelMorph's ({error})") from error
    weights.put_into(network)
    return VoxelMorphModel(card.name, network.to(device).eval(), domain)
