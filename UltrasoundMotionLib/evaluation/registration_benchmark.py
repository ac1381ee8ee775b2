"""Registration, ours and the peers', on the same pairs of public data in one run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.evaluation.peak_memory import run_in_child
from UltrasoundMotionLib.evaluation.registration_datasets import ACDC_LABELS, HIPPOCAMPUS_LABELS
from UltrasoundMotionLib.evaluation.registration_runner import OURS, PROTOCOLS, UNREGISTERED, quiet_threads
from UltrasoundMotionLib.evaluation.target import Target
from UltrasoundMotionLib.evaluation.text_table import format_number, markdown_table, text_table
from UltrasoundMotionLib.progress import Progress, no_progress

RUNNER = "UltrasoundMotionLib.evaluation.registration_runner"
DEFAULT_METHODS = (UNREGISTERED, f"{OURS}demons", "ants", "convexadam", "elastix", "greedy", f"{OURS}instance")
INSTANCE = f"{OURS}instance"
MOST_FOLDED = 1e-4


@dataclass(frozen=True)
class PairResult:
    """One pair: Dice and HD95 per label (nearest-neighbour labels on the fixed grid), Jacobian, wall and processor seconds."""

    pair: str
    dice: dict[int, float]
    hd95_mm: dict[int, float]
    std_log_jacobian: float
    nonpositive: float
    seconds: float
    processor_seconds: float

    @property
    def mean_dice(self) -> float:
        """Over the labels that either map has."""
        values = [value for value in self.dice.values() if not math.isnan(value)]
        return float(np.mean(values)) if values else math.nan


@dataclass(frozen=True)
class MethodResult:
    """One method over all pairs; `missing` says why there are none."""

    method: str
    pairs: tuple[PairResult, ...]
    peak_bytes: int = 0
    missing: str = ""

    def mean(self, name: str) -> float:
        """Mean of a number over the pairs."""
        return float(np.mean([getattr(pair, name) for pair in self.pairs]))

    def median(self, name: str) -> float:
        """Median of a number over the pairs: what seconds are given as, since other work on the machine only ever adds to some."""
        return float(np.median([getattr(pair, name) for pair in self.pairs]))

    def label_mean(self, name: str, label: int) -> float:
        """Mean of `dice` or `hd95_mm` of a label, over the pairs where it is finite."""
        values = [getattr(pair, name).get(label, math.nan) for pair in self.pairs]
        finite = [value for value in values if math.isfinite(value)]
        return float(np.mean(finite)) if finite else math.nan


@dataclass(frozen=True)
class RegistrationBenchmark:
    """All methods on one protocol."""

    protocol: str
    methods: tuple[MethodResult, ...]
    threads: int

    @property
    def label_names(self) -> dict[int, str]:
        return ACDC_LABELS if self.protocol == "acdc" else HIPPOCAMPUS_LABELS

    def table(self, markdown: bool = False) -> str:
        """Means over the pairs, of seconds medians; the spread is the standard deviation of a pair's mean Dice."""
        names = self.label_names
        header = ["method", "pairs", "Dice", "std", "min", *names.values(), "HD95 mm", "std log J", "max", "J <= 0 %", "s", "CPU s", "MB"]
        rows = [self._row(method, names) for method in self.methods]
        return (markdown_table if markdown else text_table)(header, rows)

    def targets(self) -> tuple[Target, ...]:
        """Issue 3's goals for `instance` on this protocol."""
        present = {method.method: method for method in self.methods if method.pairs}
        peers = [method for name, method in present.items() if not name.startswith(OURS) and name != UNREGISTERED]
        on_acdc = self.protocol == "acdc"
        if INSTANCE not in present or not (peers or on_acdc):
            return ()
        ours = present[INSTANCE]
        dice, smooth, folded = (ours.mean(name) for name in ("mean_dice", "std_log_jacobian", "nonpositive"))
        if on_acdc:
            dice_goal, smooth_goal, seconds_goal, whose = 0.87, 0.25, 10.0, ""
        else:
            best = max(peers, key=lambda one: one.mean("mean_dice"))
            dice_goal, smooth_goal, seconds_goal, whose = best.mean("mean_dice"), best.mean("std_log_jacobian"), 3.0, f" ({best.method})"
        seconds = ours.median("processor_seconds")
        return (
            Target(f"{self.protocol}: Dice of instance", f"at least {dice_goal:.3f}{whose}", f"{dice:.3f}", dice >= dice_goal),
            Target(f"{self.protocol}: std of log-Jacobian", f"at most {smooth_goal:.3f}{whose}", f"{smooth:.3f}", smooth <= smooth_goal),
            Target(f"{self.protocol}: non-positive Jacobians", "at most 0.01 %", f"{100 * folded:.4f} %", folded <= MOST_FOLDED),
            Target(f"{self.protocol}: processor seconds a pair", f"at most {seconds_goal:g}", f"{seconds:.1f}", seconds <= seconds_goal),
        )

    def as_dict(self) -> dict:
        """Everything, for JSON."""
        return {
            "protocol": self.protocol,
            "threads": self.threads,
            "methods": [
                {
                    "method": method.method,
                    "missing": method.missing,
                    "peak_bytes": method.peak_bytes,
                    "pairs": [
                        {
                            "pair": pair.pair,
                            "dice": {self.label_names.get(label, str(label)): value for label, value in pair.dice.items()},
                            "hd95_mm": {self.label_names.get(label, str(label)): value for label, value in pair.hd95_mm.items()},
                            "std_log_jacobian": pair.std_log_jacobian,
                            "nonpositive": pair.nonpositive,
                            "seconds": pair.seconds,
                            "processor_seconds": pair.processor_seconds,
                        }
                        for pair in method.pairs
                    ],
                }
                for method in self.methods
            ],
        }

    def _row(self, method: MethodResult, names: dict[int, str]) -> list[str]:
        name = method.method.removeprefix(OURS)
        if not method.pairs:
            return [name, "0", f"skipped: {method.missing}", *["-"] * (len(names) + 9)]
        dice = [pair.mean_dice for pair in method.pairs]
        distances = [method.label_mean("hd95_mm", label) for label in names]
        numbers = [
            np.mean(dice),
            np.std(dice),
            np.min(dice),
            *[method.label_mean("dice", label) for label in names],
            np.mean(distances),
            method.mean("std_log_jacobian"),
            max(pair.std_log_jacobian for pair in method.pairs),
        ]
        costs = [format_number(method.median(one), 2) for one in ("seconds", "processor_seconds")]
        folded = format_number(100 * method.mean("nonpositive"), 4)
        return [name, str(len(method.pairs)), *[format_number(float(one)) for one in numbers], folded, *costs, str(round(method.peak_bytes / 2**20))]


def benchmark_registration(
    folder: str | Path,
    protocol: str,
    *,
    methods: Sequence[str] = DEFAULT_METHODS,
    pairs: int = 20,
    threads: int = 1,
    tuned: bool = False,
    progress: Progress = no_progress,
) -> RegistrationBenchmark:
    """Runs every method, each in a process of its own with that many threads, over the same pairs.

    Args:
        folder: of the public data set: MSD Task04 Hippocampus, or ACDC's training set.
        protocol: "hippocampus-most-similar", "hippocampus-random" (1 mm, clipped, [0, 1], 48 x 64 x 48), or "acdc" (end-systole onto
            end-diastole, native grids).
        methods: "unregistered", names of peers, and "ours:" with the name of a method.
        pairs: how many subjects or patients, evenly chosen.
        threads: for every method.
        tuned: the subjects that settings were chosen on rather than those left aside.

    Raises:
        InputError: an unknown protocol, or data that is not there. A package that is missing is a row that says so.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol: expected one of {', '.join(PROTOCOLS)}, got {protocol!r}")
    results = []
    for index, method in enumerate(methods):
        progress(index, len(methods), method.removeprefix(OURS))
        arguments = [method, protocol, str(folder), "--pairs", str(pairs), "--threads", str(threads), *(["--tuned"] if tuned else [])]
        answer = run_in_child(RUNNER, arguments, quiet_threads(threads))
        results.append(_method_result(method, answer))
    progress(len(methods), len(methods), "done")
    return RegistrationBenchmark(protocol, tuple(results), threads)


def _method_result(method: str, answer: dict) -> MethodResult:
    if "missing" in answer:
        return MethodResult(method, (), missing=answer["missing"])
    rows = []
    for row in answer["rows"]:
        by_label = {name: {int(label): value for label, value in row[name].items()} for name in ("dice", "hd95_mm")}
        rows.append(PairResult(**{**row, **by_label}))
    return MethodResult(method, tuple(rows), peak_bytes=answer["peak_bytes"])
