"""`convert`: labelled points, or a motion, from one program's format into another's."""

from __future__ import annotations

import argparse
from pathlib import Path

from UltrasoundMotionLib.cli import convert_motion
from UltrasoundMotionLib.cli.output_files import check_outputs
from UltrasoundMotionLib.cli.terminal_progress import print_notes
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.labels.registry import available_label_formats
from UltrasoundMotionLib.exchange.motions.registry import available_motion_formats

DESCRIPTION = """Converts labelled points: tracks, annotations, contours. The format of IN is found by its content, that
of OUT by its name, or by --to. Half a pixel is added or subtracted where a format counts from the corner of a pixel.
What OUT cannot hold is printed as notes; labels that it cannot hold at all are refused, and nothing is written."""


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the verb."""
    formats = available_label_formats()
    motions = available_motion_formats()
    names = [*(one.name for one in formats), *(one.name for one in motions)]
    parser.description = f"{DESCRIPTION} {convert_motion.DESCRIPTION}"
    listed = [*(f"{one.name}: {one.summary}" for one in formats), *(f"{one.name}: {one.summary}" for one in motions)]
    parser.epilog = f"Formats: {'; '.join(listed)}."
    parser.add_argument("input", metavar="IN", type=Path, help="file or folder of labelled points, or of a motion")
    parser.add_argument("output", metavar="OUT", type=Path, help="file to write, or a new folder for clust")
    parser.add_argument("--from", dest="source", metavar="F", choices=names, help="format of IN (default: by content)")
    parser.add_argument("--to", dest="target", metavar="F", choices=names, help="format of OUT (default: by its name)")
    parser.add_argument(
        "--image",
        metavar="CLIP",
        type=Path,
        help="the clip that the points belong to: formats in mm, in names of pictures or with an image size need it",
    )
    parser.add_argument(
        "--spacing-mm", metavar=("SX", "SY"), nargs=2, type=float, help="pixel size of CLIP, in place of what it says"
    )
    parser.add_argument(
        "--frame",
        metavar="K",
        type=int,
        help="write the points of this frame only; of an IN that holds one frame: the frame that it is, from 0",
    )
    parser.add_argument(
        "--connect", action="store_true", help="join single points in their order as one curve, such as a wall"
    )
    convert_motion.add_motion_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Reads, writes, and prints what was lost."""
    from UltrasoundMotionLib.exchange.labels import find_label_format, read_clip_reference, read_labels, write_labels
    from UltrasoundMotionLib.exchange.labels.read_write import as_one_curve
    from UltrasoundMotionLib.exchange.labels.registry import format_to_write, recognise

    if convert_motion.is_motion_sequence(arguments.input):
        return convert_motion.convert_motion_sequence(arguments)
    motion = convert_motion.motion_source(arguments)
    if motion is not None:
        return convert_motion.convert_motion(arguments, motion)
    source = find_label_format(arguments.source) if arguments.source else recognise(arguments.input)
    if arguments.target in convert_motion.motion_names():
        raise InputError(f"--to: {arguments.input} holds labels, and {arguments.target} is a format of motions")
    target = find_label_format(arguments.target) if arguments.target else format_to_write(arguments.output)
    inputs = [arguments.input, *([arguments.image] if arguments.image else [])]
    if target.endings != ("",):
        check_outputs([("labels", arguments.output)], {}, inputs)
    if arguments.spacing_mm and not arguments.image:
        raise InputError("--spacing-mm: is that of a clip; name it with --image")
    clip = None
    if arguments.image:
        clip = read_clip_reference(arguments.image, spacing_mm=arguments.spacing_mm)
    given = arguments.frame if source.one_frame or source.frame_of_single else None
    labels = read_labels(arguments.input, form=source.name, clip=clip, frame=given)
    if arguments.connect:
        labels = as_one_curve(labels)
    print_notes(labels.notes, quiet=arguments.quiet)
    lost = write_labels(arguments.output, labels, form=target.name, clip=clip, frame=arguments.frame)
    print_notes(lost, quiet=arguments.quiet)
    if not arguments.quiet:
        there = labels.labelled
        frames = 1 if arguments.frame is not None else int(there.any(axis=1).sum())
        points = f"{there.shape[1]} points on {frames} of {len(there)} frames"
        print(f"{source.name} to {target.name}: {points} to {arguments.output}")
    return 0
