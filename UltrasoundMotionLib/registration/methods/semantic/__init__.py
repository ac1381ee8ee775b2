"""`semantic-published`: the two-step network of Ha et al., Semantically Guided Large Deformation Estimation with Deep
Networks, Sensors 2020. It was trained with labels; none are needed to use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.registration.registry import NETWORK_FINEST_MM, MethodSetup, registration_method
from UltrasoundMotionLib.settings import from_plain
from UltrasoundMotionLib.weights import NetworkKind

if TYPE_CHECKING:
    from torch import Tensor, nn

    from UltrasoundMotionLib.registration.working_pair import WorkingPair

TWO_STEP_WEIGHTS = ("semantic-cardiac", "semantic-hippocampus")


def _build_two_step(configuration: Mapping[str, Any]) -> nn.Module:
    """Builds the network of a card's configuration."""
    from UltrasoundMotionLib.registration.methods.semantic.two_step import two_step_network
    from UltrasoundMotionLib.registration.methods.semantic.two_step_config import TwoStepConfig

    return two_step_network(from_plain(TwoStepConfig, configuration["network"]))


TWO_STEP = (NetworkKind("TwoStepNetwork", _build_two_step), NetworkKind("CorrelationFlow", _build_two_step))
"""CorrelationFlow is a two-step network's variant; both are built from `TwoStepConfig`."""


@dataclass(frozen=True)
class SemanticPublishedSettings:
    """Settings of `semantic-published`.

    Attributes:
        model: weights of the two-step network: an installed name or the path of a card; None: those that the pair fits.
    """

    model: str | None = None


@registration_method(
    "semantic-published",
    "one pass of the two-step network of Ha et al. (2020), trained with labels",
    rank=2,
    settings=SemanticPublishedSettings,
    weights=TWO_STEP_WEIGHTS,
    networks=TWO_STEP,
    finest_mm=NETWORK_FINEST_MM,
    use="heart MRI and hippocampi: the published method, in a second",
)
def run_semantic_published(setup: MethodSetup) -> Tensor:
    """Returns the displacement (1, n, *spatial) in voxels of the pair's grid.

    Raises:
        InputError: weights that are not there; images that no model is for.
    """
    _, displacement = two_step_prediction(setup.pair, setup.weights or setup.settings.model)
    setup.report(1, 1, "network", lambda: displacement)
    return displacement


def two_step_prediction(pair: WorkingPair, weights: str | Path | None) -> tuple[WorkingPair, Tensor]:
    """Returns the pair with the orientation that it is given to networks in, and the two-step network's displacement
    (1, n, *spatial) in voxels of its grid.

    Args:
        weights: an installed name or a card; None: those that the pair fits.

    Raises:
        InputError: as `network_for`.
    """
    from UltrasoundMotionLib.registration.learned.orientation import oriented_network
    from UltrasoundMotionLib.registration.methods.semantic.two_step import predict_two_step

    pair, network = oriented_network(pair, TWO_STEP, TWO_STEP_WEIGHTS, weights)
    return pair, network.displacement(pair, lambda fixed, moving: predict_two_step(network.network, fixed, moving))
