"""Options of where clips come from, for every recipe of a point tracker: phantoms, real frames, own trajectories."""

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
class ClipOptions(TrainingOptions):
    """The options of a training on clips.

    Attributes:
        trajectories: folders with clips, trajectories and `cases.csv`, see `read_trajectory_set`.
        held_out_share: part of each folder's patients on whom the training validates and from whom it never learns.
        data: real sequences, or folders of images, whose frames are warped.
        every: take every Nth frame of those.
        clips: folder of phantoms' clips; None: `clips` in the folder for the results.
        phantoms: number of phantoms to learn from.
        motion: "impartial", or "baseline" without augmentation of motion.
        warped_share: fraction of the clips that are warped real frames.
    """

    trajectories: tuple[Path, ...] = option(
        (), metavar="FOLDER", help="folders with cases.csv, clips and their trajectories, to learn from"
    )
    held_out_share: float = option(
        0.2, above=0, metavar="P", help="part of their patients that is held out for validation (default 0.2)"
    )
    data: tuple[Path, ...] = option(
        (), metavar="PATH", help="real sequences, or folders of images, whose frames are warped"
    )
    every: int = option(5, minimum=1, metavar="N", help="take every Nth frame of them (default 5)")
    clips: Path | None = option(
        None,
        metavar="DIR",
        help="folder that keeps phantoms' clips; those missing are simulated first (default: --out/clips)",
    )
    phantoms: int = option(
        200, minimum=0, metavar="N", always_shown=True, help="number of phantoms to learn from (default 200)"
    )
    motion: str = option(
        "impartial",
        choices=("impartial", "baseline"),
        help="baseline: clips move as they are (default impartial)",
    )
    warped_share: float = option(
        0.2, minimum=0, metavar="P", help="fraction of the clips that are warped real frames (default 0.2)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.held_out_share >= 1:
            raise OptionError("held_out_share", f"expected a number between 0 and 1, got {self.held_out_share:g}")
        if self.warped_share > 1:
            raise OptionError("warped_share", f"expected a number between 0 and 1, got {self.warped_share:g}")

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
