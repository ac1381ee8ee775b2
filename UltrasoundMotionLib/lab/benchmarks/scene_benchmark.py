"""How long a scene of 300 frames of 512 x 512 with 20 landmarks and a curve takes to build and to save, beside the
goals.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from UltrasoundMotionLib.lab.benchmarks.target import Target
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.text_table import format_number, text_table

FRAME_COUNT = 300
FRAME_SIZE = (512, 512)
LANDMARK_COUNT = 20
BUILD_GOAL_S = 3.0
SAVE_GOAL_S = 10.0


@dataclass(frozen=True)
class SceneBenchmark:
    """Seconds to build, to save and to read back; milliseconds to step to another frame; size of the .mrb file in MB
    (1e6 bytes).
    """

    build_s: float
    save_s: float
    read_s: float
    step_ms: float
    file_mb: float

    def targets(self) -> tuple[Target, ...]:
        """Built in under 3 s, saved in under 10 s."""
        scene = f"scene of {FRAME_COUNT} frames, {FRAME_SIZE[0]} x {FRAME_SIZE[1]}, {LANDMARK_COUNT} landmarks, a curve"
        return (
            Target(
                f"{scene}: built", f"under {BUILD_GOAL_S:g} s", f"{self.build_s:.2f} s", self.build_s < BUILD_GOAL_S
            ),
            Target(f"{scene}: saved", f"under {SAVE_GOAL_S:g} s", f"{self.save_s:.2f} s", self.save_s < SAVE_GOAL_S),
        )

    def table(self) -> str:
        """One line."""
        values = [self.build_s, self.save_s, self.read_s, self.step_ms, self.file_mb]
        return text_table(
            ["", "build s", "save s", "read s", "step ms", "file MB"],
            [["scene", *(format_number(value, 2) for value in values)]],
        )

    def as_dict(self) -> dict:
        """For JSON."""
        return {**asdict(self), "targets": [vars(target) for target in self.targets()]}


def benchmark_scene(*, progress: Progress = no_progress) -> SceneBenchmark:
    """Times it once, on noise, which compresses worse than any clip.

    Raises:
        MissingPackageError: slicer-core is not installed.
    """
    from UltrasoundMotionLib.mrml.scene_timing import measure_scene

    timing = measure_scene(FRAME_COUNT, FRAME_SIZE, LANDMARK_COUNT, progress=progress)
    return SceneBenchmark(timing.build_s, timing.save_s, timing.read_s, timing.step_ms, timing.file_mb)
