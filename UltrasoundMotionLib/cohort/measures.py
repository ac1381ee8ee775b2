"""Numbers of a finished case, read from its files, and how much a person should look at it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from UltrasoundMotionLib.registration.registration import MATCH_DOUBT

_LEAST_VISIBLE, _LEAST_CONFIDENCE = 0.97, 0.8
_LEAST_DICE = 0.7

Measured = tuple[dict[str, float], float, tuple[str, ...]]
"""Measures by name, doubt from 0 to 1, and its reasons."""


def measure_case(verb: str, folder: Path) -> Measured:
    """Reads the measures of a case from its folder.

    Args:
        verb: of the command line that wrote the folder.
    """
    return _MEASURES[verb](folder)


def _measure_tracks(folder: Path) -> Measured:
    from UltrasoundMotionLib.tracking.files.tracks_csv import read_tracks_csv

    tracks = read_tracks_csv(folder / "tracks.csv")
    others = np.arange(len(tracks.positions_px)) != tracks.query_frame
    confidence, visible = tracks.confidence[others], tracks.visible[others]
    way = np.linalg.norm(tracks.positions_px - tracks.positions_px[tracks.query_frame], axis=2)
    measures = {
        "points": float(len(tracks.labels)),
        "frames": float(len(tracks.positions_px)),
        "visible_share": float(visible.mean()),
        "confidence_mean": float(confidence.mean()),
        "confidence_lowest_point": float(confidence.mean(axis=0).min()),
        "largest_displacement_px": float(np.nanmax(way)),
    }
    doubts = []
    if measures["visible_share"] < _LEAST_VISIBLE:
        doubts.append(f"visible on {100 * measures['visible_share']:.0f} % of the frames")
    lowest = int(np.argmin(confidence.mean(axis=0)))
    if measures["confidence_lowest_point"] < _LEAST_CONFIDENCE:
        doubts.append(f"{tracks.labels[lowest]}: confidence {measures['confidence_lowest_point']:.2f}")
    return measures, _within_one(1 - measures["confidence_lowest_point"]), tuple(doubts)


def _measure_strain(folder: Path) -> Measured:
    report = _read_report(folder / "strain.json")
    measures = {name: float(value) for name, value in _numbers(report.get("measures", {})).items()}
    uncertainty = report.get("uncertainty") or {}
    deviation = uncertainty.get("standard_deviation_percent")
    if deviation is not None:
        measures["gls_standard_deviation_percent"] = float(deviation)
    segments = [(one["name"], one["quality"]) for one in report.get("segments", ())]
    rejected = [(name, quality["reason"]) for name, quality in segments if not quality["accepted"]]
    measures["rejected_segments"] = float(len(rejected))
    doubts = [f"{name}: {reason or 'rejected'}" for name, reason in rejected]
    if "gls_percent" not in measures:
        doubts.insert(0, "no GLS")
    doubts += [str(note) for note in report.get("notes", ())]
    share = len(rejected) / max(1, len(segments))
    return measures, _within_one(1.0 if "gls_percent" not in measures else share), tuple(doubts)


def _measure_registration(folder: Path) -> Measured:
    report = _read_report(folder / "report.json")
    measures = _numbers(report.get("similarity", {}))
    measures |= _numbers(report.get("jacobian"), "jacobian_") | _numbers(report.get("jacobian_inside"), "inside_")
    labels = report.get("labels", {})
    dice = {label: one["dice"] for label, one in labels.items() if one.get("dice") is not None}
    measures |= {f"dice_{label}": value for label, value in dice.items()}
    measures |= {f"hd95_mm_{label}": one["hd95_mm"] for label, one in labels.items() if one.get("hd95_mm") is not None}
    if dice:
        measures["dice_mean"] = float(np.mean(list(dice.values())))
    doubts = []
    for where, name in (("the field", "jacobian"), (f"the {report.get('inside')}", "inside")):
        folded = measures.get(f"{name}_share_nonpositive", 0.0)
        if folded > 0:
            doubts.append(f"{100 * folded:.3g} % of {where} folds")
    worst = min(dice, key=lambda label: dice[label], default=None)
    if worst is not None and dice[worst] < _LEAST_DICE:
        doubts.append(f"label {worst}: Dice {dice[worst]:.2f}")
    for label, one in report.get("label_doubts", {}).items():
        if count := len(one["only_carried"]) + len(one["only_seen"]):
            doubts.append(f"label {label}: to be checked in {count} slice{'s' * (count > 1)}")
    before, after = measures.get("lncc_before"), measures.get("lncc")
    if before is not None and after is not None and after <= before:
        doubts.append(f"no more alike than before (LNCC {before:.2f} to {after:.2f})")
    doubts += [note.split(";")[0] for note in report.get("notes", ()) if note.startswith(MATCH_DOUBT)]
    return measures, _within_one(1 - min(dice.values()) if dice else float(bool(doubts))), tuple(doubts)


def _read_report(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}


def _numbers(content: Any, prefix: str = "") -> dict[str, float]:
    """Returns the numbers of nested mappings by their joined names; lists are left out."""
    found: dict[str, float] = {}
    for name, value in content.items() if isinstance(content, dict) else ():
        if isinstance(value, bool):
            continue
        if isinstance(value, int | float):
            found[f"{prefix}{name}"] = float(value)
        elif isinstance(value, dict):
            found |= _numbers(value, f"{prefix}{name}_")
    return found


def _within_one(value: float) -> float:
    return round(float(np.clip(value, 0.0, 1.0)), 4)


_MEASURES: dict[str, Callable[[Path], Measured]] = {
    "track": _measure_tracks,
    "strain": _measure_strain,
    "register": _measure_registration,
}
