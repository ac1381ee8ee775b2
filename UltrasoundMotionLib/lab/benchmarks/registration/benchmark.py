"""`benchmark registration`: registration, ours and the peers', on the same pairs of public data in one run."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from UltrasoundMotionLib.atomic_output import check_output_path
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.benchmarks.command import (
    add_data_argument,
    add_output_arguments,
    check_against,
    check_arguments,
    show,
    whole_number,
)
from UltrasoundMotionLib.lab.benchmarks.peers import available_peers
from UltrasoundMotionLib.lab.benchmarks.registration.pair_rows import MethodResult, PairResult
from UltrasoundMotionLib.lab.benchmarks.registration.protocols import (
    ATLAS_PROTOCOLS,
    CHALLENGE,
    DEFAULT_PAIRS,
    FORMER_PARTS,
    PARTS,
    PROTOCOLS,
    UNTUNED,
    default_atlas,
    label_names,
)
from UltrasoundMotionLib.lab.benchmarks.registration.regions import OWN, REGIONS, check_region
from UltrasoundMotionLib.lab.benchmarks.registration.runner import OURS, UNREGISTERED, quiet_threads
from UltrasoundMotionLib.lab.benchmarks.registration.targets import instance_targets, learned_targets
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, CaseMeasure, Column
from UltrasoundMotionLib.peak_memory import run_in_child
from UltrasoundMotionLib.settings import from_plain

RUNNER = "UltrasoundMotionLib.lab.benchmarks.registration.runner"
GREEDY = "greedy"
"""The peer that all are compared with by default."""
_TAKE_HOURS = ("ssmsr", "ssr")
"""Methods that take an hour a pair and more: they run when they are named."""
PAIR_LINE = re.compile(r"\S+: .+ \(\d+ of \d+\): Dice ")
"""A line that the runner prints for a pair; libraries print others."""

DESCRIPTION = """Every method in a process of its own, on the same pairs, with as many threads; each pair is reported as
it is done. Labels only score. Protocols: hippocampus-most-similar, hippocampus-random, hippocampus-one-atlas (all at
1 mm, 48 x 64 x 48), acdc (end-systole onto end-diastole, native grids), acdc-published (the same at 1.56 mm, 128 x
128 x 64), candi-one-atlas (LT-Net's experiment: 28 structures of the brain) and hippocampus-learn2reg (the 60 pairs and
the measures of Learn2Reg 2020, Task 4; hippocampus-learn2reg-test has the 130 of its test, whose labels you need).
--part says from which subjects: those that no setting of the methods without training was chosen on (untuned, the
default; tuned are the others), or the learned methods' train, validation and held-out. --region gives every method the
same part of the images. The peers come with pip install
--editable ".[benchmark,elastix]"; one that is not installed is a row that says so."""

CASES: CaseMeasure[MethodResult] = CaseMeasure(
    "Dice",
    values=lambda row: {pair.pair: pair.mean_dice for pair in row.pairs},
    method=lambda row: row.method,
)


MOST_LABEL_COLUMNS = 4
"""A table has no columns of single labels where there are more; JSON has them."""


def registration_columns(
    labels: Sequence[int], names: Sequence[str], *, challenge: bool = False
) -> tuple[Column[MethodResult], ...]:
    """Means over the pairs, of seconds medians; the spread is the standard deviation of a pair's mean Dice.

    Args:
        challenge: the columns of Learn2Reg's measures in place of others.
    """

    def measured(value: Callable[[MethodResult], Any]) -> Callable[[MethodResult], float | None]:
        return lambda row: float(value(row)) if row.pairs else None

    def of_label(row: MethodResult, label: int) -> float | None:
        return row.label_mean("dice", label) if row.pairs else None

    def dice(row: MethodResult) -> list[float]:
        return [pair.mean_dice for pair in row.pairs]

    shown = list(zip(labels, names, strict=True)) if len(labels) <= MOST_LABEL_COLUMNS else []
    hd95: Column[MethodResult] = (
        Column("HD95", measured(lambda row: row.mean("mean_hd95")), unit="voxels")
        if challenge
        else Column(
            "HD95", measured(lambda row: np.mean([row.label_mean("hd95_mm", label) for label in labels])), unit="mm"
        )
    )
    return (
        Column("method", lambda row: row.method.removeprefix(OURS).replace(":", " "), names_method=True),
        Column("pairs", lambda row: len(row.pairs)),
        Column("Dice", lambda row: np.mean(dice(row)) if row.pairs else f"skipped: {row.missing}"),
        Column("std", measured(lambda row: np.std(dice(row)))),
        Column("min", measured(lambda row: np.min(dice(row)))),
        *([Column("DSC30", measured(lambda row: np.quantile(dice(row), 0.3)))] if challenge else []),
        *(Column(name, partial(of_label, label=label)) for label, name in shown),
        hd95,
        *([Column("SDlogJ", measured(lambda row: row.mean("sdlogj")))] if challenge else []),
        Column("std log J", measured(lambda row: row.mean("std_log_jacobian"))),
        Column("max", measured(lambda row: max(pair.std_log_jacobian for pair in row.pairs))),
        Column("J <= 0", measured(lambda row: 100 * row.mean("nonpositive")), 4, unit="%"),
        Column("std log J inside", measured(lambda row: row.mean("std_log_jacobian_inside"))),
        Column("J <= 0 inside", measured(lambda row: 100 * row.mean("nonpositive_inside")), 4, unit="%"),
        Column("", measured(lambda row: row.median("seconds")), 2, unit="s"),
        Column("CPU", measured(lambda row: row.median("processor_seconds")), 2, unit="s"),
        Column("", measured(lambda row: row.peak_bytes / 2**20), 0, unit="MB"),
    )


def registration_result(
    methods: Sequence[MethodResult], protocol: str, *, threads: int, part: str, atlas: str | None, region: str = OWN
) -> BenchmarkResult[MethodResult]:
    """All methods on one protocol, with the project's goals for those that were measured."""
    names = label_names(protocol)
    return BenchmarkResult(
        registration_columns(list(names), list(names.values()), challenge=protocol in CHALLENGE),
        tuple(methods),
        (*instance_targets(protocol, methods), *learned_targets(protocol, methods)),
        {"protocol": protocol, "part": part, "atlas": atlas, "threads": threads, "region": region},
        cases=CASES,
        against=GREEDY,
        rows_key="methods",
    )


def default_methods() -> tuple[str, ...]:
    """No registration, every peer, and every method of `register` that can run, takes no hours and is not a peer
    already.
    """
    from UltrasoundMotionLib.registration.registry import available_methods

    peers = [peer.name for peer in available_peers("registration")]
    left_out = {*peers, *_TAKE_HOURS}
    ours = [f"{OURS}{one.name}" for one in available_methods() if one.installed and one.name not in left_out]
    return (UNREGISTERED, *peers, *ours)


def benchmark_registration(
    folder: str | Path,
    protocol: str,
    *,
    methods: Sequence[str] | None = None,
    pair_count: int | None = None,
    threads: int = 1,
    part: str = UNTUNED,
    atlas: str | None = None,
    region: str = OWN,
    rows: str | Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> BenchmarkResult[MethodResult]:
    """Runs every method, each in a process of its own with that many threads, over the same pairs.

    Args:
        folder: of the public data set: MSD Task04 Hippocampus, ACDC's training set, CANDIShare, or Learn2Reg's
            HippocampusMR.
        protocol: one of `PROTOCOLS`. "hippocampus-most-similar", "-random" and "-one-atlas": 1 mm, clipped, [0, 1], 48
            x 64 x 48; "acdc": end-systole onto end-diastole on the native grids; "acdc-published": the same at 1.56 mm,
            128 x 128 x 64; "candi-one-atlas": one atlas onto the held-out subjects of CANDIShare, 160 x 160 x 128;
            "hippocampus-learn2reg" and "-learn2reg-test": the challenge's pairs and measures.
        methods: see `method_call`; None: `default_methods()`, where a method of ours that cannot register these images
            is a row that says why.
        pair_count: how many subjects or patients, evenly chosen; None: 20, of fixed lists all.
        threads: for every method.
        part: one of `PARTS`, from whose subjects the pairs are.
        atlas: the subject that a protocol with one atlas puts onto all others; None: that of the shipped weights of
            `label-transfer`, of CANDI the one that `train ltnet-published` takes.
        region: one of `REGIONS`: the part of the images that every method is given; the measures are of the whole grid.
        rows: file that keeps each pair's row as soon as it is measured; what it holds already of the same method,
            protocol, part, atlas, number of threads and region is not measured again.
        on_line: called with a line of text for each pair that was measured.

    Raises:
        InputError: an unknown protocol, part or region, or data that is not there. A package that is missing is a row
            that says so.
        OutputError: the file of rows cannot be written.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol: expected one of {', '.join(PROTOCOLS)}, got {protocol!r}")
    if part not in PARTS:
        raise InputError(f"part: expected one of {', '.join(PARTS)}, got {part!r}")
    check_region(region)
    if atlas is not None and protocol not in ATLAS_PROTOCOLS:
        raise InputError(f"atlas {atlas}: {protocol} takes none; {' and '.join(ATLAS_PROTOCOLS)} do")
    atlas = atlas or default_atlas(protocol, Path(folder))
    shared = [protocol, str(folder), "--threads", str(threads), "--part", part]
    shared += [] if pair_count is None else ["--pairs", str(pair_count)]
    shared += [] if atlas is None else ["--atlas", atlas]
    shared += [] if region == OWN else ["--region", region]
    if rows is not None:
        shared += ["--rows", str(check_output_path(rows))]
    names = label_names(protocol)
    results = []
    for method in default_methods() if methods is None else methods:
        try:
            answer = run_in_child(RUNNER, [method, *shared], quiet_threads(threads), on_line)
        except InputError as error:
            if methods is not None or not method.startswith(OURS):
                raise
            answer = {"missing": str(error)}
        pairs = tuple(from_plain(PairResult, row) for row in answer.get("rows", ()))
        results.append(MethodResult(method, pairs, answer.get("missing", ""), names))
    return registration_result(results, protocol, threads=threads, part=part, atlas=atlas, region=region)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser(
        "registration", help="registration beside ANTs, greedy, ConvexAdam, elastix and demons", description=DESCRIPTION
    )
    parser.add_argument("protocol", metavar="PROTOCOL", help="see above")
    add_data_argument(
        parser, content="MSD Task04 Hippocampus (images, labels), ACDC's training patients, CANDIShare or HippocampusMR"
    )
    parser.add_argument(
        "--methods",
        metavar="M",
        nargs="+",
        help="unregistered, peers by name, ours:NAME, ours:NAME:SETTING=VALUE,... as "
        "ours:anatomy-guided:refine=no (default: unregistered, all peers, all methods of `register` but ssmsr "
        "and ssr, which take hours)",
    )
    parser.add_argument(
        "--pairs",
        metavar="N",
        type=whole_number,
        help=f"subjects or patients, evenly chosen (default {DEFAULT_PAIRS}; all of Learn2Reg's and CANDI's)",
    )
    parser.add_argument("--threads", metavar="N", type=whole_number, default=1, help="of every method (default 1)")
    parser.add_argument(
        "--part",
        metavar="P",
        default=UNTUNED,
        help="untuned (default; its former name left-aside is taken too), tuned, train, validation or held-out",
    )
    parser.add_argument(
        "--atlas",
        metavar="SUBJECT",
        help="of hippocampus-one-atlas (default: that of the shipped label-transfer) or candi-one-atlas",
    )
    parser.add_argument(
        "--region",
        metavar="R",
        default=OWN,
        help="; ".join(f"{name}: {meaning}" for name, meaning in REGIONS.items()) + f" (default {OWN})",
    )
    parser.add_argument(
        "--rows",
        metavar="R.jsonl",
        type=Path,
        help="keep each pair's row here as it is done; pairs that are there already are not run again",
    )
    add_output_arguments(parser, against=GREEDY)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    check_arguments(arguments)
    if arguments.methods:
        check_against(arguments, arguments.methods)

    def forward(line: str) -> None:
        if PAIR_LINE.match(line):
            print(line, file=sys.stderr, flush=True)

    result = benchmark_registration(
        arguments.data,
        arguments.protocol,
        methods=arguments.methods,
        pair_count=arguments.pairs,
        threads=arguments.threads,
        part=FORMER_PARTS.get(arguments.part, arguments.part),
        atlas=arguments.atlas,
        region=arguments.region,
        rows=arguments.rows,
        on_line=forward,
    )
    show(result, arguments)
    return 0
