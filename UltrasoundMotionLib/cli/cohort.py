"""`cohort`: one request for each of many cases, in parallel, resumed where it was, with tables and a page of all."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.cli.request_arguments import whole_number
from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress, print_notes
from UltrasoundMotionLib.errors import InputError, OutputError

if TYPE_CHECKING:
    from UltrasoundMotionLib.cohort.case_run import CaseRecord

_MOST_LINES = 5
_STATES = {"accept": "accepted", "reject": "rejected", "rerun": "rerun", "reopen": ""}
"""Decisions by the words of the command line."""

DESCRIPTION = """Runs a case for each line of MANIFEST (.csv or .parquet: case, verb, and the options of that verb:
input, points, model; tracks; fixed, moving, moving_labels ...) into a folder of its own, several at a time. A case
that fails does not stop the others; the same command runs only what is not finished or has changed. Writes
summary.csv (a line for each measure of each case), failures.csv and summary.html (distributions, the doubtful cases
first). `cohort scan FOLDER --out MANIFEST.csv` makes a manifest of a folder of clips with points, or of ACDC,
EchoNet, CAMUS, CLUST; `cohort summary MANIFEST --out OUT` writes the tables alone. `cohort review OUT` lists the cases
for a reviewer, the doubtful ones first (review.csv, review.json); 3D Slicer's module Cohort Review opens them, and
`cohort review OUT --apply` runs those again that were corrected."""

SCAN, SUMMARY, REVIEW = "scan", "summary", "review"
_REVIEW_OPTIONS = ("case", "state", "set", "by", "note", "apply")


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the verb."""
    parser.description = DESCRIPTION
    parser.usage = (
        "%(prog)s MANIFEST --out OUT [options] | scan FOLDER --out MANIFEST.csv | summary MANIFEST --out OUT"
        " | review OUT [--apply | --case NAME --state STATE]"
    )
    parser.add_argument("what", metavar="MANIFEST", help="table of cases; or the word scan, summary or review")
    parser.add_argument(
        "of", metavar="FOLDER", nargs="?", help="of scan: the folder; of summary: the manifest; of review: the results"
    )
    parser.add_argument("--out", metavar="OUT", type=Path, help="folder of the results (of review: given without it)")
    parser.add_argument("--workers", metavar="N", type=whole_number, help="cases at a time (default: processor cores)")
    parser.add_argument("--part", metavar="K/N", type=_part, help="only every Nth case from the Kth on, from 1")
    parser.add_argument("--parquet", action="store_true", help="also write summary.parquet (needs pyarrow)")
    parser.add_argument("--engine", choices=("pool", "slurm"), default="pool", help="this machine (default), or SLURM")
    parser.add_argument("--jobs", metavar="N", type=whole_number, help="with --engine slurm: parts, a job each")
    parser.add_argument(
        "--slurm",
        metavar="NAME=VALUE",
        nargs="+",
        default=[],
        help="with --engine slurm: settings of submitit, such as slurm_partition=cpu timeout_min=120 mem_gb=4",
    )
    parser.add_argument("--apply", action="store_true", help="of review: run the cases again that were corrected")
    parser.add_argument("--case", metavar="NAME", help="of review: the case that is decided on")
    parser.add_argument(
        "--state",
        choices=tuple(_STATES),
        help="of review: accept or reject the result, rerun it with other options (--set), or reopen the case",
    )
    parser.add_argument(
        "--set",
        metavar="COLUMN=VALUE",
        nargs="+",
        default=[],
        help="with --state rerun: options that take the place of the manifest's, such as method=demons",
    )
    parser.add_argument("--by", metavar="NAME", help="of review: who decides (default: the user of this computer)")
    parser.add_argument("--note", metavar="TEXT", help="of review: why")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Does what the first word says.

    Returns:
        0 when every case is finished, 2 when some failed or are missing.
    """
    if arguments.what == REVIEW:
        return _review(arguments)
    given = next((name for name in _REVIEW_OPTIONS if getattr(arguments, name)), None)
    if given is not None:
        raise InputError(f"--{given}: is an option of `cohort review OUT`")
    if arguments.out is None:
        raise InputError("--out: is required")
    if arguments.what == SCAN:
        return _scan(arguments)
    manifest = arguments.of if arguments.what == SUMMARY else arguments.what
    if manifest is None or (arguments.what != SUMMARY and arguments.of is not None):
        raise InputError(
            f"cohort {arguments.what}: expected MANIFEST, `scan FOLDER`, `summary MANIFEST` or `review OUT`"
        )
    if arguments.engine != "slurm" and (arguments.jobs or arguments.slurm):
        raise InputError(f"--{'jobs' if arguments.jobs else 'slurm'}: needs --engine slurm")
    return _run(arguments, Path(manifest))


def _run(arguments: argparse.Namespace, manifest: Path) -> int:
    from UltrasoundMotionLib.cli.main import main
    from UltrasoundMotionLib.cohort.decisions import corrected_cases
    from UltrasoundMotionLib.cohort.manifest import manifest_notes, read_manifest
    from UltrasoundMotionLib.cohort.pool import default_workers
    from UltrasoundMotionLib.cohort.run import collect, run_cohort
    from UltrasoundMotionLib.cohort.summary import write_summary

    cases = read_manifest(manifest)
    print_notes(manifest_notes(cases), quiet=arguments.quiet)
    _check_out(arguments.out)
    cases = corrected_cases(cases, arguments.out)
    if arguments.engine == "slurm":
        return _submit(arguments, manifest)
    part = arguments.part or (1, 1)
    if arguments.what == SUMMARY:
        outcome = collect(cases, arguments.out)
    else:
        with TerminalProgress("cohort", "cases", quiet=arguments.quiet) as progress:
            outcome = run_cohort(
                cases,
                arguments.out,
                main,
                workers=arguments.workers or default_workers(),
                part=part,
                progress=progress,
            )
    files = write_summary(arguments.out, cases, outcome, parquet=arguments.parquet) if part == (1, 1) else ()
    wrong = len(outcome.failures) + (len(outcome.missing) if part == (1, 1) else 0)
    if not arguments.quiet:
        done = len(outcome.records) - len(outcome.failures)
        print(f"{done} of {len(cases)} cases finished ({outcome.kept} before), {len(outcome.failures)} failed")
        for one in outcome.failures[:_MOST_LINES]:
            print(f"  {one.name}: {one.reason}")
        print("\n".join(f"wrote {path}" for path in files) or "cohort summary MANIFEST writes the tables of all parts")
    return 2 if wrong else 0


def _review(arguments: argparse.Namespace) -> int:
    """Writes the review list, after a decision or a run of what was corrected.

    Returns:
        2 where a case that was corrected failed, or cannot be run; otherwise 0.
    """
    from UltrasoundMotionLib.cli.main import main
    from UltrasoundMotionLib.cohort.pool import default_workers
    from UltrasoundMotionLib.cohort.review import apply_review, counts_of, read_review, write_review

    if arguments.of is None:
        raise InputError("cohort review: give the folder of the results: cohort review OUT")
    out = Path(arguments.of)
    failures: tuple[CaseRecord, ...] = ()
    left: tuple[str, ...] = ()
    if arguments.case is not None or arguments.state is not None:
        _decide(arguments, out)
    elif arguments.set or arguments.note:
        raise InputError(f"--{'set' if arguments.set else 'note'}: needs --case NAME --state STATE")
    cases = read_review(out)
    if arguments.apply:
        with TerminalProgress("cohort", "cases", quiet=arguments.quiet) as progress:
            outcome, left = apply_review(out, main, workers=arguments.workers or default_workers(), progress=progress)
        failures, cases = outcome.failures, read_review(out)
        if not arguments.quiet:
            print(f"{len(outcome.records)} cases were run again, {len(failures)} of them failed")
            for line in [*(f"{one.name}: {one.reason}" for one in failures), *left][:_MOST_LINES]:
                print(f"  {line}")
    files = write_review(out, cases)
    if not arguments.quiet:
        print(f"{len(cases)} cases: {counts_of(cases)}")
        print("\n".join(f"wrote {path}" for path in files))
        if arguments.apply:
            print(f"`cohort summary MANIFEST --out {out}` writes summary.csv and summary.html anew")
    return 2 if failures or left else 0


def _decide(arguments: argparse.Namespace, out: Path) -> None:
    from UltrasoundMotionLib.cohort.decisions import RERUN, decide, withdraw
    from UltrasoundMotionLib.cohort.review import read_case

    if arguments.case is None or arguments.state is None:
        raise InputError(f"--{'case' if arguments.case else 'state'}: --case and --state go together")
    state = _STATES[arguments.state]
    if bool(arguments.set) != (state == RERUN):
        raise InputError("--set COLUMN=VALUE and --state rerun go together")
    one = read_case(out, arguments.case)
    if not state:
        withdraw(out, one.name)
        return
    if one.base is None:
        raise InputError(f"{one.name}: {one.why_not}")
    options = {}
    for text in arguments.set:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise InputError(f"--set {text}: expected COLUMN=VALUE, such as method=demons")
        options[name] = value
    decide(out, one.record, one.base, state, options=options or None, by=arguments.by, note=arguments.note or "")


def _submit(arguments: argparse.Namespace, manifest: Path) -> int:
    from UltrasoundMotionLib.cohort.slurm import parse_settings, submit_parts

    if not arguments.jobs:
        raise InputError("--engine slurm: give --jobs N, the number of parts")
    jobs = submit_parts(
        manifest.resolve(),
        arguments.out.resolve(),
        arguments.jobs,
        workers=arguments.workers or 1,
        settings=parse_settings(arguments.slurm),
    )
    print(f"submitted {len(jobs)} jobs: {', '.join(jobs)}")
    print(f"when they are done: ultrasound-motion cohort summary {manifest} --out {arguments.out}")
    return 0


def _scan(arguments: argparse.Namespace) -> int:
    from UltrasoundMotionLib.atomic_output import check_output_path
    from UltrasoundMotionLib.cohort.manifest import write_manifest
    from UltrasoundMotionLib.cohort.scan import PointsFolder, scan_folder

    if arguments.of is None:
        raise InputError("cohort scan: give the folder: cohort scan FOLDER --out MANIFEST.csv")
    if arguments.out.suffix.lower() != ".csv":
        raise OutputError(f"{arguments.out}: the manifest must end in .csv")
    check_output_path(arguments.out)
    layout, rows, left_out = scan_folder(arguments.of, PointsFolder(arguments.out.resolve().parent / "points"))
    write_manifest(arguments.out, rows)
    print_notes([f"left out: {line}" for line in left_out], quiet=arguments.quiet)
    if not arguments.quiet:
        print(f"{layout}: wrote {len(rows)} cases to {arguments.out}")
    return 0


def _check_out(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file, expected a folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be made: {error.strerror or error}") from error


def _part(text: str) -> tuple[int, int]:
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"expected K/N with K from 1 to N, got {text!r}")
    return int(number), int(count)
