"""`place`: a clip, and points that were tracked in it, in the space of an MRI or CT."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.cli.output_files import check_outputs
from UltrasoundMotionLib.cli.request_arguments import add_arguments, from_arguments
from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress, print_notes
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.placement.request import PlaceRequest
from UltrasoundMotionLib.settings import check_options, option

if TYPE_CHECKING:
    from UltrasoundMotionLib.images import ImageSequence, Volume
    from UltrasoundMotionLib.placement import Placement
    from UltrasoundMotionLib.tracking import PointTracks

DESCRIPTION = """Places the frames of a clip, and points that were tracked in it, in the space of a volume: by a matrix,
by landmarks seen in both, or by the transforms of a tracked probe that PLUS stored with each frame. Writes the points
in RAS mm, the transforms as Slicer reads them, a scene, and a picture of a frame over the volume cut at its plane."""

ENDINGS = {
    "points": (".csv",),
    "transforms": (".tfm", ".h5", ".txt", ".seq.mha", ".igs.mha"),
    "markups": (".mrk.json",),
    "picture": (".png",),
    "scene": (".mrb",),
}


@dataclass(frozen=True)
class PlaceFiles:
    """Files to read and to write.

    Attributes:
        input: the clip.
        volume: image of the space to place in, for the picture, the scene, and to see whether the clip lies inside.
        tracks: points tracked in the clip, in any format of `convert`.
        spacing_mm: (x, y) pixel size of the clip; None: the file's.
        out, transforms, markups, picture, scene: what to write; None is not written.
        frame: of the picture and the markups; None: the first that has a place (of the tracks: the query frame).
    """

    input: Path = option(
        flag="CLIP", metavar="CLIP", help="any clip that `track` reads; PLUS' .igs.mha with transforms"
    )
    volume: Path | None = option(None, metavar="V", help="the MRI or CT: .nii.gz, .nrrd, .mha, a DICOM folder")
    tracks: Path | None = option(
        None, metavar="TRACKS", help="points in the clip: of `track`, or a format of `convert`"
    )
    spacing_mm: tuple[float, float] | None = option(
        None, above=0, metavar=("SX", "SY"), help="pixel size of the clip in mm, in place of what the file says"
    )
    out: Path | None = option(
        None, metavar="POINTS.csv", help="the points: frame,time_s,label,r,a,s,confidence,visible"
    )
    transforms: Path | None = option(
        None, metavar="T", help="transform from the clip to the volume: .tfm or .h5; of many: .seq.mha, with the clip"
    )
    markups: Path | None = option(None, metavar="M.mrk.json", help="the points of one frame as Slicer markups")
    picture: Path | None = option(None, metavar="P.png", help="a frame over the volume at its plane (extra plot)")
    scene: Path | None = option(None, metavar="S.mrb", help="a Slicer scene of both (extra slicer)")
    frame: int | None = option(None, minimum=0, metavar="K", help="frame of the picture and the markups")

    def __post_init__(self) -> None:
        check_options(self)

    def named(self) -> list[tuple[str, Path]]:
        """Returns (name, path) of every file to write."""
        outputs = {name: getattr(self, "out" if name == "points" else name) for name in ENDINGS}
        return [(name, path) for name, path in outputs.items() if path is not None]

    def check(self, request: PlaceRequest) -> None:
        """Checks outputs and what they need before anything is read.

        Raises:
            InputError: no output, or one that needs tracks or a volume.
            OutputError: see `check_outputs`.
        """
        given = (self.input, self.volume, self.tracks, request.matrix, request.clip_points, request.volume_points)
        inputs = [path for path in (*given, request.calibration) if path is not None]
        if not self.named():
            raise InputError("nothing to write: give --out, --transforms, --markups, --picture or --scene")
        check_outputs(self.named(), ENDINGS, inputs)
        for name in ("out", "markups"):
            if getattr(self, name) and self.tracks is None:
                raise InputError(f"--{name}: writes points; give --tracks")
        if self.picture and self.volume is None:
            raise InputError("--picture: draws the volume at the clip's plane; give --volume")
        if self.picture:
            from UltrasoundMotionLib.pictures import require_plot_packages

            require_plot_packages("the placement picture")
        if self.scene:
            import UltrasoundMotionLib.mrml  # noqa: F401  says what is missing


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the verb."""
    parser.description = DESCRIPTION
    for kind in (PlaceFiles, PlaceRequest):
        add_arguments(parser, kind)
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Places the clip, writes the files and prints a summary."""
    files = from_arguments(PlaceFiles, arguments)
    request = from_arguments(PlaceRequest, arguments)
    files.check(request)

    from UltrasoundMotionLib.exchange.labels import read_labels
    from UltrasoundMotionLib.exchange.labels.labels import ClipReference, frame_names_of
    from UltrasoundMotionLib.images import read_sequence, read_volume
    from UltrasoundMotionLib.placement import place_clip

    sequence = read_sequence(files.input, spacing_mm=files.spacing_mm)
    volume = None if files.volume is None else read_volume(files.volume)
    tracks, notes = None, [*sequence.notes]
    if files.tracks is not None:
        clip = ClipReference(sequence, files.input, frame_names_of(files.input, sequence))
        labels = read_labels(files.tracks, clip=clip)
        tracks = labels.tracks
        notes += labels.notes
    placement = place_clip(sequence, request, volume)
    print_notes([*notes, *placement.notes], quiet=arguments.quiet)
    later = _write(files, sequence, placement, volume, tracks, quiet=arguments.quiet)
    print_notes(later, quiet=arguments.quiet)
    if not arguments.quiet:
        count, width = int(placement.placed.sum()), "{:.4g} x {:.4g}".format(*placement.pixel_mm)
        how = "each at its own place" if placement.moving else "all at one place"
        print(f"Placed {count} of {len(sequence)} frames by {placement.method}, {how}; a pixel is {width} mm.")
        print("\n".join(["Wrote:", *(f"  {name:<10}  {path}" for name, path in files.named())]))
    return 0


def _write(
    files: PlaceFiles,
    sequence: ImageSequence,
    placement: Placement,
    volume: Volume | None,
    tracks: PointTracks | None,
    *,
    quiet: bool,
) -> list[str]:
    from UltrasoundMotionLib.placement import write_placed_points
    from UltrasoundMotionLib.placement.transform_sequence import write_transforms

    notes: list[str] = []
    frame = _frame(files, placement, tracks)
    if files.transforms:
        write_transforms(files.transforms, sequence, placement)
    if files.out and tracks is not None:
        left_out = write_placed_points(files.out, tracks, placement)
        if left_out:
            notes.append(f"{left_out} positions are left out: their frames have no place")
    if files.markups and tracks is not None:
        _write_markups(files.markups, placement, tracks, frame)
    if files.picture and volume is not None:
        from UltrasoundMotionLib.pictures.placement_picture import write_placement_picture

        write_placement_picture(files.picture, sequence, placement, volume, frame, tracks=tracks)
    if files.scene:
        from UltrasoundMotionLib.mrml.placement_scene import write_placement_scene

        with TerminalProgress("scene", quiet=quiet) as progress:
            notes += write_placement_scene(
                files.scene, sequence, placement, volume=volume, tracks=tracks, progress=progress
            )
    return notes


def _frame(files: PlaceFiles, placement: Placement, tracks: PointTracks | None) -> int:
    if files.frame is not None:
        if files.frame >= len(placement.placed):
            raise InputError(
                f"--frame: frame {files.frame} does not exist; there are {len(placement.placed)} "
                f"(0 to {len(placement.placed) - 1})"
            )
        if not placement.placed[files.frame] and (files.markups or files.picture):
            raise InputError(f"--frame: frame {files.frame} has no place")
        return files.frame
    if tracks is not None and placement.placed[tracks.query_frame]:
        return tracks.query_frame
    return int(np.argmax(placement.placed))


def _write_markups(path: Path, placement: Placement, tracks: PointTracks, frame: int) -> None:
    from UltrasoundMotionLib.exchange.labels.formats.markups import markups_document
    from UltrasoundMotionLib.json_output import write_json
    from UltrasoundMotionLib.placement.placement import MIRROR

    points = placement.points_ras(tracks.positions_px)[frame] @ MIRROR[:3, :3]
    there = np.isfinite(points).all(axis=1)
    if not there.any():
        raise InputError(f"{path}: no point on frame {frame}")
    labels = [label for label, known in zip(tracks.labels, there, strict=True) if known]
    write_json(path, markups_document(labels, points[there].tolist()))
