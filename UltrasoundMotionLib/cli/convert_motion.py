"""`convert` of motions: one motion from one program's format into another's."""

from __future__ import annotations

import argparse
from pathlib import Path

from UltrasoundMotionLib.cli.output_files import check_outputs
from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress, print_notes
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.motions.registry import (
    MotionFormat,
    available_motion_formats,
    find_motion_format,
    motion_format_to_write,
    read_motion,
    recognised_motion_format,
    write_motion,
)
from UltrasoundMotionLib.exchange.motions.sequences.sequence_files import is_motion_sequence

DESCRIPTION = """Converts motions too: linear transforms and displacement fields from points of a fixed image to those
of a moving one. Formats that name no place in space, such as FSL's and VoxelMorph's, need the images."""
__all__ = ["convert_motion", "convert_motion_sequence", "is_motion_sequence"]

_FSL_WARPS = ("relative", "absolute")


def motion_names() -> list[str]:
    """Returns the names of the formats of motions, as `--from` and `--to` take them."""
    return [one.name for one in available_motion_formats()]


def add_motion_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that only motions have."""
    group = parser.add_argument_group("motions")
    group.add_argument("--fixed", metavar="FIXED", type=Path, help="the image onto which the motion puts the other")
    group.add_argument("--moving", metavar="MOVING", type=Path, help="the image that it puts there")
    group.add_argument(
        "--invert",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="write the inverse motion; --no-invert takes a transform as it is where Slicer stored it as one of points",
    )
    group.add_argument(
        "--fsl-warp",
        choices=_FSL_WARPS,
        help="whether a field of FSL holds displacements or positions (default: by its values)",
    )


def motion_source(arguments: argparse.Namespace) -> MotionFormat | None:
    """Returns the format of the input if it is a motion, named or recognised; else None.

    Raises:
        InputError: the file is missing or empty.
    """
    if arguments.source:
        return find_motion_format(arguments.source) if arguments.source in motion_names() else None
    return recognised_motion_format(arguments.input)


def convert_motion_sequence(arguments: argparse.Namespace) -> int:
    """Writes the motions of a sequence in another form: one NRRD of fields, a .seq.mha of matrices, or a folder."""
    from UltrasoundMotionLib.exchange.motions.motion import MotionContext
    from UltrasoundMotionLib.exchange.motions.sequences.sequence_files import (
        read_motion_sequence,
        write_motion_sequence,
    )

    given = [path for path in (arguments.fixed, arguments.moving) if path is not None]
    if arguments.source or arguments.target:
        raise InputError("--from and --to: are those of a single motion, and the input holds one for each frame")
    check_outputs([("motions", arguments.output)], {}, [arguments.input, *given])
    context = MotionContext.read(arguments.fixed, arguments.moving, invert=arguments.invert)
    sequence = read_motion_sequence(arguments.input, context=context)
    grid = MotionContext(fixed=context.moving if arguments.invert else context.fixed)
    with TerminalProgress("converting", "frames", quiet=arguments.quiet) as progress:
        notes = write_motion_sequence(arguments.output, sequence, context=grid, progress=progress)
    print_notes((*sequence.notes, *notes), quiet=arguments.quiet)
    if not arguments.quiet:
        print(f"{len(sequence)} motions to {arguments.output}")
    return 0


def convert_motion(arguments: argparse.Namespace, source: MotionFormat) -> int:
    """Reads, writes, and prints what a user should know."""
    from UltrasoundMotionLib.exchange.motions.motion import MotionContext

    if arguments.target and arguments.target not in motion_names():
        raise InputError(f"--to: {arguments.input} is a motion, and {arguments.target} a format of labels")
    given = [path for path in (arguments.fixed, arguments.moving) if path is not None]
    check_outputs([("motion", arguments.output)], {}, [arguments.input, *given])
    relative = None if arguments.fsl_warp is None else arguments.fsl_warp == _FSL_WARPS[0]
    context = MotionContext.read(arguments.fixed, arguments.moving, fsl_relative=relative, invert=arguments.invert)
    motion = read_motion(arguments.input, form=source.name, context=context)
    print_notes(motion.notes, quiet=arguments.quiet)
    write_motion(arguments.output, motion, form=arguments.target, context=context)
    if not arguments.quiet:
        target = arguments.target or getattr(motion_format_to_write(arguments.output), "name", "")
        kind = "linear" if motion.matrix is not None else "displacements"
        print(f"{source.name} to {target}: a {motion.dimension}D motion ({kind}) to {arguments.output}")
    return 0
