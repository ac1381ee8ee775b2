"""Timing of building, saving, reading and playing a scene."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
from UltrasoundMotionLib.mrml.markups_items import set_locked
from UltrasoundMotionLib.mrml.playback import QuietPlayback
from UltrasoundMotionLib.mrml.scene_files import quiet_vtk, read_scene, write_scene
from UltrasoundMotionLib.mrml.slice_rendering import SliceView
from UltrasoundMotionLib.mrml.tracking_scene import build_tracking_scene
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.point_tracks import PointTracks


@dataclass(frozen=True)
class SceneTiming:
    """Wall-clock times of one measurement.

    Attributes:
        build_s: seconds to add clip, landmarks, curve, paths, tables and plot to a scene.
        save_s: seconds to write it as .mrb, compressed.
        read_s: seconds to read it into a new scene.
        step_ms: mean milliseconds to step to another frame, all markups included, without drawing.
        file_mb: size of the file in units of 1e6 bytes.
    """

    build_s: float
    save_s: float
    read_s: float
    step_ms: float
    file_mb: float


def measure_scene(
    frame_count: int = 300,
    frame_size: tuple[int, int] = (512, 512),
    landmark_count: int = 20,
    *,
    seed: int = 0,
    progress: Progress = no_progress,
) -> SceneTiming:
    """Builds, saves, reads and plays a scene of noise, half of whose landmarks are joined by a curve.

    Noise compresses worse than any clip.

    Args:
        frame_size: (W, H).
    """
    sequence, tracks = noise_clip(frame_count, frame_size, landmark_count, seed)
    curve_labels = tracks.labels[: max(2, landmark_count // 2)]
    steps = ("building", "saving", "playing", "reading")
    with tempfile.TemporaryDirectory() as folder, quiet_vtk():
        path = Path(folder) / "scene.mrb"
        with HeadlessScene() as scene:
            progress(0, len(steps), steps[0])
            start = time.perf_counter()
            image, _ = build_tracking_scene(scene, sequence, tracks, curve_labels=curve_labels)
            built = time.perf_counter()
            progress(1, len(steps), steps[1])
            before_save = time.perf_counter()
            write_scene(scene, path)
            saved = time.perf_counter()
            progress(2, len(steps), steps[2])
            before_play = time.perf_counter()
            for frame in range(frame_count):
                image.browser.SetSelectedItemNumber(frame)
            played = time.perf_counter()
        with HeadlessScene() as scene:
            progress(3, len(steps), steps[3])
            before_read = time.perf_counter()
            read_scene(scene, path)
            read = time.perf_counter()
        size = path.stat().st_size
    return SceneTiming(
        built - start, saved - before_save, read - before_read, (played - before_play) / frame_count * 1e3, size / 1e6
    )


def noise_clip(
    frame_count: int, frame_size: tuple[int, int], landmark_count: int, seed: int
) -> tuple[ImageSequence, PointTracks]:
    """Returns a clip of noise, and points that sway in it."""
    random = np.random.default_rng(seed)
    width, height = frame_size
    frames = random.integers(0, 256, (frame_count, height, width), dtype=np.uint8)
    times = np.arange(frame_count) / 50.0
    rest = random.uniform(0.2, 0.8, (landmark_count, 2)) * (width, height)
    positions = rest + 10 * np.sin(2 * np.pi * times)[:, None, None]
    visible = random.random((frame_count, landmark_count)) > 0.05
    visible[0] = True
    tracks = PointTracks(
        positions_px=positions,
        confidence=random.random(visible.shape),
        visible=visible,
        labels=tuple(f"P{number + 1}" for number in range(landmark_count)),
        query_frame=0,
        times_s=times,
        spacing_mm=(0.3, 0.3),
        model="noise",
    )
    return ImageSequence(frames, spacing_mm=(0.3, 0.3), times_s=times, name="noise"), tracks


@dataclass(frozen=True)
class PlaybackTiming:
    """Frames per second of processor time that a slice view draws.

    Attributes:
        image: the image alone.
        quiet: with landmarks, curve and paths, as they are while the clip plays: locked, without labels.
        as_shown: the same with labels, and points unlocked for corrections.
    """

    image: float
    quiet: float
    as_shown: float


def measure_playback(
    view_size: tuple[int, int],
    frame_count: int = 40,
    frame_size: tuple[int, int] = (512, 512),
    landmark_count: int = 20,
    *,
    seed: int = 0,
) -> PlaybackTiming:
    """Steps through a clip of noise and draws each frame in memory.

    Args:
        view_size: width and height of the slice view in pixels.
        frame_size: (W, H).

    Raises:
        OutputError: this machine has no OpenGL.
    """
    sequence, tracks = noise_clip(frame_count, frame_size, landmark_count, seed)
    curve_labels = tracks.labels[: max(2, landmark_count // 2)]
    with HeadlessScene() as scene:
        image, nodes = build_tracking_scene(scene, sequence, tracks, curve_labels=curve_labels)
        markups = [one for one in (nodes.landmarks, nodes.curve) if one is not None]
        with SliceView(scene, image.proxy, view_size) as view:

            def rate() -> float:
                """Draws all frames once; returns frames per second of processor time."""
                view.draw()
                start = time.process_time()
                for frame in range(frame_count):
                    image.browser.SetSelectedItemNumber(frame)
                    view.draw()
                return frame_count / (time.process_time() - start)

            for one in markups:
                set_locked(one, False)
            as_shown = rate()
            playback = QuietPlayback()
            image.browser.SetPlaybackActive(True)
            playback.update(image.browser)
            quiet = rate()
            for node in (*(one.proxy for one in markups), *nodes.paths):
                node.SetDisplayVisibility(False)
            alone = rate()
            playback.restore()
    return PlaybackTiming(alone, quiet, as_shown)
