"""Options of a training on users' own trajectories, for every recipe of a point tracker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.errors import OptionError
from UltrasoundMotionLib.lab.training.recipe import RunContext, TrainingOptions
from UltrasoundMotionLib.settings import option

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.training.data.trajectory_clips import TrajectoryClips


@dataclass(frozen=True, kw_only=True)
class TrajectoryOptions(TrainingOptions):
    """The options of where real clips with trajectories are, and how many of their patients are held out.

    Attributes:
        trajectories: folders with clips, trajectories and `cases.csv`, see `read_trajectory_set`.
        held_out_share: part of each folder's patients on whom the training validates and from whom it never learns.
    """

    trajectories: tuple[Path, ...] = option(
        (), metavar="FOLDER", help="folders with cases.csv, clips and their trajectories, to learn from"
    )
    held_out_share: float = option(
        0.2, above=0, metavar="P", help="part of their patients that is held out for validation (default 0.2)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.held_out_share >= 1:
            raise OptionError("held_out_share", f"expected a number between 0 and 1, got {self.held_out_share:g}")

    def read_trajectories(self, context: RunContext) -> TrajectoryClips | None:
        """Reads the clips; None where no folder is given.

        Raises:
            InputError: see `read_trajectory_clips`.
        """
        from UltrasoundMotionLib.lab.training.data.trajectory_clips import read_trajectory_clips

        if not self.trajectories:
            return None
        with context.progress("reading", "clips") as progress:
            return read_trajectory_clips(self.trajectories, self.held_out_share, self.seed, progress=progress)
