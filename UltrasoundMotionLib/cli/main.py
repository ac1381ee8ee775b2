"""Entry of the command line: runs a verb and turns its outcome into an exit code and at most one line."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from UltrasoundMotionLib import __version__
from UltrasoundMotionLib.errors import Cancelled, MissingPackageError, UltrasoundMotionError

PROGRAM = "ultrasound-motion"
VERBS = {
    "demo": "a real echo in, strain, a 3D Slicer scene, pictures and tables out",
    "track": "follow points through a sequence",
    "strain": "strain curves, segments and GLS from tracks along the wall",
    "register": "put one image or volume onto another",
    "evaluate": "compare results with truth and print the papers' tables",
    "models": "list, show, verify and import the trackers, the registration methods and their weights",
}
"""Modules of this folder in the order of the help, and their lines in it.

Each has `fill_parser(parser)` and sets `run(arguments) -> int`; torch is imported by `run` only.
"""

LABORATORY = "UltrasoundMotionLib.lab.cli"
LABORATORY_VERBS = {
    "train": "train the networks of trackers and registration methods",
    "benchmark": "measure accuracy, speed and memory, beside other libraries and beside the goals",
}
"""Modules of the laboratory, which an installation in Slicer leaves out."""

DONE, UNEXPECTED, BAD_INPUT, CANCELLED, BROKEN_PIPE = 0, 1, 2, 130, 141


class _OneLineParser(argparse.ArgumentParser):
    """Reports wrong arguments in one line, rather than below the whole usage."""

    def error(self, message: str) -> NoReturn:
        _print_error(f"error: {message} (see {self.prog} --help)")
        sys.exit(BAD_INPUT)


def build_parser(verb: str | None = None) -> argparse.ArgumentParser:
    """Builds the parser of all verbs; the arguments of one of them only, where it is named, as that takes time."""
    parser = _OneLineParser(
        prog=PROGRAM,
        description="Follows moving tissue in ultrasound. Not for clinical use.",
        epilog="Exit codes: 0 done, 2 bad arguments or input, 130 cancelled, 1 anything else.",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.add_argument(
        "--debug",
        action="store_true",
        help="show warnings, and the traceback of an error; may stand anywhere on the line",
    )
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    modules = {name: f"UltrasoundMotionLib.cli.{name}" for name in VERBS}
    if _has_laboratory():
        modules |= {name: f"{LABORATORY}.{name}" for name in LABORATORY_VERBS}
    for name, summary in (VERBS | LABORATORY_VERBS).items():
        if name not in modules:
            _add_missing(subparsers, name)
            continue
        subparser = subparsers.add_parser(name, help=summary)
        if verb in (name, None):
            importlib.import_module(modules[name]).fill_parser(subparser)
    return parser


def _has_laboratory() -> bool:
    try:
        return importlib.util.find_spec(LABORATORY) is not None
    except ModuleNotFoundError:
        return False


def _add_missing(subparsers: argparse._SubParsersAction, verb: str) -> None:
    """Adds a verb that says how to get it."""

    def run(arguments: argparse.Namespace) -> int:
        raise MissingPackageError(
            f"{verb} is part of the laboratory, which this installation leaves out; in a checkout of the repository run"
            " `pip install --editable .` and use that environment"
        )

    parser = subparsers.add_parser(verb, help="not in this installation", add_help=False)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line (without the program's name; that of the process when None).

    Returns:
        0 done; 2 bad arguments or input, with one line on stderr; 130 interrupted (SIGINT, SIGTERM) or cancelled; 141
        the reader of stdout went away; 1 an unexpected error, with one line, and its traceback under `--debug`.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in argv
    argv = [argument for argument in argv if argument != "--debug"]
    try:
        with _terminated_like_interrupted(), _quiet_libraries(debug):
            try:
                verbs = (argument for argument in argv if not argument.startswith("-"))
                arguments = build_parser(next(verbs, "")).parse_args(argv)
                code = arguments.run(arguments)
                sys.stdout.flush()
            except (Exception, KeyboardInterrupt):
                if debug:
                    traceback.print_exc()
                raise
    except SystemExit as end:  # argparse: --help, --version or wrong arguments
        return int(end.code or 0)
    except (KeyboardInterrupt, Cancelled):
        _print_error("cancelled")
        return CANCELLED
    except UltrasoundMotionError as error:
        _print_error(f"error: {error}")
        return BAD_INPUT
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # or the interpreter complains when it flushes at exit
        return BROKEN_PIPE
    except Exception as error:
        _print_error(f"error: unexpected {type(error).__name__}: {error} (run again with --debug for the details)")
        return UNEXPECTED
    return code


def _print_error(message: str) -> None:
    print(f"{PROGRAM}: {' '.join(message.split())}", file=sys.stderr)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM ends the command as Ctrl-C does: temporary files are removed."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        previous = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread: the signals belong to whoever called
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def _quiet_libraries(debug: bool) -> Iterator[None]:
    """Keeps other libraries' warnings off the terminal unless `debug`; what a user must know stands in a sequence's
    notes.
    """
    if debug:
        yield
        return
    silent = logging.NullHandler()
    logging.getLogger().addHandler(silent)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger().removeHandler(silent)
