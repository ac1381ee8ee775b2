"""What can be trained, by name. Whoever adds a landmark network adds a line."""

from __future__ import annotations

from collections.abc import Callable

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.landmarks.landmark_objective import LandmarkObjective

PUBLISHED = "published"


def _siamfc(variant: str | None) -> LandmarkObjective:
    from UltrasoundMotionLib.lab.training.landmarks.siamfc_objective import SiamFcLossConfig, SiamFcObjective

    _check_variant("siamfc", variant)
    return SiamFcObjective(SiamFcLossConfig(radius=16.0) if variant == PUBLISHED else None)


def _siamrpn(variant: str | None) -> LandmarkObjective:
    from UltrasoundMotionLib.lab.training.landmarks.siamrpn_objective import PUBLISHED_LOSS, SiamRpnObjective
    from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn_network import SiamRpnNetworkConfig

    _check_variant("siamrpn", variant)
    if variant == PUBLISHED:
        return SiamRpnObjective(PUBLISHED_LOSS, SiamRpnNetworkConfig(anchor_ratios=(0.33, 0.5, 1.0, 2.0, 3.0)))
    return SiamRpnObjective()


def _lsdm(variant: str | None) -> LandmarkObjective:
    from UltrasoundMotionLib.lab.training.landmarks.lsdm_objective import PUBLISHED_LOSS, LsdmObjective

    _check_variant("lsdm", variant)
    return LsdmObjective(loss=PUBLISHED_LOSS if variant == PUBLISHED else None)


def _check_variant(name: str, variant: str | None) -> None:
    if variant not in (None, PUBLISHED):
        raise InputError(f"{name} has no variant {variant}; leave it out or take {PUBLISHED}")


OBJECTIVES: dict[str, Callable[[str | None], LandmarkObjective]] = {
    "siamfc": _siamfc,
    "siamrpn": _siamrpn,
    "lsdm": _lsdm,
}
"""name -> what makes the objective of a variant; None is the one that is shipped.

Weights are drawn from torch's seed.
"""
