"""`ltnet`: the correspondence from an atlas to an image by LT-Net, and what refines it for the pair."""

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
from UltrasoundMotionLib.registration.methods.ltnet.network import LtNet, LtNetConfig
from UltrasoundMotionLib.registration.registry import Report, registration_method
from UltrasoundMotionLib.registration.working_pair import WorkingPair
from UltrasoundMotionLib.weights import LoadedWeights, load_weights
from UltrasoundMotionLib.weights.model_file import file_times

SHIPPED_MODELS = ("ltnet-hippocampus",)
NETWORK_BYTES = 1000


@dataclass(frozen=True)
class LtnetConfig:
    """Settings of `ltnet`.

    Attributes:
        model: name of shipped weights, or path of a card beside its weights; None takes the shipped ones that the pair
            fits.
        backward: take the backward generator: the fixed image is the atlas and the moving one the atlas warped onto an
            image.
        refine: optimise the network's field for the pair, as `instance` does (not published).
        refinement: settings of the optimisation; None: those of `REFINEMENT`.
    """

    model: str | None = None
    backward: bool = False
    refine: bool = True
    refinement: InstanceConfig | None = None


REFINEMENT = InstanceConfig(scales=(2, 1), iterations=(30, 40), control_strides=(1, 2))
"""The coarsest scale of `instance` is left out: a network knows where things are."""


@dataclass(frozen=True, eq=False)
class LtNetModel:
    """A trained network and what it was trained on."""

    network: LtNet
    domain: ModelDomain


@registration_method(
    "ltnet",
    "LT-Net: labels of one atlas, brought by a network that saw no other",
    LtnetConfig,
    bytes_per_voxel=NETWORK_BYTES,
)
def run_ltnet(pair: WorkingPair, config: LtnetConfig, report: Report) -> Tensor:
    """(1, n, *spatial) displacement in voxels of the pair's grid.

    Raises:
        InputError: the weights are not there or of another network; images that the model is not for.
    """
    model = load_ltnet(card_for(pair, SHIPPED_MODELS, config.model), pair.fixed.device)
    inner = domain_grid(pair.grid, model.domain)
    fixed, moving = (sample_on(image, pair.grid, inner) for image in (pair.fixed, pair.moving))
    with torch.no_grad():
        field = (model.network.backward_field if config.backward else model.network)(fixed, moving)
        displacement = field_to_grid(field, inner, pair.grid)
    if not config.refine:
        report(1, 1, "the network's field", lambda: displacement)
        return displacement
    return refined(pair, report, config=config.refinement or REFINEMENT, start=displacement)


def load_ltnet(card_path: str | Path, device: torch.device | str) -> LtNetModel:
    """Reads and checks weights, and keeps the network for the next call with the same file and device.

    Raises:
        InputError: see `load_weights`; a card of another network.
    """
    path = Path(card_path)
    times = file_times(path)
    return _load_ltnet(path, str(device), times)


@lru_cache(maxsize=2)
def _load_ltnet(card_path: Path, device: str, times: tuple[int, int]) -> LtNetModel:
    return _model_of(load_weights(card_path), device)


def _model_of(weights: LoadedWeights, device: str) -> LtNetModel:
    card = weights.card
    if card.architecture != "LtNet":
        raise InputError(f"weights {card.name}: are of {card.architecture}, not LtNet")
    try:
        values = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in card.configuration["network"].items()
        }
        network = LtNet(LtNetConfig(**values))
        domain = ModelDomain.from_card(card.configuration["domain"])
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"weights {card.name}: the card's configuration is not LtNet's ({error})") from error
    weights.put_into(network)
    return LtNetModel(network.to(device).eval(), domain)
