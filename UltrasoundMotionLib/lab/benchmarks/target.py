"""A figure that the project set itself, beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from UltrasoundMotionLib.text_table import text_table


@dataclass(frozen=True)
class Target:
    """What was measured, of whom, the goal in words, the measured value in words, and whether it was met."""

    what: str
    goal: str
    measured: str
    met: bool


def targets_table(targets: Sequence[Target]) -> str:
    """One line per target: what, goal, measured, met."""
    rows = [[target.what, target.goal, target.measured, "yes" if target.met else "NO"] for target in targets]
    return text_table(["target", "goal", "measured", "met"], rows)
