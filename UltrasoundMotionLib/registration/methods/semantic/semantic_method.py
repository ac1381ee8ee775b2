"""`semantic`: registration by networks that were trained with labels; no labels are needed to use it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.registration.learned.domain_choice import card_for, domain_of
from UltrasoundMotionLib.registration.learned.guided_refinement import refined
from UltrasoundMotionLib.registration.learned.model_domain import domain_grid, field_to_grid, sample_on
from UltrasoundMotionLib.registration.methods.instance import InstanceConfig
from UltrasoundMotionLib.registration.methods.semantic.anatomy_maps import class_maps, load_anatomy
from UltrasoundMotionLib.registration.methods.semantic.two_step import load_two_step, predict_two_step
from UltrasoundMotionLib.registration.registry import Report, registration_method
from UltrasoundMotionLib.registration.working_pair import WorkingPair

TWO_STEP_MODELS = ("semantic-cardiac", "semantic-hippocampus")
ANATOMY_MODELS = ("anatomy-cardiac-phases", "anatomy-cardiac", "anatomy-hippocampus")
STARTS = ("rest", "prediction")
FINEST_MM = 1.0
TURNS_DEG = (-15.0, 0.0, 15.0)


@dataclass(frozen=True)
class SemanticConfig:
    """Settings of `semantic`.

    Attributes:
        refine: optimise the field for the pair; False: the prediction of the two-step network as published, and nothing
            else.
        guided: by class maps of both images, from an anatomy network; otherwise by the images alone.
        start: of the refinement, "rest" or the two-step network's "prediction".
        model: weights of the two-step network: a shipped name or the path of a card; None: those that the pair fits.
        anatomy: the same of the anatomy network.
        turns_deg: the anatomy network looks at the images turned by each of these angles in the plane; its maps are
            averaged. None: `TURNS_DEG` for two moments of one scan, as they are otherwise, as measured to be best.
        refinement: settings of the optimisation; None: those measured to be best.
    """

    refine: bool = True
    guided: bool = True
    start: str = "rest"
    model: str | None = None
    anatomy: str | None = None
    turns_deg: tuple[float, ...] | None = None
    refinement: InstanceConfig | None = None

    def __post_init__(self) -> None:
        if self.start not in STARTS:
            raise InputError(f"semantic: start is one of {', '.join(STARTS)}, got {self.start!r}")
        if self.turns_deg is not None and not self.turns_deg:
            raise InputError("semantic: turns_deg needs one angle or more; (0.0,) looks at the images as they are")

    @classmethod
    def published(cls) -> SemanticConfig:
        """The two-step network alone."""
        return cls(refine=False)

    @classmethod
    def refined_prediction(cls) -> SemanticConfig:
        """The two-step network, then refinement by the images alone."""
        return cls(guided=False, start="prediction")


@registration_method(
    "semantic",
    "networks trained with labels, guiding a velocity field by class maps; or two-step prediction",
    SemanticConfig,
    finest_mm=FINEST_MM,
)
def run_semantic(pair: WorkingPair, config: SemanticConfig, report: Report) -> Tensor:
    """(1, n, *spatial) displacement in voxels of the pair's grid.

    Raises:
        InputError: weights that are not there or of another network; images that no model is for.
    """
    start = _prediction(pair, config.model) if config.start == "prediction" or not config.refine else None
    if start is not None:
        report(1, 1, "network", lambda: start)
    if not config.refine:
        return start
    maps = None
    if config.guided:
        model = load_anatomy(card_for(pair, ANATOMY_MODELS, config.anatomy), pair.fixed.device)
        turns = (TURNS_DEG if pair.same_scan else (0.0,)) if config.turns_deg is None else config.turns_deg
        maps = class_maps(pair, model, turns)
    return refined(pair, report, config=config.refinement, start=start, maps=maps)


def _prediction(pair: WorkingPair, model: str | None) -> Tensor:
    path = card_for(pair, TWO_STEP_MODELS, model)
    network = load_two_step(path).to(pair.fixed.device)
    inner = domain_grid(pair.grid, domain_of(path))
    fixed, moving = (sample_on(image, pair.grid, inner) for image in (pair.fixed, pair.moving))
    return field_to_grid(predict_two_step(network, fixed, moving), inner, pair.grid)
