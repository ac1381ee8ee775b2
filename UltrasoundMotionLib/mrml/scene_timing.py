"""Timing of building, saving, reading and playing a scene."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
from UltrasoundMotionLib.mrml.scene_files import quiet_vtk, read_scene, write_scene
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
    sequence, tracks = _noise_clip(frame_count, frame_size, landmark_count, seed)
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


def _noise_clip(
    frame_count: int, frame_size: tuple[int, int], landmark_count: int, seed: int
) -> tuple[ImageSequence, PointTracks]:
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
