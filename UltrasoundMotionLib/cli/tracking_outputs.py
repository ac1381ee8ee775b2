"""The files that a tracking run writes: checked before the run, written after it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.cli.output_files import check_outputs, named_paths
from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.settings import check_options, option
from UltrasoundMotionLib.tracking.files.tracks_csv import write_tracks_csv
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

if TYPE_CHECKING:
    from UltrasoundMotionLib.strain.strain_result import StrainResult

ENDINGS = {
    "tracks": (".csv",),
    "scene": (".mrb",),
    "overlay": (".png",),
    "animation": (".gif", ".mp4"),
    "plot": (".png",),
    "graphics": (".png",),
}

_LARGE_SCENE_BYTES = 500_000_000


@dataclass(frozen=True)
class TrackingOutputs:
    """Files to write the results to; None is not written.

    Attributes:
        tracks: table (.csv).
        scene: 3D Slicer scene (.mrb); needs the extra `slicer`.
        scene_every: keep each K-th frame in the scene.
        overlay: strip of frames with their points (.png); needs the extra `plot`.
        animation: the clip with its points (.gif, or .mp4 with the extra `video`); needs `plot`.
        plot: displacement over time (.png); needs `plot`.
        graphics: the query frame with what was taken for graphics or colour flow in magenta (.png).
        connect: join the points by a line in the order of their labels, in the pictures and as a curve in the scene.
    """

    tracks: Path | None = option(
        None,
        flag="--out",
        metavar="TRACKS.csv",
        required=True,
        help="a line for each point and frame: frame,time_s,label,x,y,confidence,visible,tracker",
    )
    scene: Path | None = option(
        None, metavar="S.mrb", help="also write a 3D Slicer scene that plays image and points (extra slicer)"
    )
    scene_every: int = option(
        1, minimum=1, unit="frames", help="keep each K-th frame in the scene only, for a long clip", metavar="K"
    )
    overlay: Path | None = option(
        None, metavar="O.png", help="also write a strip of frames with their points (extra plot)"
    )
    animation: Path | None = option(
        None, metavar="A.gif|A.mp4", help="also write the clip with its points (extra plot; .mp4: video)"
    )
    plot: Path | None = option(None, metavar="D.png", help="also write the displacement over time (extra plot)")
    graphics: Path | None = option(
        None,
        metavar="G.png",
        help="also write the query frame with what was taken for graphics and filled, in magenta",
    )
    connect: bool = option(
        False, help="join the points in the order given, in pictures and as a curve in the scene (a wall)"
    )

    def __post_init__(self) -> None:
        check_options(self)

    def named(self) -> Iterator[tuple[str, Path]]:
        """Returns (name, path) of every file to write."""
        return named_paths(self, ENDINGS)

    def check(self, inputs: tuple[Path, ...] = ()) -> None:
        """Finds out before the long work whether everything can be written.

        Raises:
            OutputError: a wrong ending, a folder that is missing or cannot be written to, one name for two files or for
                an input.
            MissingPackageError: a package that an output needs is not installed.
        """
        check_outputs(self.named(), ENDINGS, inputs)
        if self.overlay or self.plot:
            from UltrasoundMotionLib.pictures import require_plot_packages

            require_plot_packages()
        if self.animation:
            from UltrasoundMotionLib.pictures import check_animation_format

            check_animation_format(self.animation)
        if self.scene:
            import UltrasoundMotionLib.mrml  # noqa: F401  says what is missing

    def scene_notes(self, sequence: ImageSequence) -> tuple[str, ...]:
        """Returns a note if the scene will be so large that it is slow to write and to open."""
        frames = -(-len(sequence) // self.scene_every)
        size = frames * math.prod(sequence.frames.shape[1:]) * np.dtype(sequence.frames.dtype).itemsize
        if not self.scene or size < _LARGE_SCENE_BYTES:
            return ()
        return (
            f"the scene holds {frames} frames, {size / 1e9:.1f} GB in memory: --scene-every K keeps each K-th only",
        )

    def write(
        self, sequence: ImageSequence, tracks: PointTracks, *, strain: StrainResult | None = None, quiet: bool = False
    ) -> None:
        """Writes every file, the table first: it is the result, and the others can be made from it again.

        Args:
            strain: of the wall that was tracked, for the scene.
        """
        if self.tracks:
            write_tracks_csv(self.tracks, tracks)
        if self.plot:
            from UltrasoundMotionLib.pictures import write_displacement_plot

            write_displacement_plot(self.plot, tracks)
        if self.overlay:
            from UltrasoundMotionLib.pictures import write_overlay_strip

            write_overlay_strip(self.overlay, sequence, tracks, connect=self.connect)
        if self.graphics:
            from UltrasoundMotionLib.images.graphics_mask import graphics_picture
            from UltrasoundMotionLib.images.writers.image_folder import write_picture

            write_picture(self.graphics, graphics_picture(sequence, tracks.query_frame))
        if self.animation:
            from UltrasoundMotionLib.pictures import write_overlay_animation

            with TerminalProgress("animation", quiet=quiet) as progress:
                write_overlay_animation(self.animation, sequence, tracks, connect=self.connect, progress=progress)
        if self.scene:
            from UltrasoundMotionLib.mrml.tracking_scene import thinned, write_tracking_scene

            if self.scene_every > 1:
                sequence, tracks = thinned(sequence, tracks, self.scene_every)

            with TerminalProgress("scene", quiet=quiet) as progress:
                curve_labels = tracks.labels if self.connect else None
                write_tracking_scene(
                    self.scene, sequence, tracks, curve_labels=curve_labels, strain=strain, progress=progress
                )
