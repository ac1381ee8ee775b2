"""Strips of frames with their points."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.pictures.frame_overlay import BACKGROUND, FrameOverlay
from UltrasoundMotionLib.pictures.picture_check import check_picture
from UltrasoundMotionLib.pictures.plot_packages import plain_text, require_plot_packages
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

_PANEL_HEIGHT_INCH, _CAPTION_INCH, _TITLE_INCH, _GAP_INCH = 3.6, 0.3, 0.4, 0.06


def strip_frames(tracks: PointTracks, count: int = 6) -> list[int]:
    """Returns the query frame, followed by frames evenly spread over the tracked ones."""
    reached = np.flatnonzero(tracks.reached)
    spread = reached[np.unique(np.linspace(0, len(reached) - 1, min(count, len(reached))).round().astype(int))].tolist()
    if tracks.query_frame in spread:
        spread.remove(tracks.query_frame)
    elif len(spread) == count:  # the query frame replaces the frame nearest to it
        spread.remove(min(spread, key=lambda frame: abs(frame - tracks.query_frame)))
    return [tracks.query_frame, *spread]


@plain_text
def write_overlay_strip(
    path: str | Path,
    sequence: ImageSequence,
    tracks: PointTracks,
    *,
    frames: list[int] | None = None,
    connect: bool = False,
) -> None:
    """Writes a PNG of the query frame and of frames through the sequence, each with its points.

    Points have the colours of their labels; lost points are hollow.

    Args:
        path: the file.
        sequence: the frames.
        tracks: the points.
        frames: the frames to show; `strip_frames(tracks)` if None.
        connect: draw a thin line through the points in the order of their labels.

    Raises:
        MissingPackageError: the extra `plot` is not installed.
        OutputError: the file cannot be written.
    """
    require_plot_packages("the overlay picture")
    from matplotlib.figure import Figure

    overlay = FrameOverlay(sequence, tracks, connect=connect)
    frames = frames or strip_frames(tracks)
    columns = len(frames) if overlay.aspect < 1 else -(-len(frames) // 2)
    rows = -(-len(frames) // columns)
    panel_width, cell_height = overlay.aspect * _PANEL_HEIGHT_INCH, _PANEL_HEIGHT_INCH + _CAPTION_INCH
    width = columns * (panel_width + _GAP_INCH) + _GAP_INCH
    height = _TITLE_INCH + rows * cell_height + _GAP_INCH
    figure = Figure(figsize=(width, height), facecolor=BACKGROUND)
    lost = sum(int(np.sum(~tracks.visible[frame])) for frame in frames)
    title = f"{sequence.name}: {len(tracks.labels)} points" + (f" tracked by {tracks.model}" if tracks.model else "")
    title += " (rings: lost points)" if lost else ""
    left, middle = 2 * _GAP_INCH / width, 1 - _TITLE_INCH / 2 / height
    figure.text(left, middle, title, color="white", fontsize=13, ha="left", va="center")
    for number, frame in enumerate(frames):
        row, column = divmod(number, columns)
        left, bottom = _GAP_INCH + column * (panel_width + _GAP_INCH), height - _TITLE_INCH - (row + 1) * cell_height
        axes = figure.add_axes((left / width, bottom / height, panel_width / width, _PANEL_HEIGHT_INCH / height))
        overlay.draw(axes, frame, marker_size=5.5)
        axes.set_title(overlay.caption(frame), fontsize=11, color=overlay.caption_color(frame), pad=4)
    with atomic_output(path, read_back=check_picture) as temporary:
        figure.savefig(temporary, format="png", dpi=130, facecolor=BACKGROUND)
