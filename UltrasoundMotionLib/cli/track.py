"""`track`: follow points through a sequence and write their positions."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.cli.output_files import weights_files
from UltrasoundMotionLib.cli.request_arguments import add_arguments, from_arguments
from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress, duration, print_notes
from UltrasoundMotionLib.cli.tracking_outputs import TrackingOutputs
from UltrasoundMotionLib.errors import InputError, OptionError
from UltrasoundMotionLib.settings import check_options, option
from UltrasoundMotionLib.tracking.registry import find_tracker
from UltrasoundMotionLib.tracking.request import TrackRequest

if TYPE_CHECKING:
    from UltrasoundMotionLib.images.image_sequence import ImageSequence
    from UltrasoundMotionLib.tracking import PointTracks
    from UltrasoundMotionLib.tracking.corrections.corrections import CorrectedFrames
    from UltrasoundMotionLib.tracking.files.query_points_file import QueryPoints
    from UltrasoundMotionLib.tracking.track import PreparedTracking

DESCRIPTION = """Follows points through an ultrasound sequence, forwards and backwards from the frame on which they
were placed. Each frame gives every point a position, a confidence from 0 to 1 and whether it is visible; a lost point
keeps its best guess."""


@dataclass(frozen=True)
class TrackInputs:
    """Files to track in, and corrections to what they say.

    Attributes:
        input: the clip.
        points: query points.
        corrections: where points are on other frames, or that they are lost there.
        spacing_mm: (x, y) pixel size; None: the file's.
        frame_rate_hz: None: the file's.
    """

    input: Path = option(
        flag="INPUT",
        metavar="INPUT",
        help="multi-frame DICOM, .mp4/.avi, folder of PNGs, .nrrd/.seq.nrrd/.mha/.mhd/.nii(.gz)",
    )
    points: Path = option(
        metavar="P",
        help="CSV with label,x,y in pixels, Slicer markups (.mrk.json, mm), or any format of `convert`",
    )
    corrections: Path | None = option(
        None,
        metavar="C.csv",
        help="CSV with frame,label,x,y: where points are on further frames (no x and y: lost there); tracked both ways"
        " from each and fused",
    )
    spacing_mm: tuple[float, float] | None = option(
        None,
        above=0,
        metavar=("SX", "SY"),
        help="pixel size in mm, in place of what the file says (or does not say)",
    )
    frame_rate_hz: float | None = option(
        None,
        above=0,
        flag="--frame-rate",
        metavar="FPS",
        help="frames per second, in place of what the file says",
    )

    def __post_init__(self) -> None:
        check_options(self)


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the verb."""
    parser.description = DESCRIPTION
    for kind in (TrackInputs, TrackRequest, TrackingOutputs):
        add_arguments(parser, kind)
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Checks everything, follows the points, writes the files and prints a summary."""
    inputs = from_arguments(TrackInputs, arguments)
    request = from_arguments(TrackRequest, arguments)
    outputs = from_arguments(TrackingOutputs, arguments)
    corrections = [inputs.corrections] if inputs.corrections else []
    outputs.check(inputs=(inputs.input, inputs.points, *corrections, *weights_files(request.weights)))
    find_tracker(request.model)

    from UltrasoundMotionLib.exchange.labels.query import read_points_to_track
    from UltrasoundMotionLib.images.sequence_files import read_sequence
    from UltrasoundMotionLib.tracking.track import prepare_tracking

    sequence = read_sequence(inputs.input, spacing_mm=inputs.spacing_mm, frame_rate_hz=inputs.frame_rate_hz)
    points = read_points_to_track(inputs.points, sequence, inputs.input, request.query_frame)
    notes = [*sequence.notes, *points.notes, *outputs.scene_notes(sequence)]
    if inputs.spacing_mm and inputs.points.suffix == ".json":
        notes.append(
            f"{inputs.points}: mm were turned into pixels with --spacing-mm; right only if the markups were placed at"
            " that spacing"
        )
    if inputs.corrections is not None:
        corrected = read_corrections(inputs.corrections, sequence, points, request)
        print_notes(notes, quiet=arguments.quiet)
        tracks, seconds = follow_corrected(sequence, corrected, request, quiet=arguments.quiet)
        later_notes = tracks.notes
    else:
        prepared = prepare_tracking(sequence, points.points_px, labels=points.labels, request=request)
        print_notes([*notes, *prepared.notes], quiet=arguments.quiet)
        tracks, seconds = follow(prepared, quiet=arguments.quiet)
        later_notes = tracks.notes[len(prepared.notes) :]
    outputs.write(sequence, tracks, quiet=arguments.quiet)
    if not arguments.quiet:
        print_notes(later_notes)
        print(summarise(tracks, seconds))
        print(list_outputs(outputs))
        print(f"Next: {what_next(outputs, inputs.input)}")
    return 0


def follow(prepared: PreparedTracking, *, quiet: bool = False) -> tuple[PointTracks, float]:
    """Tracks under a progress bar; returns the tracks and the seconds it took (without those of starting PyTorch)."""
    begun = time.perf_counter()
    with TerminalProgress("tracking", quiet=quiet) as progress:
        tracks = prepared.track(progress=progress)
    return tracks, time.perf_counter() - begun


def read_corrections(
    path: Path, sequence: ImageSequence, points: QueryPoints, request: TrackRequest
) -> CorrectedFrames:
    """Reads the corrections of some points, and adds the points as they were placed on the query frame.

    Raises:
        InputError: see `read_corrections_csv` and `CorrectedFrames.on`; a query frame that is not a number.
    """
    from UltrasoundMotionLib.tracking.corrections.corrections import CorrectedFrames, Correction
    from UltrasoundMotionLib.tracking.corrections.track_corrected import check_request
    from UltrasoundMotionLib.tracking.files.corrections_csv import read_corrections_csv

    try:
        check_request(request)
    except OptionError as error:
        raise InputError(f"--{error.option.replace('_', '-')}: with --corrections: {error.reason}") from error
    frame = int(request.query_frame)
    placed = [
        Correction(frame, label, (x, y)) for label, (x, y) in zip(points.labels, points.points_px.tolist(), strict=True)
    ]
    corrections = read_corrections_csv(path)
    again = next((one for one in corrections if one.frame == frame and one.label in points.labels), None)
    if again is not None:
        raise InputError(f"{path}: {again.label} on frame {frame}: --points places it there; leave one of them out")
    return CorrectedFrames.on(sequence, [*placed, *corrections], labels=points.labels, source=path)


def follow_corrected(
    sequence: ImageSequence, corrections: CorrectedFrames, request: TrackRequest, *, quiet: bool = False
) -> tuple[PointTracks, float]:
    """Tracks through corrected frames under a progress bar; returns the tracks and the seconds it took."""
    from UltrasoundMotionLib.tracking.corrections.track_corrected import track_corrected

    begun = time.perf_counter()
    with TerminalProgress("tracking", quiet=quiet) as progress:
        found = track_corrected(sequence, corrections, progress=progress, request=request)
    return found.tracks, time.perf_counter() - begun


def summarise(tracks: PointTracks, seconds: float) -> str:
    """A summary in two lines or three."""
    visible, confidence = tracks.visible[tracks.reached], tracks.confidence[tracks.reached]
    frame_count, point_count = visible.shape
    lines = [
        f"Followed {point_count} points through {frame_count} frames from frame {tracks.query_frame} with"
        f" {tracks.model} in {duration(seconds)} ({frame_count / seconds:.0f} frames/s).",
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
    """Every file written, one on a line."""
    return "\n".join(["Wrote:", *(f"  {name:<9}  {path}" for name, path in outputs.named())])


def what_next(outputs: TrackingOutputs, clip: Path) -> str:
    """One sentence on how to look at the result."""
    if outputs.scene:
        return f"open {outputs.scene} in 3D Slicer (drag it onto the window) and press play."
    if outputs.overlay or outputs.animation:
        picture = outputs.animation or outputs.overlay
        return f"look at {picture}, then add --scene S.mrb to play the points in 3D Slicer."
    return (
        f"see whether the points stayed on the tissue of {clip}: add --animation A.gif, or --scene S.mrb for 3D Slicer."
    )
