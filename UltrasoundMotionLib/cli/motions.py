"""`motions`: mean, inverse and composition of motions and of sequences of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.cli.output_files import check_outputs
from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress, print_notes
from UltrasoundMotionLib.errors import InputError

if TYPE_CHECKING:
    from UltrasoundMotionLib.exchange.motions.motion import Motion, MotionContext
    from UltrasoundMotionLib.exchange.motions.sequences.motion_sequence import MotionSequence
    from UltrasoundMotionLib.progress import Progress

DESCRIPTION = """Mean of the motions of a sequence (one motion), inverse of each, or composition frame by frame: points
go through the first one first; a single motion applies to every frame. IN is a sequence of motions as
`register-sequence` and Slicer write them (.seq.nrrd, .seq.mha, a folder with a file for each frame), or a single
motion of any format that `convert` knows."""

MEAN, INVERSE, COMPOSE = "mean", "inverse", "compose"


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the verb."""
    parser.description = DESCRIPTION
    parser.usage = "%(prog)s mean|inverse IN --out OUT [options] | compose IN IN ... --out OUT"
    parser.add_argument(
        "what", metavar="mean|inverse|compose", choices=(MEAN, INVERSE, COMPOSE), help="what to compute"
    )
    parser.add_argument("inputs", metavar="IN", nargs="+", type=Path, help="a sequence of motions, or a single one")
    parser.add_argument(
        "--out",
        metavar="OUT",
        type=Path,
        required=True,
        help="of a single motion: as `convert`; of a sequence: .seq.nrrd, .seq.mha, or a new folder",
    )
    parser.add_argument("--fixed", metavar="FIXED", type=Path, help="image on whose grid the result is sampled")
    parser.add_argument(
        "--invert",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="of files that Slicer stored as transforms of points: whether to turn them round",
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Reads, computes and writes, frame by frame."""
    from UltrasoundMotionLib.exchange.motions.motion import MotionContext
    from UltrasoundMotionLib.exchange.motions.sequences.motion_sequence import MotionSequence

    inputs: list[Path] = arguments.inputs
    if arguments.what != COMPOSE and len(inputs) != 1:
        raise InputError(f"motions {arguments.what}: takes one IN, got {len(inputs)}")
    if arguments.what == COMPOSE and len(inputs) < 2:
        raise InputError("motions compose: takes two or more IN, in the order in which points go through them")
    given = [] if arguments.fixed is None else [arguments.fixed]
    check_outputs([("motion", arguments.out)], {}, [*inputs, *given])
    context = MotionContext.read(arguments.fixed, invert=arguments.invert)
    found = [_read(path, context) for path in inputs]
    with TerminalProgress(arguments.what, "frames", quiet=arguments.quiet) as progress:
        result, notes = _OPERATIONS[arguments.what](found, context, progress)
        notes = (*notes, *_write(arguments.out, result, context, progress))
    print_notes((*result.notes, *notes), quiet=arguments.quiet)
    if not arguments.quiet:
        count = f"{len(result)} motions" if isinstance(result, MotionSequence) else "a motion"
        print(f"wrote {count} to {arguments.out}")
    return 0


def _read(path: Path, context: MotionContext) -> Motion | MotionSequence:
    from UltrasoundMotionLib.exchange.motions.registry import read_motion
    from UltrasoundMotionLib.exchange.motions.sequences.sequence_files import is_motion_sequence, read_motion_sequence
    from UltrasoundMotionLib.input_files import check_regular_file

    if not path.is_dir():
        check_regular_file(path)
    if is_motion_sequence(path):
        return read_motion_sequence(path, context=context)
    return read_motion(path, context=context)


def _mean(
    found: list[Motion | MotionSequence], context: MotionContext, progress: Progress
) -> tuple[Motion | MotionSequence, tuple[str, ...]]:
    from UltrasoundMotionLib.exchange.motions.sequences.motion_sequence import MotionSequence
    from UltrasoundMotionLib.exchange.motions.sequences.operations import mean_motion

    (sequence,) = found
    if not isinstance(sequence, MotionSequence):
        raise InputError("motions mean: takes a sequence of motions, and this is a single one")
    return mean_motion(sequence, context.fixed, progress), ()


def _inverse(
    found: list[Motion | MotionSequence], context: MotionContext, progress: Progress
) -> tuple[Motion | MotionSequence, tuple[str, ...]]:
    from UltrasoundMotionLib.exchange.motions.sequences.motion_sequence import MotionSequence
    from UltrasoundMotionLib.exchange.motions.sequences.operations import inverse_motions

    (one,) = found
    if isinstance(one, MotionSequence):
        return inverse_motions(one, context.fixed), ()
    inverse = one.inverse(context.fixed)
    return inverse.motion, (f"a voxel's centre comes back within {inverse.residual_mm:.3g} mm",)


def _compose(
    found: list[Motion | MotionSequence], context: MotionContext, progress: Progress
) -> tuple[Motion | MotionSequence, tuple[str, ...]]:
    from UltrasoundMotionLib.exchange.motions.motion import Motion
    from UltrasoundMotionLib.exchange.motions.sequences.operations import compose_motions

    singles = [one for one in found if isinstance(one, Motion)]
    if len(singles) < len(found):
        return compose_motions(*found), ()
    composed = singles[0]
    for one in singles[1:]:
        composed = composed.then(one)
    return composed, ()


_Operation = Callable[
    ["list[Motion | MotionSequence]", "MotionContext", "Progress"],
    "tuple[Motion | MotionSequence, tuple[str, ...]]",
]
_OPERATIONS: dict[str, _Operation] = {MEAN: _mean, INVERSE: _inverse, COMPOSE: _compose}


def _write(path: Path, result: Motion | MotionSequence, context: MotionContext, progress: Progress) -> tuple[str, ...]:
    from UltrasoundMotionLib.exchange.motions.motion import MotionContext as Context
    from UltrasoundMotionLib.exchange.motions.registry import write_motion
    from UltrasoundMotionLib.exchange.motions.sequences.motion_sequence import MotionSequence
    from UltrasoundMotionLib.exchange.motions.sequences.sequence_files import write_motion_sequence

    grid = Context(fixed=context.fixed)
    if isinstance(result, MotionSequence):
        return write_motion_sequence(path, result, context=grid, progress=progress)
    write_motion(path, result, context=grid)
    return ()
