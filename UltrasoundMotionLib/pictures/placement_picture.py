"""A figure of a frame in a volume: the volume cut at the frame's plane, the frame, and both."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.pictures.frame_overlay import BACKGROUND
from UltrasoundMotionLib.pictures.picture_check import check_picture
from UltrasoundMotionLib.pictures.plot_packages import plain_text, require_plot_packages
from UltrasoundMotionLib.placement.placement import MIRROR, Placement
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

_MARGIN = 0.3
_SAMPLES = 420
_PERCENTILES = (0.5, 99.5)
_OPACITY = 0.75
_OPAQUE_FROM = 60.0
"""Grey level from which a frame hides the volume as much as anywhere; darker pixels let more of it through."""
_PANEL_INCH, _TITLE_INCH = 4.4, 0.36
_POINTS = "#5ad1ff"


def cut_at_frame(volume: Volume, pixel_to_ras: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the volume at pixels of a placed frame, linearly interpolated: (len(y), len(x)) float32, NaN outside.

    Args:
        pixel_to_ras: (4, 4) of the frame.
        x, y: columns and rows in pixels, which may lie beside the frame.
    """
    from scipy.ndimage import map_coordinates

    rows, columns = np.meshgrid(y, x, indexing="ij")
    to_index = np.linalg.inv(MIRROR @ volume.index_to_lps_mm) @ pixel_to_ras
    index = np.stack([columns, rows], axis=-1) @ to_index[:3, :2].T + to_index[:3, 3]
    order = np.moveaxis(index[..., ::-1], -1, 0)  # (z, y, x), as the array has them
    return map_coordinates(np.asarray(volume.array, np.float32), order, order=1, mode="constant", cval=np.nan)


@plain_text
def write_placement_picture(
    path: str | Path,
    sequence: ImageSequence,
    placement: Placement,
    volume: Volume,
    frame: int,
    *,
    tracks: PointTracks | None = None,
) -> None:
    """Writes a PNG: the volume cut at a frame's plane with the frame's outline, the frame, and the frame over the cut.

    Args:
        tracks: points to draw where they are visible.

    Raises:
        InputError: the frame does not exist or has no place.
        MissingPackageError: the extra `plot` is not installed.
        OutputError: the file cannot be written.
    """
    require_plot_packages("the placement picture")
    from matplotlib.figure import Figure

    if not 0 <= frame < len(sequence):
        raise InputError(f"frame {frame} does not exist; there are {len(sequence)} (0 to {len(sequence) - 1})")
    if not placement.placed[frame]:
        raise InputError(f"frame {frame} has no place in the volume, so it cannot be drawn there")
    width, height = sequence.frame_size
    matrix = placement.pixel_to_ras[frame]
    pixel = np.linalg.norm(matrix[:3, :2], axis=0)
    margin = _MARGIN * max(width * pixel[0], height * pixel[1]) / pixel
    edges = (-0.5 - margin[0], width - 0.5 + margin[0], height - 0.5 + margin[1], -0.5 - margin[1])
    cut = cut_at_frame(
        volume, matrix, np.linspace(edges[0], edges[1], _SAMPLES), np.linspace(edges[3], edges[2], _SAMPLES)
    )
    inside = cut[np.isfinite(cut)]
    low, high = np.percentile(inside, _PERCENTILES) if inside.size else (0.0, 1.0)
    own = (-0.5, width - 0.5, height - 0.5, -0.5)
    size_mm = (edges[1] - edges[0]) * pixel[0], (edges[2] - edges[3]) * pixel[1]
    panel_height = _PANEL_INCH * float(np.clip(size_mm[1] / size_mm[0], 0.4, 2.0))
    figure = Figure(figsize=(3 * _PANEL_INCH, panel_height + _TITLE_INCH), facecolor=BACKGROUND)
    names = (f"{volume.name} at the frame's plane", f"{sequence.name}, frame {frame}", "both")
    for number, name in enumerate(names):
        axes = figure.add_axes((number / 3 + 0.003, 0.0, 1 / 3 - 0.006, panel_height / (panel_height + _TITLE_INCH)))
        axes.set_axis_off()
        axes.set_title(name, color="white", fontsize=10)
        image = sequence.frame(frame)
        if number != 1:
            axes.imshow(cut, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), extent=edges)
        if number:
            alpha = None if number == 1 else _OPACITY * np.clip(image / _OPAQUE_FROM, 0.0, 1.0)
            axes.imshow(image, cmap="gray" if number == 1 else "hot", extent=own, alpha=alpha)
        else:
            axes.plot(
                [own[0], own[1], own[1], own[0], own[0]], [own[3], own[3], own[2], own[2], own[3]], color="orange"
            )
        if tracks is not None:
            seen = tracks.visible[frame] & np.isfinite(tracks.positions_px[frame]).all(axis=1)
            axes.plot(*tracks.positions_px[frame, seen].T, "o", color=_POINTS, markersize=4)
        axes.set_xlim(edges[0], edges[1])
        axes.set_ylim(edges[2], edges[3])
        axes.set_aspect(pixel[1] / pixel[0])
    with atomic_output(path, read_back=check_picture) as temporary:
        figure.savefig(temporary, format="png", dpi=110, facecolor=BACKGROUND)
