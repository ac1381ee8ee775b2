"""The run of a cohort: what is finished is kept, what is missing is run, and tables and a page are written of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from UltrasoundMotionLib.cohort.case_run import CASES, FAILED, CaseRecord, RunLine, finished, is_disk_full
from UltrasoundMotionLib.cohort.manifest import CohortCase
from UltrasoundMotionLib.cohort.pool import run_pool
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.progress import Progress, no_progress


@dataclass(frozen=True)
class CohortOutcome:
    """The outcome of all cases of a manifest.

    Attributes:
        records: of finished and failed cases, in the order of the manifest.
        missing: names of cases that have neither a result nor a failure: another part's, or not run yet.
        kept: how many were finished before.
    """

    records: tuple[CaseRecord, ...]
    missing: tuple[str, ...]
    kept: int

    @property
    def failures(self) -> tuple[CaseRecord, ...]:
        """The failed cases."""
        return tuple(one for one in self.records if one.reason)


def part_of(cases: Sequence[CohortCase], part: tuple[int, int]) -> tuple[CohortCase, ...]:
    """Returns part K of N, from 1: every N-th case, so that parts take about as long as each other.

    Raises:
        InputError: no such part.
    """
    number, count = part
    if not 1 <= number <= count:
        raise InputError(f"--part {number}/{count}: expected a part from 1 to {count}")
    return tuple(cases[number - 1 :: count])


def run_cohort(
    cases: Sequence[CohortCase],
    out: Path,
    run_line: RunLine,
    *,
    workers: int,
    part: tuple[int, int] = (1, 1),
    progress: Progress = no_progress,
) -> CohortOutcome:
    """Runs the cases of a part that are not finished yet.

    Args:
        run_line: see `run_case`.
        progress: called after each case.

    Raises:
        Cancelled: the user stopped it; the finished cases stay.
        OutputError: the folder cannot be made, or its disk is full: the finished cases stay, and so do the others'
            earlier results.
    """
    try:
        (out / CASES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be made: {error.strerror or error}") from error
    chosen = part_of(cases, part)
    known = {case.name: record for case in cases if (record := finished(case, out)) is not None}
    kept = len(known)
    rest = [case for case in chosen if case.name not in known]
    done = len(chosen) - len(rest)
    progress(done, len(chosen), f"{done} finished before")

    def on_record(record: CaseRecord) -> None:
        """Keeps the outcome of a case and reports it."""
        nonlocal done
        if record.reason and is_disk_full(record.reason, out):
            raise OutputError(
                f"{out}: the disk is full: {len(known)} cases are finished and kept; free some space, and the same "
                "command goes on"
            )
        known[record.name] = record
        done += 1
        progress(done, len(chosen), record.name if not record.reason else f"{record.name} failed")

    if rest:
        run_pool(rest, out, run_line, workers=min(workers, len(rest)), on_record=on_record)
    return collect(cases, out, known, kept)


def collect(
    cases: Sequence[CohortCase], out: Path, known: dict[str, CaseRecord] | None = None, kept: int = 0
) -> CohortOutcome:
    """Gathers what is there of all cases of a manifest, the failures of other parts among it.

    Args:
        known: records that are at hand; the others are read.
    """
    records, missing = [], []
    for case in cases:
        record = (known or {}).get(case.name) or finished(case, out)
        if record is None:
            path = out / FAILED / f"{case.name}.txt"
            if path.is_file():
                lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
                record = CaseRecord(case.name, case.verb, "", 0.0, reason=lines[0] if lines else "unknown")
        if record is None:
            missing.append(case.name)
        else:
            records.append(record)
    return CohortOutcome(tuple(records), tuple(missing), kept)
