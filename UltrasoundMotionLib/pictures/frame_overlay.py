"""Drawing of a frame with its points, for the strip and the animation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.pictures.label_colors import label_colors
from UltrasoundMotionLib.pictures.scale_bar import draw_scale_bar
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BACKGROUND = "#0d0d10"
_QUERY_COLOR = "#ffd75e"
_GAMMA = 0.7  # brightens mid greys for display only


class FrameOverlay:
    """Draws any frame of a sequence with its points on matplotlib axes.

    A point is a disc in the colour of its label, a lost point is a ring, and a fading tail shows the last positions.
    All frames have the same crop around the points and the same grey window, that of the query frame.

    Args:
        sequence: the frames.
        tracks: the points.
        connect: draw a thin line through the points in the order of their labels (a wall, a contour).
        tail_frames: length of the tail.
    """

    def __init__(
        self, sequence: ImageSequence, tracks: PointTracks, *, connect: bool = False, tail_frames: int = 8
    ) -> None:
        self.sequence = sequence
        self.tracks = tracks
        self.connect = connect
        self.tail_frames = tail_frames
        self.colors = label_colors(len(tracks.labels))
        self.left, self.top, self.right, self.bottom = crop_box(tracks.positions_px, sequence.frame_size)
        cropped = self.crop(tracks.query_frame)
        self.black, self.white = (float(value) for value in np.percentile(cropped, (1, 99.7)))
        self.white = max(self.white, self.black + 1e-6)
        spacing = sequence.spacing_mm or (1.0, 1.0)
        self.pixel_aspect = spacing[1] / spacing[0]

    @property
    def aspect(self) -> float:
        """The displayed width of the crop over its height."""
        return (self.right - self.left) / ((self.bottom - self.top) * self.pixel_aspect)

    def crop(self, frame: int) -> np.ndarray:
        """Returns the displayed part of a frame (h, w), float32."""
        return self.sequence.frame(frame)[self.top : self.bottom, self.left : self.right]

    def caption(self, frame: int) -> str:
        """Returns the frame number, the time if known, and "query" for the query frame."""
        times = self.tracks.times_s
        parts = [f"frame {frame}"] + ([] if times is None else [f"{times[frame] - times[0]:.2f} s"])
        return " \u00b7 ".join([*parts, "query"] if frame == self.tracks.query_frame else parts)

    def caption_color(self, frame: int) -> str:
        """Returns yellow for the query frame, white for the others."""
        return _QUERY_COLOR if frame == self.tracks.query_frame else "white"

    def draw_frame(self, axes: Axes, frame: int) -> None:
        """Draws `frame` on empty axes without its points, with a scale bar where the pixel size is known."""
        shown = np.clip((self.crop(frame) - self.black) / (self.white - self.black), 0, 1) ** _GAMMA
        extent = (self.left - 0.5, self.right - 0.5, self.bottom - 0.5, self.top - 0.5)
        axes.set_axis_off()
        axes.imshow(
            shown, cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="bicubic", aspect=self.pixel_aspect
        )
        axes.set_xlim(extent[:2])
        axes.set_ylim(extent[2:])
        if self.sequence.spacing_mm is not None:
            draw_scale_bar(axes, (self.left, self.top, self.right, self.bottom), self.sequence.spacing_mm)

    def draw(self, axes: Axes, frame: int, marker_size: float) -> None:
        """Draws `frame` on empty axes; `marker_size` is the diameter of a point in typographic points."""
        self.draw_frame(axes, frame)
        positions = self.tracks.positions_px[frame]
        visible = self.tracks.visible[frame]
        if self.connect:
            axes.plot(*positions.T, color="white", linewidth=marker_size / 7, alpha=0.45, zorder=2)
        self._draw_tails(axes, frame, marker_size / 4)
        line = marker_size / 6
        x, y = positions.T
        axes.scatter(
            x[visible],
            y[visible],
            s=marker_size**2,
            c=self.colors[visible],
            edgecolors="black",
            linewidths=line / 2,
            zorder=4,
        )
        axes.scatter(
            x[~visible],
            y[~visible],
            s=marker_size**2,
            facecolors="none",
            edgecolors=self.colors[~visible],
            linewidths=line,
            zorder=4,
        )

    def _draw_tails(self, axes: Axes, frame: int, line_width: float) -> None:
        from matplotlib.collections import LineCollection

        steps = np.arange(max(frame - self.tail_frames, 0), frame + 1)
        path = self.tracks.positions_px[steps]
        if len(steps) < 2:
            return
        segments = np.stack([path[:-1], path[1:]], axis=2)
        fade = np.linspace(0.1, 0.9, len(steps) - 1)
        colors = np.repeat(self.colors[None], len(fade), axis=0)
        colors[..., 3] = fade[:, None]
        visible = self.tracks.visible[steps[:-1]] & self.tracks.visible[steps[1:]]
        axes.add_collection(
            LineCollection(list(segments[visible]), colors=colors[visible], linewidths=line_width, zorder=3),
            autolim=False,
        )


def crop_box(positions_px: np.ndarray, frame_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Returns left, top, right and bottom (the last two exclusive) of a crop around all positions.

    The margin is a quarter of the longer side. Positions outside the image do not widen it. It is at least a quarter of
    the image in either direction, and not much longer than wide.
    """
    bounds = []
    for axis, size in enumerate(frame_size):
        values = positions_px[..., axis]
        values = np.clip(values[np.isfinite(values)], 0, size - 1)
        bounds.append((values.min(), values.max()) if values.size else (0, size - 1))
    margin = 0.25 * max(high - low for low, high in bounds)
    shortest = 0.7 * 6 * margin  # the longer side is six margins: the positions and a margin on either side
    box = []
    for (low, high), size in zip(bounds, frame_size, strict=True):
        spare = max(margin, (max(size / 4, shortest) - (high - low)) / 2)
        box.append((int(max(np.floor(low - spare), 0)), int(min(np.ceil(high + spare) + 1, size))))
    return box[0][0], box[1][0], box[0][1], box[1][1]
