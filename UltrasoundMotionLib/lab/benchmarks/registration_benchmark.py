"""Registration, ours and the peers', on the same pairs of public data in one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import check_output_path
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.benchmarks.peak_memory import run_in_child
from UltrasoundMotionLib.lab.benchmarks.registration_protocols import (
    LEFT_ASIDE,
    ONE_ATLAS,
    PARTS,
    PROTOCOLS,
    label_names,
    shipped_atlas,
)
from UltrasoundMotionLib.lab.benchmarks.registration_rows import MethodResult, PairResult
from UltrasoundMotionLib.lab.benchmarks.registration_runner import OURS, UNREGISTERED, quiet_threads
from UltrasoundMotionLib.lab.benchmarks.registration_targets import INSTANCE, instance_targets, learned_targets
from UltrasoundMotionLib.lab.benchmarks.target import Target
from UltrasoundMotionLib.text_table import format_number, markdown_table, text_table

RUNNER = "UltrasoundMotionLib.lab.benchmarks.registration_runner"
DEFAULT_METHODS = (UNREGISTERED, f"{OURS}demons", "ants", "convexadam", "elastix", "greedy", INSTANCE)


@dataclass(frozen=True)
class RegistrationBenchmark:
    """All methods on one protocol."""

    protocol: str
    methods: tuple[MethodResult, ...]
    threads: int
    part: str = LEFT_ASIDE
    atlas: str | None = None

    def table(self, markdown: bool = False) -> str:
        """Means over the pairs, of seconds medians; the spread is the standard deviation of a pair's mean Dice."""
        names = label_names(self.protocol)
        header = [
            "method",
            "pairs",
            "Dice",
            "std",
            "min",
            *names.values(),
            "HD95 mm",
            "std log J",
            "max",
            "J <= 0 %",
            "s",
            "CPU s",
            "MB",
        ]
        rows = [self._row(method, names) for method in self.methods]
        return (markdown_table if markdown else text_table)(header, rows)

    def targets(self) -> tuple[Target, ...]:
        """The project's goals for the methods that were measured."""
        return (*instance_targets(self.protocol, self.methods), *learned_targets(self.protocol, self.methods))

    def as_dict(self) -> dict:
        """Everything, for JSON."""
        names = label_names(self.protocol)

        def row(pair: PairResult) -> dict:
            by_name = {
                one: {names.get(label, str(label)): value for label, value in getattr(pair, one).items()}
                for one in ("dice", "hd95_mm")
            }
            return asdict(pair) | by_name

        return {
            "protocol": self.protocol,
            "part": self.part,
            "atlas": self.atlas,
            "threads": self.threads,
            "methods": [
                {"method": one.method, "missing": one.missing, "pairs": [row(pair) for pair in one.pairs]}
                for one in self.methods
            ],
            "targets": [asdict(target) for target in self.targets()],
        }

    def _row(self, method: MethodResult, names: dict[int, str]) -> list[str]:
        name = method.method.removeprefix(OURS).replace(":", " ")
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
        return [
            name,
            str(len(method.pairs)),
            *[format_number(float(one)) for one in numbers],
            folded,
            *costs,
            str(round(method.peak_bytes / 2**20)),
        ]


def benchmark_registration(
    folder: str | Path,
    protocol: str,
    *,
    methods: Sequence[str] = DEFAULT_METHODS,
    pairs: int = 20,
    threads: int = 1,
    part: str = LEFT_ASIDE,
    atlas: str | None = None,
    rows: str | Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> RegistrationBenchmark:
    """Runs every method, each in a process of its own with that many threads, over the same pairs.

    Args:
        folder: of the public data set: MSD Task04 Hippocampus, or ACDC's training set.
        protocol: one of `PROTOCOLS`. "hippocampus-most-similar", "-random" and "-one-atlas": 1 mm, clipped, [0, 1], 48
            x 64 x 48; "acdc": end-systole onto end-diastole on the native grids; "acdc-published": the same at 1.56 mm,
            128 x 128 x 64.
        methods: see `method_call`.
        pairs: how many subjects or patients, evenly chosen.
        threads: for every method.
        part: one of `PARTS`: whose pairs.
        atlas: the subject that "hippocampus-one-atlas" puts onto all others; None: that of the shipped LT-Net.
        rows: file that keeps each pair's row as soon as it is measured; what it holds already of the same method,
            protocol, part, atlas and number of threads is not measured again.
        on_line: called with a line of text for each pair that was measured.

    Raises:
        InputError: an unknown protocol or part, or data that is not there. A package that is missing is a row that says
            so.
        OutputError: the file of rows cannot be written.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol: expected one of {', '.join(PROTOCOLS)}, got {protocol!r}")
    if part not in PARTS:
        raise InputError(f"part: expected one of {', '.join(PARTS)}, got {part!r}")
    if atlas is not None and protocol != ONE_ATLAS:
        raise InputError(f"atlas {atlas}: {protocol} takes none; {ONE_ATLAS} does")
    if protocol == ONE_ATLAS:
        atlas = atlas or shipped_atlas()
    shared = [protocol, str(folder), "--pairs", str(pairs), "--threads", str(threads), "--part", part]
    shared += [] if atlas is None else ["--atlas", atlas]
    if rows is not None:
        shared += ["--rows", str(check_output_path(rows))]
    results = []
    for method in methods:
        answer = run_in_child(RUNNER, [method, *shared], quiet_threads(threads), on_line)
        measured = tuple(PairResult.from_plain(row) for row in answer.get("rows", ()))
        results.append(MethodResult(method, measured, answer.get("missing", "")))
    return RegistrationBenchmark(protocol, tuple(results), threads, part, atlas)
