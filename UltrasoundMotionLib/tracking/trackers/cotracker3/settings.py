"""Settings of the trackers `cotracker3` and `cotracker3-online`."""

from __future__ import annotations

from dataclasses import dataclass

from UltrasoundMotionLib.errors import InputError


@dataclass(frozen=True)
class CoTracker3Settings:
    """Settings of the run.

    Attributes:
        iterations: of the refinement; the official predictor takes 6.
        support_grid: points along each side of a grid over the frame that are followed too, for the sake of the others,
            and not returned; 0 for none. The official predictor takes 6 for whole clips and none online.
        memory_mb: memory in megabytes that a whole clip may take beside the network; a longer clip is seen in windows.
    """

    iterations: int = 6
    support_grid: int = 6
    memory_mb: int = 2000

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise InputError(f"iterations: expected a number from 1 on, got {self.iterations}")
        if self.support_grid < 0 or self.support_grid == 1:
            raise InputError(f"support_grid: expected 0 or a number from 2 on, got {self.support_grid}")
        if self.memory_mb < 1:
            raise InputError(f"memory_mb: expected a number from 1 on, got {self.memory_mb}")
