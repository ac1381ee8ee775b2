"""Decisions of reviewers on cases: accepted, corrected or rejected; a folder for each case, which no run replaces.

`OUT/reviewed/NAME/decision.json` holds the decision, and the files of a correction lie beside it. Each case has its own
file, so that several people may review a cohort at once.
"""

from __future__ import annotations

import getpass
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from UltrasoundMotionLib.atomic_output import write_text_file
from UltrasoundMotionLib.cohort.case_run import CASES, DONE, LOG, REVIEWED, CaseRecord
from UltrasoundMotionLib.cohort.manifest import CohortCase
from UltrasoundMotionLib.errors import InputError, OutputError

DECISION = "decision.json"
ACCEPTED, CORRECTED, REJECTED, RERUN = "accepted", "corrected", "rejected", "rerun"
NOT_REVIEWED, TO_RUN = "not reviewed", "to run"
STATES = (NOT_REVIEWED, TO_RUN, CORRECTED, ACCEPTED, REJECTED)
"""States of a case in the review list. One `to run` has a result of another request: it was corrected, or a file that
it reads has changed."""


@dataclass(frozen=True)
class Decision:
    """A reviewer's decision on one case.

    Attributes:
        state: ACCEPTED, CORRECTED or REJECTED; RERUN asks for other options, whose result nobody has seen.
        by, at, note: who decided, when (UTC), and why, where known.
        request: `CohortCase.request_digest` of the case without its correction: the correction is of this request.
        results: SHA-256 of the files that were looked at, by name; empty for a correction, whose result is to come.
        options: the correction: values of options by name, which take the place of the manifest's. A file that lies in
            the case's folder of `reviewed` is named without a folder.
    """

    state: str
    by: str = ""
    at: str = ""
    note: str = ""
    request: str = ""
    results: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)


def read_decisions(out: Path) -> dict[str, Decision]:
    """Returns the decisions on the cases of a cohort by their names.

    Raises:
        InputError: a file that holds no decision.
    """
    return {path.parent.name: _read(path) for path in sorted((out / REVIEWED).glob(f"*/{DECISION}"))}


def read_decision(out: Path, name: str) -> Decision | None:
    """Returns the decision on a case; None where there is none.

    Raises:
        InputError: the file holds no decision.
    """
    path = out / REVIEWED / name / DECISION
    return _read(path) if path.is_file() else None


def _read(path: Path) -> Decision:
    try:
        decision = Decision(**json.loads(path.read_text(encoding="utf-8")))
        if decision.state in (ACCEPTED, CORRECTED, REJECTED, RERUN) and isinstance(decision.options, dict):
            return decision
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path}: holds no decision of a review ({error}); remove it to review the case anew"
        ) from error
    raise InputError(f"{path}: holds no decision of a review; remove it to review the case anew")


def with_correction(case: CohortCase, decision: Decision | None, out: Path) -> CohortCase:
    """Returns a case with its correction, if there is one of this very request; otherwise the case as it is.

    Raises:
        InputError: the correction names an option or a file that there is not.
    """
    if decision is None or not decision.options or decision.request != case.request_digest():
        return case
    folder = (out / REVIEWED / case.name).absolute()
    options = {
        name: str(folder / text) if text and (folder / text).is_file() else text
        for name, text in decision.options.items()
    }
    try:
        return case.corrected(options)
    except InputError as error:
        raise InputError(f"{folder / DECISION}: {error}") from error


def state_of(record: CaseRecord, case: CohortCase, decision: Decision | None, out: Path) -> str:
    """Returns the state of a finished case in the review list.

    A decision holds as long as what it was made of stays the same: the files that were looked at, bit by bit, or the
    request that was corrected.

    Args:
        case: with its correction, see `with_correction`.
    """
    if record.request != case.request_digest():
        return TO_RUN
    if decision is None:
        return NOT_REVIEWED
    if decision.state == CORRECTED:
        return CORRECTED if case.correction else NOT_REVIEWED
    if decision.state == RERUN:
        return NOT_REVIEWED
    return decision.state if decision.results == _hashes(record, out) else NOT_REVIEWED


def decide(
    out: Path,
    record: CaseRecord,
    case: CohortCase,
    state: str,
    *,
    options: Mapping[str, str] | None = None,
    files: Mapping[str, Callable[[Path], object]] | None = None,
    by: str | None = None,
    note: str = "",
) -> Decision:
    """Writes a decision on a finished case; the input files and the result stay as they are.

    Args:
        record: of the result that was looked at.
        case: without its correction.
        state: ACCEPTED, CORRECTED, REJECTED or RERUN.
        options: the correction, see `Decision.options`; None keeps the one there is.
        files: writers of the files of the correction by name, called with the path; they write it whole or not at all.
        by: who decides; the user of this computer when None.

    Raises:
        InputError: a correction that the case cannot have.
        OutputError: a file cannot be written.
    """
    folder = out / REVIEWED / case.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made: {error.strerror or error}") from error
    for name, write in (files or {}).items():
        write(folder / name)
    before = read_decision(out, case.name)
    request = case.request_digest()
    if options is None:
        options = before.options if before is not None and before.request == request else {}
    decision = Decision(
        state,
        by=current_user() if by is None else by,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        note=note,
        request=request,
        results=_hashes(record, out) if state in (ACCEPTED, REJECTED) else {},
        options=dict(options),
    )
    with_correction(case, decision, out)  # checks it
    write_text_file(folder / DECISION, json.dumps(asdict(decision), indent=2) + "\n")
    return decision


def withdraw(out: Path, name: str) -> bool:
    """Takes a decision back: the case is as its manifest asks, and not reviewed. Files of its correction stay.

    Returns:
        False where there was none.

    Raises:
        OutputError: the file cannot be removed.
    """
    path = out / REVIEWED / name / DECISION
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise OutputError(f"{path}: cannot be removed: {error.strerror or error}") from error
    return True


def current_user() -> str:
    """Returns the name of this computer's user; empty where it is not known."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def _hashes(record: CaseRecord, out: Path) -> dict[str, str]:
    """Returns the SHA-256 of a case's results; reports and the log, which tell the time it took, are left out."""
    folder, found = out / CASES / record.name, {}
    for name in record.outputs:
        if name not in (LOG, DONE) and not name.endswith(".json"):
            try:
                with (folder / name).open("rb") as file:
                    found[name] = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError:
                found[name] = ""
    return found


def corrected_cases(cases: tuple[CohortCase, ...], out: Path) -> tuple[CohortCase, ...]:
    """Returns the cases of a manifest with the corrections of their reviewers.

    Raises:
        InputError: see `read_decisions` and `with_correction`.
    """
    decisions = read_decisions(out)
    return tuple(with_correction(case, decisions.get(case.name), out) for case in cases)
