"""Texts of strain for the panel."""

from __future__ import annotations

import numpy as np
from slicer.i18n import tr as _

from UltrasoundMotionLib.mrml.wall_strain import WallStrain
from UltrasoundMotionLib.strain import StrainResult

_MINUS = "\u2212"


def numberText(value: float | None, digits: int = 1) -> str:
    """A number with a true minus sign; a dash where it is not known."""
    return "\u2013" if value is None or not np.isfinite(value) else f"{value:.{digits}f}".replace("-", _MINUS)


def measuresText(strain: WallStrain) -> str:
    """Global strain with its uncertainty on the first line, then events, drift and notes."""
    result = strain.result
    return "\n".join([_globalText(result), _eventsText(result), *result.notes])


def _globalText(result: StrainResult) -> str:
    """`GLS -17.9 +- 2.1 % (95 %: -22.0 to -13.9)`."""
    name = "GLS" if result.kind == "longitudinal" else _("Global {kind} strain").format(kind=result.kind)
    value, sure = result.measures.end_systolic_percent, result.uncertainty
    if value is None:
        return _("{name}: not given, since too few segments were tracked").format(name=name)
    if sure is None:
        return f"{name} {numberText(value)} %"
    interval = _("95 %: {low} to {high}").format(low=numberText(sure.low_percent), high=numberText(sure.high_percent))
    return f"{name} {numberText(value)} \u00b1 {numberText(sure.standard_deviation_percent)} % ({interval})"


def _eventsText(result: StrainResult) -> str:
    source = {"contour": _("found from the wall"), "ecg": _("from the ECG"), "given": _("given")}[result.events.source]
    parts = [_("{view}; events {source}").format(view=result.view, source=source)]
    if result.events.heart_rate_bpm is not None:
        parts.append(_("{rate} beats/min").format(rate=f"{result.events.heart_rate_bpm:.0f}"))
    drift = result.drift.global_percent
    if np.isfinite(drift):
        text = (
            _("drift {drift} %, taken out")
            if result.drift.compensated
            else _("drift {drift} % at the end of the cycle")
        )
        parts.append(text.format(drift=numberText(drift)))
    return "; ".join(parts)


def layersText(strain: WallStrain | None) -> str:
    """`endo -20.1, mid -18.0, epi -16.2 %; transverse 35.0 %`; empty for one layer."""
    if strain is None or strain.layered is None:
        return ""
    layers = ", ".join(
        f"{name} {numberText(one.measures.end_systolic_percent)}" for name, one in strain.layered.layers.items()
    )
    thickness = strain.layered.thickness
    return f"{layers} %; {thickness.kind} {numberText(thickness.measures.end_systolic_percent)} %"
