"""Entry of the command line: runs a verb and turns its outcome into an exit code and at most one line."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from UltrasoundMotionLib import __version__, interrupts
from UltrasoundMotionLib.errors import Cancelled, MissingPackageError, OptionError, OutputError, UltrasoundMotionError
from UltrasoundMotionLib.pytorch import needs_pytorch
from UltrasoundMotionLib.quick_import import import_quickly

PROGRAM = "ultrasound-motion"
VERBS = {
    "demo": "a real echo in, strain, a 3D Slicer scene, pictures and tables out",
    "track": "follow points through a sequence",
    "live": "follow points in images that arrive over OpenIGTLink, while scanning",
    "strain": "strain curves, segments and GLS from tracks along the wall",
    "register": "put one image or volume onto another",
    "register-sequence": "put every frame of a clip, or volumes over time, onto one of them",
    "cohort": "the same for many cases, in parallel, with tables and a page of all",
    "convert": "labelled points, or a motion, from one program's format into another's",
    "motions": "mean, inverse and composition of motions over time",
    "place": "a clip and its points in the space of an MRI or CT",
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

    def _print_message(self, message: str, file: Any = None) -> None:
        """Prints help and version; a stream that refuses them is an error, which argparse passes over."""
        stream = file or sys.stderr
        if message and stream is not None:
            stream.write(message)
            stream.flush()


def build_parser(verb: str | None = None) -> argparse.ArgumentParser:
    """Builds the parser of all verbs; the arguments of one of them only, where it is named, as that takes time."""
    parser = _OneLineParser(
        prog=PROGRAM,
        description="Follows moving tissue in ultrasound. Not for clinical use.",
        epilog="Exit codes: 0 done, 2 bad arguments or input, 130 or 143 cancelled, 1 anything else.",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.add_argument(
        "--debug",
        action="store_true",
        help="show warnings, and the traceback of an error; may stand anywhere on the line",
    )
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    modules = {name: f"UltrasoundMotionLib.cli.{name.replace('-', '_')}" for name in VERBS}
    if _has_laboratory():
        modules |= {name: f"{LABORATORY}.{name}" for name in LABORATORY_VERBS}
    for name, summary in (VERBS | LABORATORY_VERBS).items():
        if name not in modules:
            _add_missing(subparsers, name)
            continue
        subparser = subparsers.add_parser(name, help=summary)
        if verb in (name, None):
            import_quickly(modules[name]).fill_parser(subparser)
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
        0 done; 2 bad arguments or input, or the system refuses to read or write, with one line on stderr; 130 Ctrl-C or
        cancelled; 143 terminated (SIGTERM); 141 the reader of stdout went away; 1 an unexpected error, with one line,
        and its traceback under `--debug`.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    with interrupts.handled():
        try:
            _prepare_streams()
            code = _run(argv)
        except KeyboardInterrupt:  # between two lines of ours
            _print_error("cancelled")
            code = CANCELLED
        number = interrupts.requested()
        if number is None:
            return code
        with interrupts.uninterrupted():
            if code != CANCELLED:  # it has its line already
                _print_error("cancelled")
        return interrupts.exit_code(number)


def _run(argv: list[str]) -> int:
    """Runs a command line and turns every error into its line and exit code; a cancelled run has no line yet."""
    debug = "--debug" in argv
    argv = [argument for argument in argv if argument != "--debug"]
    try:
        with _quiet_libraries(debug):
            try:
                verbs = (argument for argument in argv if not argument.startswith("-"))
                arguments = build_parser(next(verbs, "")).parse_args(argv)
                if sys.stdout is None and not getattr(arguments, "quiet", False):
                    raise OutputError("standard output is closed: send it to a file, or to the null device")
                code = arguments.run(arguments)
                _flush_output()
                return code
            except SystemExit as end:  # argparse: --help, --version or wrong arguments
                _flush_output()
                return int(end.code or 0)
            except (Exception, KeyboardInterrupt):
                if debug:
                    traceback.print_exc()
                raise
    except (KeyboardInterrupt, Cancelled):
        _print_error("cancelled")
        return CANCELLED
    except Exception as error:
        if interrupts.requested() is not None:  # what a library made of the interruption
            _print_error("cancelled")
            return CANCELLED
        return _report(error)


def _flush_output() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _report(error: Exception) -> int:
    """Prints the one line of an error and returns its exit code."""
    if isinstance(error, ModuleNotFoundError) and error.name == "torch":
        error = MissingPackageError(needs_pytorch("this"))
    if isinstance(error, BrokenPipeError):
        _discard_output()
        return BROKEN_PIPE
    if isinstance(error, OptionError):
        _print_error(f"error: --{error.option.replace('_', '-')}: {error.reason}")
        return BAD_INPUT
    if isinstance(error, UltrasoundMotionError):
        _print_error(f"error: {error}")
        return BAD_INPUT
    if isinstance(error, OSError):
        _print_error(f"error: {describe_system_error(error)}")
        _discard_output()
        return BAD_INPUT
    if isinstance(error, MemoryError):
        _print_error("error: not enough memory for images of this size")
        return BAD_INPUT
    _print_error(f"error: unexpected {type(error).__name__}: {error} (run again with --debug for the details)")
    return UNEXPECTED


def describe_system_error(error: OSError) -> str:
    """Returns the line for what the system refused: the file, where one is known, and its reason."""
    reason = error.strerror or str(error) or type(error).__name__
    given = (error.filename, error.filename2)
    names = [os.fsdecode(name) for name in given if isinstance(name, str | bytes | os.PathLike)]
    if names:
        return f"{' and '.join(names)}: {reason}"
    try:
        Path.cwd()
    except OSError:
        return f"the working folder: {reason}; it was deleted or cannot be entered: change to another folder"
    return f"standard output, or a file: {reason}"


def _prepare_streams() -> None:
    """Opens what the caller closed, or the next file opened would take its place, and lets odd names be printed."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it lives as long as the process
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """Sends what is still to be written to stdout nowhere, or the interpreter complains when it flushes at exit."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
        return
    with suppress(OSError, ValueError, AttributeError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, sys.stdout.fileno())
        os.close(descriptor)


def _print_error(message: str) -> None:
    with suppress(OSError, ValueError):
        print(f"{PROGRAM}: {' '.join(message.split())}", file=sys.stderr, flush=True)


interrupts.before_sudden_end.append(lambda: _print_error("cancelled"))


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
