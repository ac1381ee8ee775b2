"""Animations of a sequence with its points, as GIF or MP4."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import MissingPackageError, OutputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.pictures.frame_overlay import BACKGROUND, FrameOverlay
from UltrasoundMotionLib.pictures.picture_check import check_picture
from UltrasoundMotionLib.pictures.plot_packages import plain_text, require_plot_packages
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS = (".gif", ".mp4")
_LONGER_SIDE_PX = 560
_MAXIMUM_FRAMES = 200
_SHORTEST_FRAME_S = 0.02  # browsers slow down a GIF with shorter frames
_UNTIMED_FRAME_S = 0.05
_GREY_LEVELS = 128


def check_animation_format(path: str | Path) -> None:
    """Checks that `write_overlay_animation` can write a format, before long work.

    Raises:
        OutputError: neither .gif nor .mp4.
        MissingPackageError: the extra `plot`, or `video` for .mp4, is not installed.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise OutputError(f"{path}: an animation ends in .gif or .mp4")
    require_plot_packages("the animation")
    if suffix == ".mp4" and find_spec("av") is None:
        raise MissingPackageError(
            f"{path}: writing .mp4 needs PyAV: pip install av; or choose a name that ends in .gif"
        )


@plain_text
def write_overlay_animation(
    path: str | Path,
    sequence: ImageSequence,
    tracks: PointTracks,
    *,
    connect: bool = False,
    progress: Progress = no_progress,
) -> None:
    """Writes the tracked frames with their points as .gif or .mp4, in real time if the frame times are known.

    Otherwise at 20 frames per second. Above 200 frames, or 50 per second, frames are skipped without a change of speed.

    Raises:
        MissingPackageError, OutputError: as `check_animation_format`; the file cannot be written.
    """
    check_animation_format(path)
    frames, duration_s = animation_frames(tracks)
    overlay = FrameOverlay(sequence, tracks, connect=connect)
    with atomic_output(path, read_back=check_picture) as temporary:
        pictures = _render(overlay, frames, progress)
        if Path(path).suffix.lower() == ".gif":
            _write_gif(temporary, pictures, duration_s, overlay.colors)
        else:
            _write_mp4(temporary, pictures, duration_s, _picture_size(overlay))


def animation_frames(tracks: PointTracks) -> tuple[list[int], np.ndarray]:
    """Returns the frames to show and their durations in seconds."""
    reached = np.flatnonzero(tracks.reached)
    times = (
        np.arange(len(reached)) * _UNTIMED_FRAME_S if tracks.times_s is None else np.asarray(tracks.times_s)[reached]
    )
    mean_step = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else _UNTIMED_FRAME_S
    stride = max(-(-len(reached) // _MAXIMUM_FRAMES), int(np.ceil(_SHORTEST_FRAME_S / mean_step - 1e-6)))
    starts = times[::stride]
    return reached[::stride].tolist(), np.diff(starts, append=starts[-1] + stride * mean_step)


def _picture_size(overlay: FrameOverlay) -> tuple[int, int]:
    """Returns width and height in pixels, both even, as video requires."""
    longer = max(overlay.aspect, 1.0)
    return 2 * round(_LONGER_SIDE_PX * overlay.aspect / longer / 2), 2 * round(_LONGER_SIDE_PX / longer / 2)


def _render(overlay: FrameOverlay, frames: list[int], progress: Progress) -> Iterator[np.ndarray]:
    """Yields the images, (h, w, 3) uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = _picture_size(overlay)
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor=BACKGROUND)
    canvas = FigureCanvasAgg(figure)
    for done, frame in enumerate(frames, start=1):
        figure.clear()
        axes = figure.add_axes((0, 0, 1, 1))
        overlay.draw(axes, frame, marker_size=8)
        figure.text(0.015, 0.985, overlay.caption(frame), color=overlay.caption_color(frame), fontsize=11, va="top")
        canvas.draw()
        yield np.array(canvas.buffer_rgba())[..., :3]
        progress(done, len(frames), f"frame {frame}")


def _write_gif(path: Path, pictures: Iterator[np.ndarray], duration_s: np.ndarray, colors: np.ndarray) -> None:
    from PIL import Image

    palette = _shared_palette(colors)
    # a GIF has hundredths of a second; rounding the ends of the frames keeps the mean speed
    ends = np.round(np.cumsum(duration_s) * 100).astype(int)
    durations_ms = (np.maximum(np.diff(ends, prepend=0), 2) * 10).tolist()
    images = (Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures)
    first = next(images)
    first.save(path, format="GIF", save_all=True, append_images=images, duration=durations_ms, loop=0, optimize=False)


def _shared_palette(colors: np.ndarray) -> Image:
    """Returns a palette of greys for the tissue and of the labels' colours, pure and blended with greys.

    It is shared by all frames: with one palette per frame, static tissue would flicker.
    """
    from PIL import Image

    greys = np.repeat(np.linspace(0, 255, _GREY_LEVELS)[:, None], 3, axis=1)
    kept = colors[np.unique(np.linspace(0, len(colors) - 1, min(len(colors), 30)).round().astype(int)), :3] * 255
    blends = [share * kept + (1 - share) * ground for share, ground in ((1.0, 0), (0.6, 20), (0.6, 140), (0.3, 60))]
    query = np.array([[255, 215, 94]])
    entries = np.concatenate([greys, *blends, query]).round().astype(np.uint8)
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.pad(entries, ((0, 256 - len(entries)), (0, 0)), mode="edge").tobytes())
    return palette


def _write_mp4(path: Path, pictures: Iterator[np.ndarray], duration_s: np.ndarray, size: tuple[int, int]) -> None:
    from fractions import Fraction

    import av

    starts = np.round(np.concatenate([[0.0], np.cumsum(duration_s)[:-1]]) * 1000).astype(int)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", rate=max(1, round(1 / float(np.mean(duration_s)))), options={"crf": "18"}
        )
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for start, picture in zip(starts.tolist(), pictures, strict=True):
            image = av.VideoFrame.from_ndarray(picture, format="rgb24")
            image.pts, image.time_base = start, Fraction(1, 1000)
            container.mux(stream.encode(image))
        container.mux(stream.encode())
