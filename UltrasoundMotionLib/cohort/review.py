"""The review list of a cohort, the doubtful cases first; and the run of what reviewers corrected.

`review.json` and `review.csv` are written anew from the results and the decisions (`decisions.py`), which they show.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from UltrasoundMotionLib.atomic_output import write_text_file
from UltrasoundMotionLib.cohort.case_run import CASES, ORIGINAL, REVIEWED, CaseRecord, RunLine, read_record
from UltrasoundMotionLib.cohort.decisions import (
    NOT_REVIEWED,
    STATES,
    TO_RUN,
    Decision,
    read_decision,
    read_decisions,
    state_of,
    with_correction,
)
from UltrasoundMotionLib.cohort.manifest import CohortCase, make_case
from UltrasoundMotionLib.cohort.run import CohortOutcome, run_cohort
from UltrasoundMotionLib.cohort.verbs import VERBS
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.json_output import finite
from UltrasoundMotionLib.progress import Progress, no_progress

LIST, TABLE = "review.json", "review.csv"
_COLUMNS = ("case", "verb", "state", "doubt", "why", "by", "at", "note", "model", "inputs", "results")
_MODEL_OPTIONS = ("model", "method")


@dataclass(frozen=True)
class ReviewedCase:
    """A finished case of a cohort, for a reviewer.

    Attributes:
        record: of its result.
        folder: of its result.
        case: as it was asked for, with its correction; None where a file that it reads is gone.
        base: the same without its correction.
        state: one of `STATES`.
        decision: of a reviewer, if there is one.
        why_not: why it can be neither opened nor run; empty where it can.
    """

    record: CaseRecord
    folder: Path
    case: CohortCase | None
    base: CohortCase | None
    state: str
    decision: Decision | None = None
    why_not: str = ""

    @property
    def name(self) -> str:
        """The case's name."""
        return self.record.name

    @property
    def correction(self) -> dict[str, str]:
        """The options that a reviewer put in the place of the manifest's; the result has them unless it is to run."""
        return dict(self.case.correction) if self.case is not None else self.record.correction

    @property
    def doubts(self) -> tuple[str, ...]:
        """The reasons to look at it."""
        return (*self.record.doubts, *((self.why_not,) if self.why_not else ()))

    def option(self, name: str) -> str:
        """Returns the value of an option as it is asked for now, or its default; empty where it has none."""
        given = {**self.record.options, **self.correction}
        if given.get(name):
            return given[name]
        default = VERBS[self.record.verb].options()[name].default
        return default if isinstance(default, str) else ""


def read_review(out: Path) -> tuple[ReviewedCase, ...]:
    """Reads the cases of a cohort's folder: first those to be reviewed, the doubtful ones first, then the others.

    Raises:
        InputError: no folder of a cohort, or no finished case in it; a decision that cannot be read.
    """
    if not (out / CASES).is_dir():
        raise InputError(f"{out}: is no folder of a cohort's results; it has no folder {CASES}")
    decisions = read_decisions(out)
    found = [_reviewed(record, folder, decisions.get(record.name), out) for record, folder in _records(out)]
    if not found:
        raise InputError(f"{out}: no case is finished yet; run `ultrasound-motion cohort MANIFEST --out {out}` first")
    return tuple(
        sorted(found, key=lambda one: (STATES.index(one.state), not one.record.doubts, -one.record.doubt, one.name))
    )


def read_case(out: Path, name: str) -> ReviewedCase:
    """Reads one case as it is now.

    Raises:
        InputError: no finished case of that name; a decision that cannot be read.
    """
    found = _find_record(out, name)
    if found is None or found[0].name != name:
        raise InputError(f"{out}: no case {name} is finished")
    return _reviewed(*found, read_decision(out, name), out)


def _records(out: Path) -> Iterator[tuple[CaseRecord, Path]]:
    """Yields the records of all results with their folders."""
    names = {path.name for path in (out / CASES).iterdir() if not path.name.startswith(".")}
    names |= {path.parent.name for path in (out / REVIEWED).glob(f"*/{ORIGINAL}")}
    for name in sorted(names):
        found = _find_record(out, name)
        if found is not None:
            yield found


def _find_record(out: Path, name: str) -> tuple[CaseRecord, Path] | None:
    """Returns the record of a result and its folder; of a correction that failed, the result before it."""
    for folder in (out / CASES / name, out / REVIEWED / name / ORIGINAL):
        record = read_record(folder)
        if record is not None:
            return record, folder
    return None


def _reviewed(record: CaseRecord, folder: Path, decision: Decision | None, out: Path) -> ReviewedCase:
    try:
        if not record.options:
            raise InputError("made by an earlier version: run the manifest again")
        base = make_case(record.name, record.verb, record.options, Path())
        case = with_correction(base, decision, out)
    except InputError as error:
        return ReviewedCase(record, folder, None, None, TO_RUN, decision, str(error))
    return ReviewedCase(record, folder, case, base, state_of(record, case, decision, out), decision)


def write_review(out: Path, cases: tuple[ReviewedCase, ...]) -> tuple[Path, Path]:
    """Writes the review list as `review.json` and `review.csv`; returns their paths.

    Raises:
        OutputError: a file cannot be written.
    """
    entries = [_entry(out, one) for one in cases]
    content = {"counts": dict(Counter(one.state for one in cases)), "cases": finite(entries)}
    write_text_file(out / LIST, json.dumps(content, indent=1) + "\n")
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for entry in entries:
        cells = {name: "; ".join(value) if isinstance(value, list) else value for name, value in entry.items()}
        cells["inputs"] = "; ".join(f"{name}={path}" for name, path in entry["inputs"].items())
        writer.writerow({name: cells[name] for name in _COLUMNS})
    write_text_file(out / TABLE, stream.getvalue())
    return out / LIST, out / TABLE


def _entry(out: Path, one: ReviewedCase) -> dict[str, Any]:
    record, decision = one.record, one.decision or Decision("")
    given = {**record.options, **one.correction}
    files = {str(path) for path in one.case.files} if one.case is not None else set()
    model = next((name for name in _MODEL_OPTIONS if name in VERBS[record.verb].options()), None)
    return {
        "case": one.name,
        "verb": record.verb,
        "state": one.state,
        "doubt": record.doubt,
        "why": list(one.doubts),
        "by": decision.by,
        "at": decision.at,
        "note": decision.note,
        "model": one.option(model) if model else "",
        "inputs": {name: text for name, text in given.items() if set(text.split(";")) & files},
        "results": [(one.folder / name).relative_to(out).as_posix() for name in record.outputs],
        "options": given,
        "decision": asdict(decision) if one.decision else None,
    }


def apply_review(
    out: Path, run_line: RunLine, *, workers: int, progress: Progress = no_progress
) -> tuple[CohortOutcome, tuple[str, ...]]:
    """Runs the cases whose result is of another request than what reviewers decided; the others stay.

    Tracks come first, since strain may be measured of them: such cases are then run too.

    Args:
        run_line, workers, progress: see `run_cohort`.

    Returns:
        The outcome of what was run, and a line for each case that cannot be run.

    Raises:
        InputError: see `read_review`.
        Cancelled, OutputError: see `run_cohort`.
    """
    records: list[CaseRecord] = []
    for verb in VERBS:
        chosen = [one for one in read_review(out) if one.state == TO_RUN and one.record.verb == verb]
        cases = [one.case for one in chosen if one.case is not None]
        if cases:
            records += run_cohort(cases, out, run_line, workers=workers, progress=progress).records
    left = [f"{one.name}: {one.why_not}" for one in read_review(out) if one.why_not]
    return CohortOutcome(tuple(records), (), 0), tuple(left)


def counts_of(cases: tuple[ReviewedCase, ...]) -> str:
    """Returns such as `12 not reviewed, 3 accepted`, in the order of the states."""
    counts = Counter(one.state for one in cases)
    return ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])


def next_doubtful(
    cases: Sequence[ReviewedCase | ListedCase], passed: frozenset[str] = frozenset()
) -> ReviewedCase | ListedCase | None:
    """Returns the most doubtful case that nobody has reviewed yet; None where none of these is doubtful.

    Args:
        cases: in the order of the review list.
        passed: names of cases that were looked at and left open.
    """
    doubtful = (one for one in cases if one.state == NOT_REVIEWED and one.doubts)
    return next((one for one in doubtful if one.name not in passed), None)


@dataclass(frozen=True)
class ListedCase:
    """A line of the review list.

    Attributes:
        name, verb, state, doubt, doubts: as in `ReviewedCase` and its record.
    """

    name: str
    verb: str
    state: str
    doubt: float
    doubts: tuple[str, ...]


def read_list(out: Path) -> tuple[ListedCase, ...]:
    """Reads the review list, which is written first where there is none; one file, however many cases there are.

    Raises:
        InputError: see `read_review`; a file that is no review list.
        OutputError: the list cannot be written.
    """
    path = out / LIST
    if not path.is_file():
        write_review(out, read_review(out))
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["cases"]
        listed = [
            ListedCase(one["case"], one["verb"], one["state"], float(one["doubt"]), tuple(one["why"]))
            for one in entries
        ]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path}: is no review list; `ultrasound-motion cohort review {out}` writes it anew"
        ) from error
    decided = read_decisions(out)  # since the list was written
    return tuple(listed_case(out, one) if one.name in decided else one for one in listed)


def listed_case(out: Path, listed: ListedCase) -> ListedCase:
    """Returns a line of the list as the case is now; as it was where its result is gone.

    Raises:
        InputError: a decision that cannot be read.
    """
    if read_record(out / CASES / listed.name) is None:
        return listed
    one = read_case(out, listed.name)
    return ListedCase(one.name, listed.verb, one.state, one.record.doubt, one.doubts)
