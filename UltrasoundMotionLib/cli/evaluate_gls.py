"""`evaluate gls`: global longitudinal strain against an expert's."""

from __future__ import annotations

import argparse
from pathlib import Path

from UltrasoundMotionLib.cli import evaluate_sets
from UltrasoundMotionLib.cli.output_files import check_outputs
from UltrasoundMotionLib.cli.terminal_progress import print_notes
from UltrasoundMotionLib.errors import InputError

DESCRIPTION = """Compares global longitudinal strain with an expert's values of the same cases (table case,gls_percent):
mean absolute deviation with its bootstrap interval, bias and 95 % limits of agreement (Bland and Altman), and, for
cases that repeat another, the within-subject standard deviation and the smallest change beyond it. The values are those
of tables (--measured), or are computed here: trackers follow the wall's points of folders with clips and trajectories
(--dataset), whose labels run along the wall from one base over the apex to the other."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the kind of result."""
    parser = subparsers.add_parser(
        "gls", help="global longitudinal strain against an expert's", description=DESCRIPTION
    )
    parser.add_argument(
        "--expert", metavar="GLS.csv", type=Path, required=True, help="the reference: a table case,gls_percent"
    )
    parser.add_argument(
        "--measured",
        metavar="[NAME=]GLS.csv",
        action="append",
        default=[],
        help="values to compare, a table case,gls_percent; give it again for further ones",
    )
    evaluate_sets.add_run_arguments(parser.add_argument_group("trackers on sets of trajectories"))
    parser.add_argument("--plot", metavar="P.png", type=Path, help="also draw differences against means (Bland-Altman)")
    parser.add_argument("--json", metavar="OUT.json", type=Path, help="also write everything as JSON")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Reads or measures, compares, prints, and writes the files asked for.

    Raises:
        InputError: nothing to compare, or a table, a set or a tracker that cannot be used.
    """
    from UltrasoundMotionLib.evaluation.gls_agreement import compare_gls, compare_repeats, gls_table, read_gls_table
    from UltrasoundMotionLib.json_output import write_json

    if not (arguments.measured or arguments.dataset):
        raise InputError("give the values to compare: --measured GLS.csv, or --dataset FOLDER with --models")
    if not arguments.dataset:
        for name in ("models", "query_phase", "device", "threads"):
            if getattr(arguments, name) is not None:
                raise InputError(f"--{name.replace('_', '-')}: needs --dataset")
    tables = [(name or Path(path).stem, Path(path)) for name, path in map(_named, arguments.measured)]
    outputs = [(name, path) for name, path in (("report", arguments.json), ("plot", arguments.plot)) if path]
    check_outputs(outputs, {}, (arguments.expert, *(path for _, path in tables)))
    if arguments.plot:
        from UltrasoundMotionLib.pictures.plot_packages import require_plot_packages

        require_plot_packages("--plot")
    reference = read_gls_table(arguments.expert)
    measured: dict[str, dict[str, float | None]] = {}
    for name, path in tables:
        if name in measured:
            raise InputError(f"--measured: two tables are named {name}; name them apart: --measured A={path} ...")
        measured[name] = dict(read_gls_table(path))
    repeats, notes = [], []
    if arguments.dataset:
        from UltrasoundMotionLib.evaluation.gls_of_sets import gls_of_runs

        sets = evaluate_sets.read_sets(arguments.dataset)
        repeats = [(case.repeat_of, case.name) for one in sets for case in one.cases if case.repeat_of]
        choices = evaluate_sets.read_choices(arguments.models)
        runs = evaluate_sets.run_trackers(sets, choices, [arguments.query_phase or 0.0], arguments)
        for name, values, reasons in gls_of_runs(sets, runs):
            measured[name] = values
            notes += reasons
    rows = [compare_gls(name, values, reference, repeats) for name, values in measured.items()]
    of_expert = compare_repeats(reference, repeats)
    print(gls_table(rows, of_expert, markdown=arguments.markdown))
    print_notes(notes)
    if arguments.json:
        write_json(
            arguments.json,
            {"methods": [row.as_dict() for row in rows], "measured": measured, "reference": reference, "notes": notes},
        )
    if arguments.plot:
        from UltrasoundMotionLib.pictures.agreement_plot import write_agreement_plot

        write_agreement_plot(arguments.plot, rows, reference)
    return 0


def _named(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    return (name, path) if equals else ("", text)
