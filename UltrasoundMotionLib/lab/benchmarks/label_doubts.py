"""`benchmark label-doubts`: how many slices with wrongly carried labels a registration names by itself, in ACDC."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from UltrasoundMotionLib.lab.benchmarks.command import (
    add_data_argument,
    add_output_arguments,
    check_arguments,
    show,
    whole_number,
)
from UltrasoundMotionLib.lab.benchmarks.registration.protocols import ACDC, LEARNED_PARTS, label_names, protocol_pairs
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, Column

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.registration_datasets import RegistrationPair
    from UltrasoundMotionLib.registration import Registration

DIASTOLE, SYSTOLE = "ED", "ES"
CARRIED, DRAWN = "carried, not drawn", "drawn, not carried"

DESCRIPTION = """Slices of the fixed image into which a label is carried and where the expert draws none of it, and the
opposite: how many there are, how many of them the registration names by itself, from the class map of the fixed image,
and how many it names where the expert draws what is carried. An area counts from a tenth of the label's largest in any
slice, and as none below a fifth of that on the other side."""


@dataclass(frozen=True)
class DoubtRow:
    """One label and one kind of disagreement over all pairs.

    Attributes:
        label: its name.
        kind: `CARRIED` or `DRAWN`.
        wrong: slices in which carried and drawn labels disagree.
        named: those of them that the registration names.
        false_alarms: slices that it names where they agree.
        pairs: with a slice that is wrong.
    """

    label: str
    kind: str
    wrong: int
    named: int
    false_alarms: int
    pairs: int


COLUMNS = (
    Column[DoubtRow]("label", "label"),
    Column[DoubtRow]("slices that are", "kind"),
    Column[DoubtRow]("number", "wrong"),
    Column[DoubtRow]("in pairs", "pairs"),
    Column[DoubtRow]("named", "named"),
    Column[DoubtRow]("false alarms", "false_alarms"),
)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser(
        "label-doubts", help="slices with wrongly carried labels that are named, in ACDC", description=DESCRIPTION
    )
    add_data_argument(parser, content="ACDC's training patients")
    parser.add_argument("--pairs", metavar="K", type=whole_number, default=20, help="patients at most (default 20)")
    parser.add_argument("--part", choices=LEARNED_PARTS, default="validation", help="the patients (default validation)")
    parser.add_argument(
        "--fixed", choices=(DIASTOLE, SYSTOLE), default=DIASTOLE, help=f"the fixed image (default {DIASTOLE})"
    )
    parser.add_argument("--method", metavar="M", default="anatomy-guided", help="default anatomy-guided")
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    from UltrasoundMotionLib.registration import register

    check_arguments(arguments)
    pairs = protocol_pairs(ACDC, arguments.data, arguments.pairs, arguments.part)
    if arguments.fixed == SYSTOLE:
        pairs = [replace(pair, fixed=pair.moving, moving=pair.fixed) for pair in pairs]
    show(measure_label_doubts(pairs, partial(register, method=arguments.method, device="cpu")), arguments)
    return 0


def measure_label_doubts(
    pairs: Sequence[RegistrationPair], call: Callable[..., Registration]
) -> BenchmarkResult[DoubtRow]:
    """Registers every pair and compares the slices that are named with those in which the expert's labels differ.

    Args:
        call: as `register`.
    """
    from UltrasoundMotionLib.registration.label_doubts import compare_with_labels

    wrong: dict[tuple[str, str], list[set[int]]] = {}
    named: dict[tuple[str, str], list[set[int]]] = {}
    for pair in pairs:
        found = call(pair.fixed.image, pair.moving.image, moving_labels=pair.moving.labels)
        assert found.warped_labels is not None
        drawn = compare_with_labels(found.warped_labels, pair.moving.labels, pair.fixed.labels).doubts
        for into, doubts in ((wrong, drawn), (named, found.measures.label_doubts)):
            for value, name in label_names(ACDC).items():
                one = doubts.get(value)
                into.setdefault((name, CARRIED), []).append(set(one.only_carried if one else ()))
                into.setdefault((name, DRAWN), []).append(set(one.only_seen if one else ()))
    rows = tuple(
        DoubtRow(
            label,
            kind,
            wrong=sum(map(len, slices)),
            named=sum(len(one & two) for one, two in zip(slices, named[label, kind], strict=True)),
            false_alarms=sum(len(two - one) for one, two in zip(slices, named[label, kind], strict=True)),
            pairs=sum(map(bool, slices)),
        )
        for (label, kind), slices in wrong.items()
    )
    return BenchmarkResult(COLUMNS, rows, details={"pairs": len(pairs)})
