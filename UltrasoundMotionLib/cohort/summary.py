"""Tables and a page of a whole cohort: `summary.csv`, `failures.csv`, `summary.html`."""

from __future__ import annotations

import base64
import csv
import html
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output, write_text_file
from UltrasoundMotionLib.cohort.case_run import CASES, CaseRecord
from UltrasoundMotionLib.cohort.decisions import NOT_REVIEWED, REJECTED, STATES, read_decisions, state_of
from UltrasoundMotionLib.cohort.manifest import CohortCase
from UltrasoundMotionLib.cohort.review import LIST, read_review, write_review
from UltrasoundMotionLib.cohort.run import CohortOutcome
from UltrasoundMotionLib.cohort.thumbnails import thumbnail_png
from UltrasoundMotionLib.errors import MissingPackageError

SUMMARY, FAILURES, PAGE, PARQUET = "summary.csv", "failures.csv", "summary.html", "summary.parquet"
_COLUMNS = ("case", "verb", "measure", "value", "review")
_BINS, _MOST_THUMBNAILS = 24, 60
_BAR_HEIGHT, _BAR_WIDTH = 60, 8


def write_summary(
    out: Path, cases: Sequence[CohortCase], outcome: CohortOutcome, *, parquet: bool = False
) -> tuple[Path, ...]:
    """Writes the tables and the page; returns their paths.

    `summary.csv` is tidy: `case,verb,measure,value,review`, one line for each measure of each finished case, the doubt
    among them; `review` is the state of the case, see `decisions.STATES`. `failures.csv` has `case,verb,reason`.

    Args:
        parquet: also write `summary.parquet`.

    Raises:
        OutputError: a file cannot be written.
        MissingPackageError: Parquet without pyarrow.
    """
    finished = [one for one in outcome.records if not one.reason]
    states = _states(out, cases, finished)
    rows = [
        (one.name, one.verb, name, value, states[one.name])
        for one in finished
        for name, value in _all_measures(one).items()
    ]
    written = [_write_csv(out / SUMMARY, _COLUMNS, rows)]
    failures = [(one.name, one.verb, one.reason) for one in outcome.failures]
    written.append(_write_csv(out / FAILURES, ("case", "verb", "reason"), failures))
    if parquet:
        written.append(_write_parquet(out / PARQUET, rows))
    write_text_file(out / PAGE, _page(out, cases, outcome, states))
    written.append(out / PAGE)
    if (out / LIST).exists():
        written += write_review(out, read_review(out))
    return tuple(written)


def _states(out: Path, cases: Sequence[CohortCase], finished: Sequence[CaseRecord]) -> dict[str, str]:
    """Returns the review's state of each finished case."""
    decisions, by_name = read_decisions(out), {case.name: case for case in cases}
    decided = {
        one.name: state_of(one, by_name[one.name], decisions[one.name], out)
        for one in finished
        if one.name in decisions
    }
    return {one.name: decided.get(one.name, NOT_REVIEWED) for one in finished}


def _all_measures(record: CaseRecord) -> dict[str, float]:
    return {**record.measures, "doubt": record.doubt, "seconds": record.seconds}


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text_file(path, stream.getvalue())
    return path


def _write_parquet(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackageError("--parquet needs pyarrow: pip install pyarrow") from error
    columns = {name: [row[place] for row in rows] for place, name in enumerate(_COLUMNS)}
    with atomic_output(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.table(columns), temporary)
    return path


def _page(out: Path, cases: Sequence[CohortCase], outcome: CohortOutcome, states: Mapping[str, str]) -> str:
    """Returns the page: counts, distributions, failures, then cases with the doubtful ones first, and among those the
    ones that nobody has reviewed.
    """
    finished = sorted(
        (one for one in outcome.records if not one.reason),
        key=lambda one: (states[one.name] != NOT_REVIEWED, -one.doubt, one.name),
    )
    doubtful = sum(bool(one.doubts) for one in finished)
    counts = Counter(states.values())
    reviewed = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Cohort</title><style>",
        "body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:72em;padding:0 1em;color:#222}",
        "table{border-collapse:collapse}td,th{padding:.3em .8em;border-bottom:1px solid #ddd;text-align:left;",
        "vertical-align:top}.doubt{color:#a33}figure{display:inline-block;margin:0 1.5em 1em 0}",
        "figcaption{font-size:13px}img{max-height:120px}</style></head><body>",
        f"<h1>{len(outcome.records) + len(outcome.missing)} cases</h1>",
        f"<p>{len(finished)} finished, {doubtful} of them doubtful; {len(outcome.failures)} failed; "
        f"{len(outcome.missing)} not run yet. Review: {reviewed or 'none'}. Not for clinical use.</p>",
        *_distributions([one for one in finished if states[one.name] != REJECTED], counts[REJECTED]),
    ]
    if outcome.failures:
        parts.append("<h2>Failed</h2><table><tr><th>case</th><th>reason</th></tr>")
        parts += [f"<tr><td>{_text(one.name)}</td><td>{_text(one.reason)}</td></tr>" for one in outcome.failures]
        parts.append("</table>")
    parts.append(
        "<h2>Cases, the most doubtful first</h2><table><tr><th></th><th>case</th><th>doubt</th><th>why</th>"
        "<th>review</th></tr>"
    )
    inputs = {case.name: case for case in cases}
    for number, one in enumerate(finished):
        picture = ""
        if number < _MOST_THUMBNAILS and (png := thumbnail_png(inputs[one.name], out / CASES / one.name)) is not None:
            picture = f"<img alt='' src='data:image/png;base64,{base64.b64encode(png).decode()}'>"
        parts.append(
            f"<tr><td>{picture}</td><td>{_text(one.name)}</td><td>{one.doubt:.2f}</td>"
            f"<td class='doubt'>{'<br>'.join(map(_text, one.doubts))}</td><td>{states[one.name]}</td></tr>"
        )
    parts.append("</table></body></html>\n")
    return "".join(parts)


def _distributions(records: Sequence[CaseRecord], rejected: int) -> list[str]:
    """Returns a small histogram of each measure that differs between cases.

    Args:
        rejected: how many cases a reviewer rejected, which are left out.
    """
    values: dict[str, list[float]] = {}
    for one in records:
        for name, value in _all_measures(one).items():
            values.setdefault(name, []).append(value)
    shown = {name: np.array(one) for name, one in values.items() if len(one) > 1 and np.ptp(one) > 0}
    if not shown:
        return []
    note = [f"<p>Without the {rejected} that were rejected in the review.</p>"] if rejected else []
    return ["<h2>Distributions</h2>", *note, *(_histogram(name, one) for name, one in shown.items())]


def _histogram(name: str, values: np.ndarray) -> str:
    counts, edges = np.histogram(values, bins=_BINS)
    bars = "".join(
        f"<rect x='{number * _BAR_WIDTH}' y='{_BAR_HEIGHT - height:.1f}' width='{_BAR_WIDTH - 1}' "
        f"height='{height:.1f}' fill='#47a'/>"
        for number, height in enumerate(_BAR_HEIGHT * counts / counts.max())
    )
    low, middle, high = np.percentile(values, (5, 50, 95))
    return (
        f"<figure><svg width='{_BINS * _BAR_WIDTH}' height='{_BAR_HEIGHT}' role='img'>{bars}</svg><figcaption>"
        f"<b>{_text(name)}</b>, n = {len(values)}<br>{edges[0]:.4g} to {edges[-1]:.4g}<br>"
        f"median {middle:.4g}, 90 % in {low:.4g} to {high:.4g}</figcaption></figure>"
    )


def _text(value: object) -> str:
    return html.escape(str(value))
