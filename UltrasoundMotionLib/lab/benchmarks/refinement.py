"""`benchmark refinement`: the guided refinement of `anatomy-guided` alone, with its directions at once and in turns."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from UltrasoundMotionLib.lab.benchmarks.command import (
    add_data_argument,
    add_output_arguments,
    check_arguments,
    show,
    whole_number,
)
from UltrasoundMotionLib.lab.benchmarks.registration.protocols import ACDC, LEARNED_PARTS, RANDOM, protocol_pairs
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, CaseMeasure, Column

if TYPE_CHECKING:
    from torch import Tensor

    from UltrasoundMotionLib.lab.registration_datasets import RegistrationPair
    from UltrasoundMotionLib.registration.methods.instance import InstanceSettings
    from UltrasoundMotionLib.registration.working_pair import WorkingPair

AT_ONCE = "at once"
WAYS: Mapping[str, Mapping[str, Any]] = {
    "in turns": {},
    AT_ONCE: {"alternating": False, "iterations": (15, 15, 40), "learning_rate": 0.4},
}
"""Changes to the settings by the name of a way: the default, and what it replaced."""

DESCRIPTION = """The optimisation that follows the class maps of anatomy-guided, alone: Dice and the Jacobian inside the
labels on the working grid, and processor seconds, with the two directions in turns (the default) and at once with 15,
15 and 40 iterations at a rate of 0.4. Both are measured after each other on each pair, so that other work slows both.
Pairs are not brought together before."""


@dataclass(frozen=True)
class RefinementRow:
    """One way over all pairs.

    Attributes:
        way: one of `WAYS`.
        dice: mean over the labels, by pair.
        std_log_jacobian, nonpositive: inside the labels of the fixed image, means over the pairs.
        processor_seconds: of a pair, median.
    """

    way: str
    dice: dict[str, float]
    std_log_jacobian: float
    nonpositive: float
    processor_seconds: float


CASES: CaseMeasure[RefinementRow] = CaseMeasure(
    "Dice", values=lambda row: row.dice, method=lambda row: row.way, digits=4
)
COLUMNS = (
    Column[RefinementRow]("directions", "way", names_method=True),
    Column[RefinementRow]("Dice", lambda row: float(np.mean(list(row.dice.values()))), 4),
    Column[RefinementRow]("std log J inside", "std_log_jacobian"),
    Column[RefinementRow]("J <= 0 inside", lambda row: 100 * row.nonpositive, 4, unit="%"),
    Column[RefinementRow]("CPU s", "processor_seconds", 2),
)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser(
        "refinement", help="guided refinement alone: Dice, Jacobian and processor seconds", description=DESCRIPTION
    )
    parser.add_argument("protocol", choices=(ACDC, RANDOM), help="the pairs, as in `benchmark registration`")
    add_data_argument(parser, content="ACDC's training patients, or MSD Task04 Hippocampus (images, labels)")
    parser.add_argument("--pairs", metavar="K", type=whole_number, default=8, help="at most (default 8)")
    parser.add_argument(
        "--part", choices=LEARNED_PARTS, default="validation", help="the subjects of the pairs (default validation)"
    )
    parser.add_argument("--threads", metavar="N", type=whole_number, default=1, help="on the CPU (default 1)")
    parser.add_argument("--smoothness", metavar="W", type=float, help="weight in place of the default's, in both ways")
    parser.add_argument("--maps", metavar="W", type=float, help="weight of the class maps, likewise")
    add_output_arguments(parser, against=AT_ONCE)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    import torch

    check_arguments(arguments)
    torch.set_num_threads(arguments.threads)
    pairs = protocol_pairs(arguments.protocol, arguments.data, arguments.pairs, arguments.part)
    show(measure_refinement(pairs, smoothness=arguments.smoothness, maps=arguments.maps), arguments)
    return 0


def measure_refinement(
    pairs: list[RegistrationPair],
    settings: Mapping[str, Any] | None = None,
    *,
    smoothness: float | None = None,
    maps: float | None = None,
) -> BenchmarkResult[RefinementRow]:
    """Refines every pair in both ways.

    Args:
        settings: of `anatomy-guided`, where they differ from the default.
        smoothness, maps: weights of the refinement in place of the default's.
    """
    weights = {"smoothness": smoothness, "maps": maps}
    measured: dict[str, dict[str, _Measures]] = {way: {} for way in WAYS}
    for number, pair in enumerate(pairs):
        working, refine = _prepared(pair, settings or {}, weights)
        if not number:
            refine(AT_ONCE)  # so that loading libraries is not measured
        for way, found in measured.items():
            found[pair.name] = _measured(pair, working, partial(refine, way))
    rows = tuple(
        RefinementRow(
            way,
            {name: one.dice for name, one in found.items()},
            float(np.mean([one.std_log_jacobian for one in found.values()])),
            float(np.mean([one.nonpositive for one in found.values()])),
            float(np.median([one.seconds for one in found.values()])),
        )
        for way, found in measured.items()
    )
    return BenchmarkResult(COLUMNS, rows, details={"pairs": len(pairs)}, cases=CASES, against=AT_ONCE)


@dataclass(frozen=True)
class _Measures:
    dice: float
    std_log_jacobian: float
    nonpositive: float
    seconds: float


def _prepared(
    pair: RegistrationPair, settings: Mapping[str, Any], weights: Mapping[str, float | None]
) -> tuple[WorkingPair, Callable[[str], Tensor]]:
    """Runs `anatomy-guided` up to its refinement.

    Args:
        weights: "smoothness" and "maps" of the refinement; None: the default's.

    Returns:
        The working pair, and the refinement: called with the name of a way, it returns the displacement (1, n,
        *spatial) in voxels of the working pair's grid.
    """
    from UltrasoundMotionLib.registration import register
    from UltrasoundMotionLib.registration.learned import guided_refinement

    refined, kept = guided_refinement.refined, []

    def keep(
        working: WorkingPair, report: Any, *, settings: InstanceSettings | None, start: Tensor | None, maps: Any
    ) -> Tensor:
        chosen = settings or guided_refinement.refinement_settings(working, guided=maps is not None)
        if weights["smoothness"] is not None:
            chosen = replace(chosen, smoothness=weights["smoothness"])
        if weights["maps"] is not None:
            chosen = replace(chosen, likeness=replace(chosen.likeness, maps=weights["maps"]))
        kept.append((working, chosen, start, maps))
        return working.fixed.new_zeros(1, working.fixed.ndim - 2, *working.fixed.shape[2:])

    with patch.object(guided_refinement, "refined", keep):
        register(
            pair.fixed.image,
            pair.moving.image,
            method="anatomy-guided",
            settings=dict(settings),
            initial_transform="none",
            device="cpu",
        )
    ((working, chosen, start, maps),) = kept

    def refine(way: str) -> Tensor:
        return refined(working, lambda *progress: None, settings=replace(chosen, **WAYS[way]), start=start, maps=maps)

    return working, refine


def _measured(pair: RegistrationPair, working: WorkingPair, refine: Callable[[], Tensor]) -> _Measures:
    import torch

    from UltrasoundMotionLib.fields import jacobian_measures, warp
    from UltrasoundMotionLib.registration.working_pair import on_grid
    from UltrasoundMotionLib.similarity import dice

    began = time.process_time()
    field = refine()
    seconds = time.process_time() - began
    fixed, moving = (
        torch.from_numpy(np.asarray(on_grid(one.labels, working.grid, None, nearest=True), dtype=np.float32))[None]
        for one in (pair.fixed, pair.moving)
    )
    warped = warp(moving[None], field, mode="nearest")[0]
    labels = [int(value) for value in np.unique(fixed.numpy()) if value]
    inside = jacobian_measures(field, fixed[None] > 0)
    overlap = float(np.nanmean(list(dice(fixed.long(), warped.long(), labels).values())))
    return _Measures(overlap, inside.std_log, inside.share_nonpositive, seconds)
