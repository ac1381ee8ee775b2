"""One case of a cohort: its command line run in a folder of its own, which appears only when everything is written.

A case that a reviewer corrected (`review.py`) is run with the correction; its first result is kept.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import shutil
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from UltrasoundMotionLib.atomic_output import atomic_folder, bring_to_disk, write_text_file
from UltrasoundMotionLib.cohort.manifest import CohortCase
from UltrasoundMotionLib.cohort.measures import measure_case
from UltrasoundMotionLib.cohort.verbs import VERBS
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.json_output import finite

CASES, FAILED, DONE, LOG = "cases", "failed", "done.json", "log.txt"
REVIEWED, ORIGINAL = "reviewed", "original"
"""Folder of what reviewers decided, a folder for each case, and in that one the result before its correction."""
RunLine = Callable[[Sequence[str]], int]
"""Runs a command line without the program's name and returns its exit code."""

_CANCELLED = (130, 143)
_FULL = tuple(os.strerror(getattr(errno, name)) for name in ("ENOSPC", "EDQUOT") if hasattr(errno, name))
_LEAST_FREE_BYTES = 1_000_000


@dataclass(frozen=True)
class CaseRecord:
    """The outcome of one case.

    Attributes:
        name, verb: of the case.
        digest: see `CohortCase.digest`; empty where it failed.
        seconds: that it took.
        reason: why it failed; empty where it did not.
        measures: numbers by name, of a finished case.
        doubt: how much a person should look at it, 0 to 1.
        doubts: the reasons for that.
        outputs: sizes of the files that were written, by name.
        request: see `CohortCase.request_digest`.
        options: of the case, as its manifest gives them.
        correction: options that a reviewer put in the place of some of these.
    """

    name: str
    verb: str
    digest: str
    seconds: float
    reason: str = ""
    measures: dict[str, float] = field(default_factory=dict)
    doubt: float = 0.0
    doubts: tuple[str, ...] = ()
    outputs: dict[str, int] = field(default_factory=dict)
    request: str = ""
    options: dict[str, str] = field(default_factory=dict)
    correction: dict[str, str] = field(default_factory=dict)


class CaseCancelled(Exception):
    """Raised where the user stopped a case."""


def finished(case: CohortCase, out: Path) -> CaseRecord | None:
    """Returns the record of a case whose result is there, whole, and of this very request; None otherwise."""
    record = read_record(out / CASES / case.name)
    return record if record is not None and record.digest == case.digest() else None


def read_record(folder: Path) -> CaseRecord | None:
    """Returns the record of a case's folder whose files are there and as long as they were written; else None."""
    try:
        record = _record(json.loads((folder / DONE).read_text(encoding="utf-8")))
        sizes = {file: (folder / file).stat().st_size for file in record.outputs}
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return record if sizes == record.outputs else None


def _record(content: dict[str, Any]) -> CaseRecord:
    return CaseRecord(**{**content, "doubts": tuple(content["doubts"])})


def run_case(case: CohortCase, out: Path, run_line: RunLine) -> CaseRecord:
    """Runs a case that is not finished yet; a failure is a record with its reason.

    Raises:
        CaseCancelled: the user stopped it; nothing is left of it.
    """
    started, folder, log = time.perf_counter(), out / CASES / case.name, io.StringIO()
    try:
        request = case.request_digest()  # of the files as they are before they are read
        with atomic_folder(folder, before=_place_of_original(case, out)) as temporary:
            outputs = _outputs_of(case)
            words = [case.verb, *case.words]
            words += [word for flag, name in outputs.items() for word in (flag, str(temporary / name))]
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                code = run_line(words)
            if code in _CANCELLED:
                raise CaseCancelled(case.name)
            text = log.getvalue().replace(str(temporary), str(folder))
            if code != 0:
                raise InputError(_reason(text, code))
            measures, doubt, doubts = measure_case(case.verb, temporary)
            (temporary / LOG).write_text(text, encoding="utf-8")
            record = CaseRecord(
                case.name,
                case.verb,
                case.digest(request),
                round(time.perf_counter() - started, 3),
                "",
                measures,
                doubt,
                doubts,
                {name: (temporary / name).stat().st_size for name in (*outputs.values(), LOG)},
                request,
                dict(case.options),
                dict(case.correction),
            )
            done = temporary / DONE  # last
            done.write_text(json.dumps(finite(asdict(record)), indent=2) + "\n", encoding="utf-8")
            bring_to_disk(done)
    except (InputError, OutputError, OSError) as error:
        reason = str(error).replace("\n", " ")
    except (CaseCancelled, KeyboardInterrupt):
        raise CaseCancelled(case.name) from None
    except Exception as error:
        reason = f"unexpected: {type(error).__name__}: {error}"
        log.write(traceback.format_exc())
    else:
        with contextlib.suppress(FileNotFoundError):
            (out / FAILED / f"{case.name}.txt").unlink()
        return record
    if not is_disk_full(reason, out):
        _remove_outdated(case, out)
    return failed(case, out, reason, round(time.perf_counter() - started, 3), log.getvalue())


def _outputs_of(case: CohortCase) -> dict[str, str]:
    """Returns the names of the files that a case writes, by the argument that takes them."""
    verb, given = VERBS[case.verb], {**dict(case.options), **dict(case.correction)}
    return {**verb.outputs, **(verb.labelled if given.get("moving_labels") else {})}


def _place_of_original(case: CohortCase, out: Path) -> Path | None:
    """Returns where the result that is there is kept: the one before a correction; None for one to be replaced."""
    place = out / REVIEWED / case.name / ORIGINAL
    if not case.correction or place.exists():
        return None
    record = read_record(out / CASES / case.name)
    if record is None or record.correction:
        return None
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _remove_outdated(case: CohortCase, out: Path) -> None:
    """Removes the result of another request after a failure: it would be taken for the result of this one."""
    folder = out / CASES / case.name
    if finished(case, out) is not None:
        return
    with contextlib.suppress(OSError):
        place = _place_of_original(case, out)
        if place is not None:
            folder.replace(place)
        elif folder.exists():
            shutil.rmtree(folder)


def is_disk_full(reason: str, out: Path) -> bool:
    """Returns True where a case failed since its disk, or the user's share of it, is full."""
    try:
        free = shutil.disk_usage(out).free
    except OSError:
        free = _LEAST_FREE_BYTES
    return free < _LEAST_FREE_BYTES or any(text in reason for text in _FULL)


def failed(case: CohortCase, out: Path, reason: str, seconds: float = 0.0, log: str = "") -> CaseRecord:
    """Returns the record of a failure, and keeps the log where the disk allows it."""
    with contextlib.suppress(OSError, OutputError):
        (out / FAILED).mkdir(exist_ok=True)
        write_text_file(out / FAILED / f"{case.name}.txt", f"{reason}\n\n{log}")
    return CaseRecord(case.name, case.verb, "", seconds, reason=reason)


def _reason(log: str, code: int) -> str:
    """Returns the last line of what a failed run said, without the program's name."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    last = lines[-1] if lines else f"exit code {code}"
    return last.removeprefix("ultrasound-motion: ").removeprefix("error: ")
