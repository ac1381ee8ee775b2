"""`evaluate registration`: compare carried labels with those of the fixed image, pair by pair and pooled."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from UltrasoundMotionLib.cli.output_files import check_outputs
from UltrasoundMotionLib.errors import InputError

DESCRIPTION = """Compares label maps on the fixed image's grid with labels that a registration carried there, and
prints Dice and HD95 for each label, and of the displacements the share of folded voxels and the standard deviation of
the log-Jacobian, for each pair and over all pairs."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the kind of result."""
    parser = subparsers.add_parser(
        "registration", help="carried labels against the fixed image's", description=DESCRIPTION
    )
    parser.add_argument(
        "labels",
        metavar="LABELS",
        type=Path,
        nargs="+",
        help="files that `register --out-labels` wrote, one for each pair",
    )
    parser.add_argument("--fixed-labels", metavar="F", type=Path, nargs="+", required=True, help="in the same order")
    parser.add_argument(
        "--displacement",
        metavar="U",
        type=Path,
        nargs="+",
        help="files that `register --out-displacement` wrote, in the same order",
    )
    parser.add_argument("--json", metavar="OUT.json", type=Path, help="also write everything as JSON")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compares all pairs, prints the table, and writes the JSON file where one is asked for."""
    _check_counts(arguments.labels, arguments.fixed_labels, arguments.displacement)
    if arguments.json:
        inputs = (*arguments.labels, *arguments.fixed_labels, *(arguments.displacement or ()))
        check_outputs([("report", arguments.json)], {}, inputs)

    from UltrasoundMotionLib.cli.terminal_progress import print_notes
    from UltrasoundMotionLib.evaluation.label_overlap_report import OverlapReport, measure_overlap
    from UltrasoundMotionLib.fields import read_displacement
    from UltrasoundMotionLib.images.volume_files import read_volume
    from UltrasoundMotionLib.json_output import write_json

    stems = {path.name for path in arguments.labels}
    pairs, unit = [], "mm"
    for number, (path, fixed) in enumerate(zip(arguments.labels, arguments.fixed_labels, strict=True)):
        field = read_displacement(arguments.displacement[number]) if arguments.displacement else None
        name = path.name.split(".")[0] if len(stems) == len(arguments.labels) else str(path)
        maps = read_volume(fixed), read_volume(path)
        print_notes([f"{one.name}: {note}" for one in maps for note in one.notes])
        pairs.append(measure_overlap(name, *maps, field))
        if not all(one.spacing_known for one in maps):
            unit = "px"
    report = OverlapReport(tuple(pairs), unit)
    if arguments.json:
        write_json(arguments.json, report.as_dict())
    print(report.table(markdown=arguments.markdown))
    return 0


def _check_counts(labels: Sequence[Path], fixed: Sequence[Path], displacement: Sequence[Path] | None) -> None:
    """Checks that there are as many files of each kind; raises InputError otherwise."""
    if len(labels) != len(fixed):
        raise InputError(
            f"{len(labels)} files of labels but {len(fixed)} of fixed labels; give one each, in the same order"
        )
    if displacement and len(displacement) != len(labels):
        raise InputError(
            f"{len(labels)} files of labels but {len(displacement)} displacements; give one each, in the same order"
        )
