"""Arguments and output that the commands of the benchmarks share."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.atomic_output import check_output_path
from UltrasoundMotionLib.errors import InputError, MissingPackageError
from UltrasoundMotionLib.json_output import write_json
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, target_table
from UltrasoundMotionLib.lab.phantom_cases import DIFFICULTIES, EVALUATION_SEED, KINDS

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.benchmarks.trackers import ChosenTrackers

TUNING_SEED = 100
"""Default seed of benchmarks that choose settings: below `EVALUATION_SEED`."""


def add_phantom_arguments(
    parser: argparse.ArgumentParser,
    *,
    kinds: bool = True,
    difficulties: Sequence[str] = DIFFICULTIES,
    count: int,
    seed: int = EVALUATION_SEED,
) -> None:
    """Adds `--kind`, `--difficulty`, `--count` and `--seed`, by which a set of phantoms is chosen."""
    default = "all" if tuple(difficulties) == DIFFICULTIES else " ".join(difficulties)
    each = "kind and difficulty" if kinds else "difficulty"
    if kinds:
        parser.add_argument("--kind", nargs="+", choices=KINDS, default=KINDS, help="phantoms (default: all)")
    parser.add_argument(
        "--difficulty",
        nargs="+",
        choices=DIFFICULTIES,
        default=difficulties,
        help=f"of the phantoms (default: {default})",
    )
    parser.add_argument(
        "--count", metavar="N", type=whole_number, default=count, help=f"phantoms of each {each} (default {count})"
    )
    parser.add_argument("--seed", metavar="S", type=int, default=seed, help=f"of the set of phantoms (default {seed})")


def add_tracker_arguments(parser: argparse.ArgumentParser, *, peers: bool = True) -> None:
    """Adds `--models` and `--threads`; with `peers` also `--peers`, `--weights` and `--device`."""
    parser.add_argument("--models", metavar="M", nargs="*", help="our trackers by name (default: all of `models list`)")
    if peers:
        parser.add_argument(
            "--peers",
            metavar="P",
            nargs="*",
            help="trackers of OpenCV by name (default: all; none when nothing follows)",
        )
        parser.add_argument(
            "--weights",
            metavar="MODEL=FILE",
            nargs="+",
            default=(),
            help="weights of trackers that are not to take their own",
        )
        parser.add_argument(
            "--device",
            metavar="D",
            default="cpu",
            help="of our trackers: cpu (default, as OpenCV's), cuda, mps or auto",
        )
    parser.add_argument(
        "--threads", metavar="N", type=whole_number, help="for PyTorch and OpenCV alike (default: what PyTorch takes)"
    )


def add_data_argument(parser: argparse.ArgumentParser, *, content: str) -> None:
    """Adds `--data`, the folder of a data set that this repository does not carry."""
    parser.add_argument("--data", metavar="DIR", type=Path, required=True, help=f"folder that holds {content}")


def add_output_arguments(parser: argparse.ArgumentParser, *, against: str | None = None) -> None:
    """Adds `--markdown` and `--json`, and `--against` where methods are compared case by case.

    Args:
        against: the one that methods are compared with where `--against` is not given.
    """
    if against is not None:
        parser.add_argument(
            "--against",
            metavar="NAME",
            help=f"compare all others with this one, case by case (default {against})",
        )
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    parser.add_argument("--json", metavar="OUT.json", type=Path, help="also write everything as JSON")


def check_arguments(arguments: argparse.Namespace) -> None:
    """Refuses before the work a negative seed and a JSON file that cannot be written.

    Raises:
        InputError: the seed.
        OutputError: see `check_output_path`.
    """
    if getattr(arguments, "seed", 0) < 0:
        raise InputError(f"--seed {arguments.seed} must not be negative")
    if arguments.json:
        check_output_path(arguments.json)


def chosen_trackers(arguments: argparse.Namespace, *, kind: str | None = None) -> ChosenTrackers:
    """Returns the trackers asked for, with threads set.

    Args:
        kind: where `--models` is not given, only ours of this kind.

    Raises:
        InputError: see `weights_of` and `benchmark_trackers`; none was asked for, or `--against` is not one of them.
        MissingPackageError: none of those asked for can run here.
    """
    from UltrasoundMotionLib.lab.benchmarks.trackers import benchmark_trackers

    chosen = benchmark_trackers(
        arguments.models,
        arguments.peers,
        kind=kind,
        device=arguments.device,
        threads=arguments.threads,
        weights=weights_of(arguments.weights),
    )
    if not (chosen.trackers or chosen.missing):
        raise InputError("no tracker to run: --models and --peers are both empty")
    if not chosen.trackers:
        raise MissingPackageError(next(iter(chosen.missing.values())))
    check_against(arguments, [*(one.name for one in chosen.trackers), *chosen.missing])
    return chosen


def weights_of(given: Sequence[str]) -> Mapping[str, Path]:
    """Returns the weights' files by the tracker's name, from texts `MODEL=FILE`.

    Raises:
        InputError: a text without a name or a file, or a tracker that is given twice.
    """
    weights: dict[str, Path] = {}
    for text in given:
        name, separator, file = text.partition("=")
        if not (name and separator and file):
            raise InputError(f"--weights {text}: expected MODEL=FILE")
        if name in weights:
            raise InputError(f"--weights {text}: {name} is given twice")
        weights[name] = Path(file)
    return weights


def check_against(arguments: argparse.Namespace, names: Sequence[str]) -> None:
    """Refuses a `--against` that does not run.

    Raises:
        InputError: it is none of the names.
    """
    against = getattr(arguments, "against", None)
    if against is not None and against not in names:
        raise InputError(f"--against {against}: is none of those that run ({', '.join(names)})")


def show(result: BenchmarkResult[Any], arguments: argparse.Namespace, missing: Mapping[str, str] | None = None) -> None:
    """Prints the table and the goals, and writes the JSON file if asked to.

    Args:
        missing: methods that could not run, and why.
    """
    against = getattr(arguments, "against", None) or result.against
    result = replace(result, against=against, missing={**result.missing, **(missing or {})})
    print(result.table(markdown=arguments.markdown))
    if result.targets:
        print()
        print(target_table(result.targets, markdown=arguments.markdown))
    if arguments.json:
        write_json(arguments.json, result.as_dict())


def thread_count() -> int:
    """Returns PyTorch's number of threads."""
    import torch

    return torch.get_num_threads()


def whole_number(text: str) -> int:
    """An argument that must be a whole number above zero."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)
