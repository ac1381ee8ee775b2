"""One case of a cohort: its command line run in a folder of its own, which appears only when everything is written."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from UltrasoundMotionLib.atomic_output import atomic_output, write_text_file
from UltrasoundMotionLib.cohort.manifest import CohortCase
from UltrasoundMotionLib.cohort.measures import measure_case
from UltrasoundMotionLib.cohort.verbs import VERBS
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.json_output import finite

CASES, FAILED, DONE, LOG = "cases", "failed", "done.json", "log.txt"
RunLine = Callable[[Sequence[str]], int]
"""Runs a command line without the program's name and returns its exit code."""

_CANCELLED = (130, 143)


@dataclass(frozen=True)
class CaseRecord:
    """The outcome of one case.

    Attributes:
        name, verb: of the case.
        digest: see `CohortCase.digest`.
        seconds: that it took.
        reason: why it failed; empty where it did not.
        measures: numbers by name, of a finished case.
        doubt: how much a person should look at it, 0 to 1.
        doubts: the reasons for that.
        outputs: sizes of the files that were written, by name.
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


class CaseCancelled(Exception):
    """Raised where the user stopped a case."""


def finished(case: CohortCase, out: Path) -> CaseRecord | None:
    """Returns the record of a case whose result is there, whole, and of this very request; None otherwise."""
    return finished_with(case.name, case.digest(), out)


def finished_with(name: str, digest: str, out: Path) -> CaseRecord | None:
    """Returns the record of a finished case, given the digest of its request."""
    folder = out / CASES / name
    try:
        record = _record(json.loads((folder / DONE).read_text(encoding="utf-8")))
        sizes = {file: (folder / file).stat().st_size for file in record.outputs}
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return record if record.digest == digest and sizes == record.outputs else None


def _record(content: dict[str, Any]) -> CaseRecord:
    return CaseRecord(**{**content, "doubts": tuple(content["doubts"])})


def run_case(case: CohortCase, out: Path, run_line: RunLine) -> CaseRecord:
    """Runs a case that is not finished yet; a failure is a record with its reason.

    Raises:
        CaseCancelled: the user stopped it; nothing is left of it.
    """
    digest, started = case.digest(), time.perf_counter()
    verb, folder = VERBS[case.verb], out / CASES / case.name
    outputs = {**verb.outputs, **(verb.labelled if "moving_labels" in dict(case.options) else {})}
    log = io.StringIO()
    try:
        if folder.exists():
            shutil.rmtree(folder)
        with atomic_output(folder) as temporary:
            temporary.mkdir()
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
                digest,
                round(time.perf_counter() - started, 3),
                "",
                measures,
                doubt,
                doubts,
                {name: (temporary / name).stat().st_size for name in (*outputs.values(), LOG)},
            )
            write_text_file(temporary / DONE, json.dumps(finite(asdict(record)), indent=2) + "\n")  # last
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
    return failed(case, out, reason, round(time.perf_counter() - started, 3), log.getvalue())


def failed(case: CohortCase, out: Path, reason: str, seconds: float = 0.0, log: str = "") -> CaseRecord:
    """Returns the record of a failure, and keeps the log where the disk allows it."""
    with contextlib.suppress(OSError, OutputError):
        (out / FAILED).mkdir(exist_ok=True)
        write_text_file(out / FAILED / f"{case.name}.txt", f"{reason}\n\n{log}")
    return CaseRecord(case.name, case.verb, case.digest(), seconds, reason=reason)


def _reason(log: str, code: int) -> str:
    """Returns the last line of what a failed run said, without the program's name."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    last = lines[-1] if lines else f"exit code {code}"
    return last.removeprefix("ultrasound-motion: ").removeprefix("error: ")
