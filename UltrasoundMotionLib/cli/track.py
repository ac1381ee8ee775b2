"""`track`: follow points through a sequence and write where they went."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress, duration
from UltrasoundMotionLib.cli.tracking_outputs import TrackingOutputs
from UltrasoundMotionLib.tracking.online_tracker import DIRECTIONS
from UltrasoundMotionLib.tracking.registry import find_tracker
from UltrasoundMotionLib.tracking.tracker_wrapping import TrackingOptions

if TYPE_CHECKING:
    from UltrasoundMotionLib.images import ImageSequence
    from UltrasoundMotionLib.tracking import PointTracks, QueryPoints

DESCRIPTION = """Follows points through an ultrasound sequence, forwards and backwards from the frame on which they were placed.
Each frame gives every point a position, a confidence from 0 to 1 and whether it is visible; a lost point keeps its best guess."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("track", help="follow points through a sequence", description=DESCRIPTION)
    parser.add_argument(
        "input",
        metavar="INPUT",
        type=Path,
        help="multi-frame DICOM, .mp4/.avi, folder of PNGs, .nrrd/.seq.nrrd/.mha/.mhd/.nii(.gz)",
    )
    parser.add_argument(
        "--points",
        metavar="P",
        type=Path,
        required=True,
        help="CSV with label,x,y in pixels, or Slicer markups (.mrk.json, mm)",
    )
    parser.add_argument(
        "--out",
        metavar="TRACKS.csv",
        type=Path,
        required=True,
        help="a line for each point and frame: frame,time_s,label,x,y,confidence,visible",
    )
    parser.add_argument(
        "--model", metavar="M", help="tracker; see `ultrasound-motion models list` (default: the library's)"
    )
    parser.add_argument(
        "--query-frame",
        metavar="K|auto",
        type=frame_or_auto,
        default=0,
        help="frame on which the points were placed, from 0 (default 0); auto takes diastasis if a cycle is found, else the frame most like all",
    )
    parser.add_argument(
        "--direction",
        choices=tuple(DIRECTIONS),
        default="both",
        help="follow the points from the query frame one way only",
    )
    parser.add_argument(
        "--spacing-mm",
        metavar=("SX", "SY"),
        nargs=2,
        type=positive_number,
        help="pixel size in mm, in place of what the file says (or does not say)",
    )
    parser.add_argument(
        "--frame-rate", metavar="FPS", type=positive_number, help="frames per second, in place of what the file says"
    )
    parser.add_argument("--device", metavar="D", default="auto", help="auto (default), cpu, cuda or mps")
    parser.add_argument(
        "--scene",
        metavar="S.mrb",
        type=Path,
        help="also write a 3D Slicer scene that plays image and points (extra slicer)",
    )
    parser.add_argument(
        "--overlay", metavar="O.png", type=Path, help="also write a strip of frames with their points (extra plot)"
    )
    parser.add_argument(
        "--animation",
        metavar="A.gif|A.mp4",
        type=Path,
        help="also write the clip with its points (extra plot; .mp4: video)",
    )
    parser.add_argument("--plot", metavar="D.png", type=Path, help="also write the displacement over time (extra plot)")
    parser.add_argument(
        "--watch-shadows", action="store_true", help="report and predict points in shadow, hold frozen or black video"
    )
    parser.add_argument(
        "--offline", action="store_true", help="follow there and back, fuse and smooth; takes twice as long"
    )
    parser.add_argument(
        "--ahead-frames",
        metavar="F",
        type=frame_count,
        default=0,
        help="state where each point will be F frames later, to make up for latency",
    )
    parser.add_argument(
        "--keep-graphics",
        action="store_true",
        help="track on the frames as they are, with the scanner's text, rulers and traces",
    )
    parser.add_argument(
        "--connect",
        action="store_true",
        help="join the points in the order given, in pictures and as a curve in the scene (a wall)",
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Checks everything, follows the points, writes the files and says what came out."""
    outputs = TrackingOutputs(
        tracks=arguments.out,
        scene=arguments.scene,
        overlay=arguments.overlay,
        animation=arguments.animation,
        plot=arguments.plot,
        connect=arguments.connect,
    )
    outputs.check(inputs=(arguments.input, arguments.points))
    if arguments.model:
        find_tracker(arguments.model)

    from UltrasoundMotionLib.images import read_sequence
    from UltrasoundMotionLib.tracking import check_query_points, choose_device, read_query_points

    sequence = read_sequence(arguments.input, spacing_mm=arguments.spacing_mm, frame_rate_hz=arguments.frame_rate)
    points = read_query_points(arguments.points, sequence)
    query_frame = arguments.query_frame
    check_query_points(sequence, points.points_px, 0 if query_frame == "auto" else query_frame)
    device = choose_device(arguments.device)
    notes = [*sequence.notes, *points.notes]
    if arguments.spacing_mm and arguments.points.suffix == ".json":
        notes.append(
            f"{arguments.points}: mm were turned into pixels with --spacing-mm; right only if the markups were placed at that spacing"
        )
    tissue = sequence
    if not arguments.keep_graphics:
        tissue, more = hide_graphics(sequence, points)
        notes += more
    if query_frame == "auto":
        from UltrasoundMotionLib.tracking.quiet_frame import choose_query_frame

        choice = choose_query_frame(tissue)
        query_frame = choice.frame
        notes.append(f"query frame {query_frame} chosen: {choice.reason}; the points are taken to lie on it")
    say_notes(notes, quiet=arguments.quiet)
    tracking = TrackingOptions(arguments.watch_shadows, arguments.offline, arguments.ahead_frames)
    options = {
        "direction": arguments.direction,
        "options": tracking,
        **({"model": arguments.model} if arguments.model else {}),
    }
    tracks, seconds = follow(tissue, points, query_frame=query_frame, device=device, quiet=arguments.quiet, **options)
    outputs.write(sequence, tracks, quiet=arguments.quiet)
    if not arguments.quiet:
        print(summarise(tracks, seconds))
        print(list_outputs(outputs))
        print(f"Next: {what_next(outputs, arguments.input)}")
    return 0


def hide_graphics(sequence: ImageSequence, points: QueryPoints) -> tuple[ImageSequence, list[str]]:
    """The sequence without what the scanner drew on it, and what to say of that.

    A tracker that sees a ruler or a trace beside its point follows that, and it stands still.
    """
    from UltrasoundMotionLib.images.graphics_mask import find_graphics, without_graphics

    mask = find_graphics(sequence)
    if not mask.any() or mask.all():
        return sequence, []
    columns, rows = np.clip(np.rint(points.points_px).astype(int), 0, np.array(sequence.frame_size) - 1).T
    covered = [label for label, hidden in zip(points.labels, mask[rows, columns], strict=True) if hidden]
    tissue = without_graphics(sequence, mask)
    notes = list(tissue.notes[len(sequence.notes) :])
    if covered:
        notes.append(
            f"{', '.join(covered)} on what seems drawn by the scanner, not tissue; if it is tissue, add --keep-graphics"
        )
    return tissue, notes


def say_notes(notes: Iterable[str], *, quiet: bool = False) -> None:
    """Prints what a user should know before looking at the result."""
    if not quiet:
        for note in notes:
            print(f"note: {note}", flush=True)


def follow(
    sequence: ImageSequence, points: QueryPoints, *, device: str = "auto", quiet: bool = False, **options: object
) -> tuple[PointTracks, float]:
    """`track_points` under a progress bar, and the seconds it took (without those of starting torch)."""
    from UltrasoundMotionLib.tracking import choose_device, track_points

    device = choose_device(device)
    begun = time.perf_counter()
    with TerminalProgress("tracking", quiet=quiet) as progress:
        tracks = track_points(
            sequence, points.points_px, labels=points.labels, device=device, progress=progress, **options
        )
    return tracks, time.perf_counter() - begun


def summarise(tracks: PointTracks, seconds: float) -> str:
    """What came out, in two lines or three."""
    visible, confidence = tracks.visible[tracks.reached], tracks.confidence[tracks.reached]
    frame_count, point_count = visible.shape
    lines = [
        f"Followed {point_count} points through {frame_count} frames from frame {tracks.query_frame} with {tracks.model}"
        f" in {duration(seconds)} ({frame_count / seconds:.0f} frames/s).",
        f"Visible in {np.mean(visible):.1%} of all positions; mean confidence {np.mean(confidence):.2f};"
        f" largest displacement {_largest_displacement(tracks)}.",
    ]
    lost = np.mean(~visible, axis=0)
    if lost.max() > 0.5:
        worst = [label for label, share in zip(tracks.labels, lost, strict=True) if share > 0.5]
        lines.append(f"Lost in more than half of the frames: {', '.join(worst[:8])}{' ...' if len(worst) > 8 else ''}.")
    return "\n".join(lines)


def _largest_displacement(tracks: PointTracks) -> str:
    spacing, unit = (tracks.spacing_mm, "mm") if tracks.spacing_mm else ((1.0, 1.0), "px")
    lengths = np.linalg.norm(tracks.displacement_px * spacing, axis=2)
    return f"{np.nanmax(lengths):.1f} {unit}"


def list_outputs(outputs: TrackingOutputs) -> str:
    """Every file, one on a line."""
    return "\n".join(["Wrote:", *(f"  {name:<9}  {path}" for name, path in outputs.named())])


def what_next(outputs: TrackingOutputs, clip: Path) -> str:
    """One sentence on how to look at the result."""
    if outputs.scene:
        return f"open {outputs.scene} in 3D Slicer (drag it onto the window) and press play."
    if outputs.overlay or outputs.animation:
        return (
            f"look at {outputs.animation or outputs.overlay}, then add --scene S.mrb to play the points in 3D Slicer."
        )
    return (
        f"see whether the points stayed on the tissue of {clip}: add --animation A.gif, or --scene S.mrb for 3D Slicer."
    )


def positive_number(text: str) -> float:
    """An argument that must be a finite number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def frame_count(text: str) -> int:
    """An argument that must be a whole number from 0 on."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 on, got {text!r}")
    return int(text)


def frame_or_auto(text: str) -> int | str:
    """An argument that must be a whole number or `auto`."""
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a frame number or auto, got {text!r}") from None
