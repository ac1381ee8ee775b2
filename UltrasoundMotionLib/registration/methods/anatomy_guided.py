"""`anatomy-guided`, a method of this project: a velocity field optimised for the pair, guided by class maps of networks
that were trained with labels. No labels are needed to use it.

`semantic` is its former name. The published method of that kind is `semantic-published`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.registration.learned.anatomy_weights import ANATOMY, ANATOMY_WEIGHTS
from UltrasoundMotionLib.registration.methods.instance import InstanceSettings
from UltrasoundMotionLib.registration.methods.semantic import TWO_STEP, TWO_STEP_WEIGHTS, two_step_prediction
from UltrasoundMotionLib.registration.registry import NETWORK_FINEST_MM, MethodSetup, registration_method
from UltrasoundMotionLib.weights import kind_of_card, read_card

if TYPE_CHECKING:
    from torch import Tensor

_Turns = tuple[float, ...]
_Shifts = tuple[tuple[float, float, float], ...]

_STARTS = ("rest", "prediction")
_TURNS_DEG = (-15.0, 0.0, 15.0)
_SHIFTS = ((0.0, 0.0, 0.0), (3.0, 3.0, 0.0), (0.0, 3.0, 3.0), (3.0, 0.0, 3.0))


@dataclass(frozen=True)
class AnatomyGuidedSettings:
    """Settings of `anatomy-guided`.

    Attributes:
        refine: optimise the field for the pair; False: the prediction of the published two-step network, and nothing
            else.
        guided: by class maps of both images, from an anatomy network; otherwise by the images alone.
        start: of the refinement, "rest" or the two-step network's "prediction".
        model: weights of the two-step network: an installed name or the path of a card; None: those that the pair fits.
        anatomy: the same of the anatomy network.
        turns_deg: the anatomy network is given the images turned by each of these angles in the plane; its maps are
            averaged. None: -15, 0 and 15 for two moments of one scan, unturned otherwise, as measured to be best.
        shifts: the anatomy network is given the images shifted by each of these (x, y, z), voxels of its grid; its maps
            are averaged. None: four shifts by 0 or 3 voxels for images of different subjects, unshifted otherwise.
        refinement: settings of the optimisation; None: those measured to be best.
    """

    refine: bool = True
    guided: bool = True
    start: str = "rest"
    model: str | None = None
    anatomy: str | None = None
    turns_deg: _Turns | None = None
    shifts: _Shifts | None = None
    refinement: InstanceSettings | None = None

    def __post_init__(self) -> None:
        if self.start not in _STARTS:
            raise InputError(f"anatomy-guided: start is one of {', '.join(_STARTS)}, got {self.start!r}")
        if self.turns_deg is not None and not self.turns_deg:
            raise InputError("anatomy-guided: turns_deg needs one angle or more; (0.0,) leaves the images as they are")
        if self.shifts is not None and not (self.shifts and all(len(shift) == 3 for shift in self.shifts)):
            raise InputError(
                "anatomy-guided: shifts needs one (x, y, z) or more; ((0.0, 0.0, 0.0),) leaves the images where they"
                f" are, got {self.shifts}"
            )

    @property
    def predicts(self) -> bool:
        """True where the two-step network is used."""
        return self.start == "prediction" or not self.refine


@registration_method(
    "anatomy-guided",
    "a velocity field optimised for the pair, guided by class maps of trained networks (this project's)",
    former_names=("semantic",),
    rank=1,
    settings=AnatomyGuidedSettings,
    weights=(*ANATOMY_WEIGHTS, *TWO_STEP_WEIGHTS),
    networks=(ANATOMY, *TWO_STEP),
    refinable=True,
    guided_by_labels=True,
    finest_mm=NETWORK_FINEST_MM,
    use="heart MRI and hippocampi: most accurate there",
)
def run_anatomy_guided(setup: MethodSetup) -> Tensor:
    """Returns the displacement (1, n, *spatial) in voxels of the pair's grid.

    Raises:
        InputError: weights that are not there or of a network that these settings do not use; images that no model is
            for.
    """
    from UltrasoundMotionLib.registration.learned.anatomy_maps import class_maps, with_known_part
    from UltrasoundMotionLib.registration.learned.guided_refinement import refined
    from UltrasoundMotionLib.registration.learned.orientation import oriented_network

    pair, settings = setup.pair, setup.settings
    guided = settings.refine and settings.guided
    if pair.guides is not None and not guided:
        raise InputError(
            "guide_labels: anatomy-guided is guided in its refinement only; leave out refine=False, guided=False"
        )
    model: str | Path | None = settings.model
    anatomy: str | Path | None = settings.anatomy
    if setup.weights is not None:
        card, used = read_card(setup.weights), ((ANATOMY,) if guided else ()) + (TWO_STEP if settings.predicts else ())
        if not used:
            raise InputError(f"weights {card.name}: anatomy-guided uses no network with guided=False and start='rest'")
        if kind_of_card(card, used) == ANATOMY:
            anatomy = setup.weights
        else:
            model = setup.weights
    start = maps = None
    if settings.predicts:
        pair, predicted = two_step_prediction(pair, model)
        start = predicted
        setup.report(1, 1, "network", lambda: predicted)
        if not settings.refine:
            return start
    if guided:
        turns, shifts = _views(settings, same_scan=pair.same_scan)
        pair, network = oriented_network(pair, ANATOMY, ANATOMY_WEIGHTS, anatomy)
        maps = class_maps(pair, network, turns, shifts)
        setup.keep_maps(with_known_part(pair, network, maps))
        if pair.guides is not None:
            maps = pair.guides.replace_maps(maps, network.domain.labels)
    return refined(pair, setup.report, settings=settings.refinement, start=start, maps=maps)


def _views(settings: AnatomyGuidedSettings, *, same_scan: bool) -> tuple[_Turns, _Shifts]:
    """Returns the turns and shifts in which the anatomy network sees the images."""
    turns = settings.turns_deg or (_TURNS_DEG if same_scan else _TURNS_DEG[1:2])
    return turns, settings.shifts or (_SHIFTS[:1] if same_scan else _SHIFTS)
