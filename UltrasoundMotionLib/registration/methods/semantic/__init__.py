"""`semantic`: registration by networks that were trained with labels; no labels are needed to use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.registration.methods.instance import InstanceSettings
from UltrasoundMotionLib.registration.registry import MethodSetup, registration_method
from UltrasoundMotionLib.settings import from_plain
from UltrasoundMotionLib.weights import NetworkKind, kind_of_card, read_card

if TYPE_CHECKING:
    from torch import Tensor, nn

    from UltrasoundMotionLib.registration.methods.semantic.anatomy_network import AnatomyNetwork

TWO_STEP_WEIGHTS = ("semantic-cardiac", "semantic-hippocampus")
ANATOMY_WEIGHTS = ("anatomy-cardiac-phases", "anatomy-cardiac", "anatomy-hippocampus")
STARTS = ("rest", "prediction")
FINEST_MM = 1.0
_TURNS_DEG = (-15.0, 0.0, 15.0)


def _build_anatomy(configuration: Mapping[str, Any]) -> AnatomyNetwork:
    """Builds the network of a card's configuration."""
    from UltrasoundMotionLib.registration.methods.semantic.anatomy_network import AnatomyConfig, AnatomyNetwork

    return AnatomyNetwork(from_plain(AnatomyConfig, configuration["network"]))


def _build_two_step(configuration: Mapping[str, Any]) -> nn.Module:
    """Builds the network of a card's configuration."""
    from UltrasoundMotionLib.registration.methods.semantic.two_step import two_step_network
    from UltrasoundMotionLib.registration.methods.semantic.two_step_config import TwoStepConfig

    return two_step_network(from_plain(TwoStepConfig, configuration["network"]))


ANATOMY = NetworkKind("AnatomyNetwork", _build_anatomy)
TWO_STEP = (NetworkKind("TwoStepNetwork", _build_two_step), NetworkKind("CorrelationFlow", _build_two_step))
"""CorrelationFlow is a two-step network's variant; both are built from `TwoStepConfig`."""


@dataclass(frozen=True)
class SemanticSettings:
    """Settings of `semantic`.

    Attributes:
        refine: optimise the field for the pair; False: the prediction of the two-step network as published, and nothing
            else.
        guided: by class maps of both images, from an anatomy network; otherwise by the images alone.
        start: of the refinement, "rest" or the two-step network's "prediction".
        model: weights of the two-step network: an installed name or the path of a card; None: those that the pair fits.
        anatomy: the same of the anatomy network.
        turns_deg: the anatomy network is given the images turned by each of these angles in the plane; its maps are
            averaged. None: -15, 0 and 15 for two moments of one scan, unturned otherwise, as measured to be best.
        refinement: settings of the optimisation; None: those measured to be best.
    """

    refine: bool = True
    guided: bool = True
    start: str = "rest"
    model: str | None = None
    anatomy: str | None = None
    turns_deg: tuple[float, ...] | None = None
    refinement: InstanceSettings | None = None

    def __post_init__(self) -> None:
        if self.start not in STARTS:
            raise InputError(f"semantic: start is one of {', '.join(STARTS)}, got {self.start!r}")
        if self.turns_deg is not None and not self.turns_deg:
            raise InputError("semantic: turns_deg needs one angle or more; (0.0,) leaves the images as they are")

    @property
    def predicts(self) -> bool:
        """True where the two-step network is used."""
        return self.start == "prediction" or not self.refine

    @classmethod
    def published(cls) -> SemanticSettings:
        """The settings of the published method: the two-step network alone."""
        return cls(refine=False)

    @classmethod
    def refined_prediction(cls) -> SemanticSettings:
        """The settings of the two-step network followed by refinement by the images alone."""
        return cls(guided=False, start="prediction")


@registration_method(
    "semantic",
    "networks trained with labels, guiding a velocity field by class maps; or two-step prediction",
    rank=1,
    settings=SemanticSettings,
    weights=(*ANATOMY_WEIGHTS, *TWO_STEP_WEIGHTS),
    networks=(ANATOMY, *TWO_STEP),
    refinable=True,
    guided_by_labels=True,
    finest_mm=FINEST_MM,
    use="heart MRI and hippocampi: most accurate there",
)
def run_semantic(setup: MethodSetup) -> Tensor:
    """Returns the displacement (1, n, *spatial) in voxels of the pair's grid.

    Raises:
        InputError: weights that are not there or of a network that these settings do not use; images that no model is
            for.
    """
    from UltrasoundMotionLib.registration.learned.guided_refinement import refined
    from UltrasoundMotionLib.registration.learned.network_choice import network_for
    from UltrasoundMotionLib.registration.learned.orientation import oriented
    from UltrasoundMotionLib.registration.methods.semantic.anatomy_maps import class_maps
    from UltrasoundMotionLib.registration.methods.semantic.two_step import predict_two_step

    pair, settings = setup.pair, setup.settings
    guided = settings.refine and settings.guided
    if pair.guides is not None and not guided:
        raise InputError(
            "guide_labels: semantic is guided in its refinement only; leave out refine=False, guided=False"
        )
    model: str | Path | None = settings.model
    anatomy: str | Path | None = settings.anatomy
    if setup.weights is not None:
        card, used = read_card(setup.weights), ((ANATOMY,) if guided else ()) + (TWO_STEP if settings.predicts else ())
        if not used:
            raise InputError(f"weights {card.name}: semantic uses no network with guided=False and start='rest'")
        if kind_of_card(card, used) == ANATOMY:
            anatomy = setup.weights
        else:
            model = setup.weights
    start = maps = None
    if settings.predicts:
        two_step = network_for(pair, TWO_STEP, TWO_STEP_WEIGHTS, model)
        pair = oriented(pair, two_step.domain, ANATOMY, ANATOMY_WEIGHTS)
        start = two_step.displacement(pair, lambda fixed, moving: predict_two_step(two_step.network, fixed, moving))
        predicted = start
        setup.report(1, 1, "network", lambda: predicted)
        if not settings.refine:
            return start
    if guided:
        turns = (_TURNS_DEG if pair.same_scan else (0.0,)) if settings.turns_deg is None else settings.turns_deg
        network = network_for(pair, ANATOMY, ANATOMY_WEIGHTS, anatomy)
        pair = oriented(pair, network.domain, ANATOMY, ANATOMY_WEIGHTS)
        maps = class_maps(pair, network, turns)
        if pair.guides is not None:
            maps = pair.guides.replace_maps(maps, network.domain.labels)
    return refined(pair, setup.report, settings=settings.refinement, start=start, maps=maps)
