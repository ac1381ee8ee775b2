"""`voxelmorph`: the displacement by one pass of VoxelMorph, the plain learned baseline."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.registration.learned.model_domain import ModelDomain, check_domain, domain_grid, field_to_grid, sample_on
from UltrasoundMotionLib.registration.learned.voxelmorph_network import VoxelMorph, VoxelMorphNetworkConfig
from UltrasoundMotionLib.registration.method_registry import Report, registration_method
from UltrasoundMotionLib.registration.working_pair import WorkingPair
from UltrasoundMotionLib.weights import LoadedWeights, load_weights, models_folder

SAME_SCAN_MODELS = ("voxelmorph-cardiac",)
SUBJECT_MODELS = ("voxelmorph-labels-hippocampus", "voxelmorph-hippocampus")
NETWORK_BYTES = 1000


@dataclass(frozen=True)
class VoxelmorphConfig:
    """Settings of `voxelmorph`.

    Attributes:
        model: name of shipped weights, or path of a card beside its weights; None takes those that fit the pair: for two moments of one scan
            the cardiac ones, for two subjects those of the hippocampus.
    """

    model: str | None = None


@dataclass(frozen=True, eq=False)
class VoxelMorphModel:
    """A trained network and what it was trained on."""

    name: str
    network: VoxelMorph
    domain: ModelDomain


@registration_method(
    "voxelmorph", "one pass of a trained network (VoxelMorph), trained for one kind of image", VoxelmorphConfig, bytes_per_voxel=NETWORK_BYTES
)
def run_voxelmorph(pair: WorkingPair, config: VoxelmorphConfig, report: Report) -> Tensor:
    """(1, n, *spatial) displacement in voxels of the pair's grid.

    Raises:
        InputError: the weights are not there or of another network; images that no model is for.
    """
    model = model_for(pair, config.model)
    displacement = predict(model, pair)
    report(1, 1, f"network {model.name}", lambda: displacement)
    return displacement


@torch.no_grad()
def predict(model: VoxelMorphModel, pair: WorkingPair) -> Tensor:
    """The network's displacement (1, n, *spatial) in voxels of the pair's grid."""
    inner = domain_grid(pair.grid, model.domain)
    fixed, moving = (sample_on(image, pair.grid, inner) for image in (pair.fixed, pair.moving))
    return field_to_grid(model.network(fixed, moving), inner, pair.grid)


def model_for(pair: WorkingPair, name: str | None) -> VoxelMorphModel:
    """The model of that name or path, or the shipped one that fits the pair.

    Raises:
        InputError: no such weights; none for images like these.
    """
    device = pair.fixed.device
    if name is not None:
        model = load_voxelmorph(models_folder() / f"{name}.json" if Path(name).suffix != ".json" else name, device)
        check_domain(pair, model.domain)
        return model
    refused = "none of its models is installed"
    for candidate in SAME_SCAN_MODELS if pair.same_scan else SUBJECT_MODELS:
        card = models_folder() / f"{candidate}.json"
        if not card.is_file():
            continue
        model = load_voxelmorph(card, device)
        try:
            check_domain(pair, model.domain)
        except InputError as error:
            refused = str(error)
            continue
        return model
    raise InputError(f"voxelmorph: no model for this pair ({refused}); method='instance' needs none")


def load_voxelmorph(card_path: str | Path, device: torch.device | str) -> VoxelMorphModel:
    """Reads and checks weights, and keeps the network for the next call with the same file and device.

    Raises:
        InputError: see `load_weights`; a card of another network.
    """
    path = Path(card_path)
    times = tuple(file.stat().st_mtime_ns if file.is_file() else 0 for file in (path, path.with_suffix(".safetensors")))
    return _load(path, str(device), times)


@lru_cache(maxsize=2)
def _load(card_path: Path, device: str, times: tuple[int, int]) -> VoxelMorphModel:
    return _model_of(load_weights(card_path), device)


def _model_of(weights: LoadedWeights, device: str) -> VoxelMorphModel:
    card = weights.card
    if card.architecture != "VoxelMorph":
        raise InputError(f"weights {card.name}: are of {card.architecture}, not VoxelMorph")
    try:
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in card.configuration["network"].items()}
        network = VoxelMorph(VoxelMorphNetworkConfig(**values))
        domain = ModelDomain.from_card(card.configuration["domain"])
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"weights {card.name}: the card's configuration is not VoxelMorph's ({error})") from error
    weights.put_into(network)
    return VoxelMorphModel(card.name, network.to(device).eval(), domain)
