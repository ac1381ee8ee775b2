"""Agreement of global longitudinal strain with an expert's: mean absolute deviation, Bland-Altman limits, test-retest.

Azad et al., Sec. 5.3: GLS of tracked walls against reference measurements of the same clips.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.evaluation.case_statistics import bootstrap_interval
from UltrasoundMotionLib.evaluation.observers import LIMITS
from UltrasoundMotionLib.text_table import format_number, markdown_table, text_table
from UltrasoundMotionLib.tracking.files.table_lines import check_label, parse_number, table_lines

COLUMNS = ("case", "gls_percent")
_MOST_PERCENT = 60.0


@dataclass(frozen=True)
class RetestAgreement:
    """Difference of two recordings of the same patient.

    Attributes:
        count: pairs of recordings.
        mean_absolute: mean absolute difference, percent points.
        bias: mean of the second less the first.
        deviation: within-subject standard deviation, sqrt(mean(d^2) / 2) (Bland and Altman, BMJ 1996).
        smallest_change: 1.96 sqrt(2) times that: a change beyond it is more than repetition explains.
    """

    count: int
    mean_absolute: float
    bias: float
    deviation: float
    smallest_change: float


@dataclass(frozen=True)
class GlsAgreement:
    """GLS of one method against the reference, in percent points; differences are the method's less the reference's.

    Attributes:
        method: its name.
        count: cases that both have.
        missing: cases of the reference without a value of the method.
        mad: mean absolute deviation; NaN, as the bias, where no case has a value.
        mad_low, mad_high: its 95 % bootstrap interval over cases; NaN of fewer than two.
        bias: mean difference.
        lower, upper: 95 % limits of agreement, bias -+ 1.96 standard deviations (n - 1); NaN of fewer than two.
        retest: of the method's own repeated recordings; None without any.
        differences: by case.
    """

    method: str
    count: int
    missing: tuple[str, ...]
    mad: float
    mad_low: float
    mad_high: float
    bias: float
    lower: float
    upper: float
    retest: RetestAgreement | None
    differences: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Returns the content for JSON."""
        return asdict(self)


def read_gls_table(path: str | Path) -> dict[str, float]:
    """Reads a table `case,gls_percent`, in percent (-18.5).

    Raises:
        InputError: no such table, a case given twice, a value that is no strain in percent; the line is named.
    """
    path = Path(path)
    values: dict[str, float] = {}
    for line, cells in table_lines(path, COLUMNS):
        case = check_label(path, f"line {line}", cells["case"])
        if case in values:
            raise InputError(f"{path}: line {line}: case {case} is given twice")
        values[case] = parse_number(
            path,
            line,
            "gls_percent",
            cells["gls_percent"],
            allowed=lambda value: math.isfinite(value) and abs(value) <= _MOST_PERCENT,
            expected="a strain in percent, such as -18.5",
        )
    if not values:
        raise InputError(f"{path}: holds no case, only the column names")
    fractions = [value for value in values.values() if value != 0]
    if fractions and all(abs(value) < 1 for value in fractions):
        raise InputError(f"{path}: all values are below 1: they seem to be fractions; give percent (-18.5, not -0.185)")
    return values


def compare_gls(
    method: str,
    measured: Mapping[str, float | None],
    reference: Mapping[str, float],
    repeats: Sequence[tuple[str, str]] = (),
) -> GlsAgreement:
    """Compares a method's GLS with the reference, case by case.

    Args:
        measured: by case, in percent; None where no number was given.
        repeats: (first recording, second recording) of the same patient.

    Raises:
        InputError: no case in common.
    """
    known = {case: value for case, value in measured.items() if value is not None and math.isfinite(value)}
    if not set(reference) & set(measured):
        raise InputError(
            f"{method}: no case of the reference ({', '.join(list(reference)[:3])} ...) is among those of {method} "
            f"({', '.join(list(measured)[:3]) or 'none'} ...); cases are compared by name"
        )
    common = [case for case in reference if case in known]
    differences = {case: known[case] - reference[case] for case in common}
    values = np.array(list(differences.values()))
    spread = LIMITS * float(values.std(ddof=1)) if len(values) > 1 else math.nan
    low, high = bootstrap_interval(np.abs(values))
    bias, mad = (float(v.mean()) if len(v) else math.nan for v in (values, np.abs(values)))
    return GlsAgreement(
        method,
        len(common),
        tuple(case for case in reference if case not in known),
        mad,
        low,
        high,
        bias,
        bias - spread,
        bias + spread,
        compare_repeats(known, repeats),
        differences,
    )


def compare_repeats(values: Mapping[str, float], repeats: Sequence[tuple[str, str]]) -> RetestAgreement | None:
    """Compares repeated recordings; None where no pair has two values."""
    change = np.array([values[second] - values[first] for first, second in repeats if {first, second} <= set(values)])
    if not len(change):
        return None
    deviation = float(np.sqrt(np.mean(change**2) / 2))
    return RetestAgreement(
        len(change),
        float(np.abs(change).mean()),
        float(change.mean()),
        deviation,
        LIMITS * math.sqrt(2) * deviation,
    )


def gls_table(rows: Sequence[GlsAgreement], reference: RetestAgreement | None = None, *, markdown: bool = False) -> str:
    """Formats a row for each method; with repeated recordings also their within-subject deviation and the smallest
    change beyond it, and those of the reference itself.
    """
    header = ["GLS of", "cases", "missing", "MAD", "95 % interval", "bias", "limits of agreement"]
    repeated = reference is not None or any(row.retest is not None for row in rows)
    if repeated:
        header += ["repeats", "repeat MAD", "within-subject SD", "smallest change"]
    lines = [
        [
            row.method,
            str(row.count),
            str(len(row.missing)),
            _number(row.mad),
            f"{_number(row.mad_low)} to {_number(row.mad_high)}",
            _number(row.bias),
            f"{_number(row.lower)} to {_number(row.upper)}",
            *(_retest_cells(row.retest) if repeated else ()),
        ]
        for row in rows
    ]
    if reference is not None:
        lines.append(["reference", *["-"] * 6, *_retest_cells(reference)])
    return (markdown_table if markdown else text_table)(header, lines)


def _retest_cells(retest: RetestAgreement | None) -> list[str]:
    if retest is None:
        return ["-"] * 4
    numbers = (retest.mean_absolute, retest.deviation, retest.smallest_change)
    return [str(retest.count), *(_number(value) for value in numbers)]


def _number(value: float) -> str:
    return format_number(value if math.isfinite(value) else None, 2)
