"""The recipes of landmark networks.

The papers train with SGD for 50 epochs of 53,200 pairs and more; AdamW comes as far in the minutes of one CPU core.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.errors import OptionError
from UltrasoundMotionLib.lab.training.recipe import DEFAULT, Recipe, RunContext, Training, TrainingOptions, TrainingPlan
from UltrasoundMotionLib.lab.training.settings import TrainingSettings
from UltrasoundMotionLib.settings import option

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.training.data.landmark_sources import LandmarkGroup, LandmarkSource
    from UltrasoundMotionLib.lab.training.data.triple_batches import LandmarkBatchSettings
    from UltrasoundMotionLib.lab.training.objectives.landmarks import LandmarkObjective

PUBLISHED = "published"
LANDMARKS = "landmarks"
LANDMARK_SETTINGS = TrainingSettings(
    steps=2500, weight_decay=1e-4, warm_up=0.1, gradient_norm=5.0, save_every=200, validate_every=500
)


@dataclass(frozen=True, kw_only=True)
class LandmarkOptions(TrainingOptions):
    """The options of a landmark network's training.

    Attributes:
        clips: folder of phantoms' clips; None: `clips` in the folder for the results.
        phantoms: number of phantoms to learn from.
        clust: sequence folders in CLUST's layout, or folders of them.
        data: real sequences, or folders of images, whose frames are warped.
        every: take every Nth frame of those.
        variant: one of the recipe's.
        batch: landmarks in a step, a multiple of four.
        leave_out: groups to hold out in turn.
    """

    clips: Path | None = option(
        None,
        metavar="DIR",
        help="folder that keeps phantoms' clips; those missing are simulated first (default: --out/clips)",
    )
    phantoms: int = option(
        200,
        minimum=0,
        metavar="N",
        always_shown=True,
        help="number of phantoms to learn from (default 200; 0: none)",
    )
    clust: tuple[Path, ...] = option((), metavar="DIR", help="sequence folders in CLUST's layout, or folders of them")
    data: tuple[Path, ...] = option(
        (), metavar="PATH", help="real sequences, or folders of images, whose frames are warped"
    )
    every: int = option(5, minimum=1, metavar="N", help="take every Nth frame of them (default 5)")
    variant: str = option(
        DEFAULT,
        metavar="NAME",
        help="of the network or of its losses; lsdm has: published, motion (alone, to start the others from); "
        "siamfc and siamrpn, which are as published by default: landmarks",
    )
    batch: int = option(
        16, minimum=4, metavar="B", always_shown=True, help="landmarks in a step, a multiple of four (default 16)"
    )
    leave_out: tuple[str, ...] = option(
        (),
        metavar="GROUP",
        help="in-house validation: train without each of these groups in turn (CIL, ETH ... of CLUST; heart, liver, "
        "liver-hard ... of phantoms; ETH-01: one patient) into --out/without-GROUP, and print the errors on what was "
        "held out",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch % 4:
            raise OptionError("batch", f"expected a multiple of four, got {self.batch}")


class LandmarkRecipe(Recipe):
    """The training of one landmark network.

    Attributes:
        landmarks_of_a_triple: number of landmarks of a step that three frames share.
    """

    options = LandmarkOptions
    landmarks_of_a_triple = 4
    defaults = LANDMARK_SETTINGS
    data = "phantoms with exact trajectories, folders in CLUST's layout and real frames warped by analytic motion"

    def variants(self) -> Mapping[str, str]:
        """Returns the variants by name."""
        return {DEFAULT: "the shipped weights", PUBLISHED: "the paper's losses"}

    def make(
        self, variant: str = DEFAULT, *, seed: int = 1
    ) -> TrainingPlan[LandmarkObjective[Any], LandmarkBatchSettings]:
        """Returns the plan of a variant, with weights drawn from the seed.

        Raises:
            InputError: no such variant.
        """
        import torch

        from UltrasoundMotionLib.lab.training.data.triple_batches import LandmarkBatchSettings

        self.check_variant(variant)
        torch.manual_seed(seed)
        objective = self._objective(published=variant == PUBLISHED)
        batch = LandmarkBatchSettings(
            landmarks=self.landmarks_of_a_triple,
            largest_size=objective.largest_size,
            largest_ratio=objective.largest_ratio,
        )
        settings = self.settings(published=variant == PUBLISHED)
        return TrainingPlan(objective, batch, replace(settings, seed=seed))

    def settings(self, *, published: bool) -> TrainingSettings:
        """Returns the default settings of a variant's run."""
        return self.defaults

    @abstractmethod
    def _objective(self, *, published: bool) -> LandmarkObjective[Any]:
        """Returns the objective of a variant; weights are drawn from PyTorch's default generator."""

    @contextmanager
    def prepare(self, options: LandmarkOptions, context: RunContext) -> Iterator[Sequence[Training]]:
        """Simulates the clips that are missing and yields one training, or one for each group that is held out."""
        from UltrasoundMotionLib.lab.training.data.landmark_sources import leave_out, tuning_groups

        clips = options.clips or context.out / "clips"
        sources = _sources(options, clips, context)
        if options.leave_out:
            trainings = []
            for group in options.leave_out:
                kept, held = leave_out(sources, group)
                cases: list[LandmarkGroup] = [("held out", held), ("learnt from", kept)]
                trainings.append(self._training(options, context, f"without-{group}", kept, cases))
            yield trainings
            return
        groups: list[LandmarkGroup] = []
        if options.validate_every != 0 and context.processes.first:
            with context.progress("simulating", "clips") as progress:
                groups = tuning_groups(clips / "tuning", progress=progress)
        yield [self._training(options, context, "", sources, groups)]

    def _training(
        self,
        options: LandmarkOptions,
        context: RunContext,
        folder: str,
        sources: Sequence[LandmarkSource],
        cases: Sequence[LandmarkGroup],
    ) -> Training:
        from UltrasoundMotionLib.lab.training.trained_weights import draft_card

        plan = self.make(options.variant, seed=options.seed)
        batch = replace(plan.batch, triples=options.batch // self.landmarks_of_a_triple)
        measured_on = "of what was held out" if folder else "of liver phantoms of the tuning seed 100"
        card = draft_card(
            plan.objective,
            trained_on=_trained_on(options, folder),
            command=context.command,
            seed=options.seed,
            measured_with=(
                f"printed by the training command: distance in search windows {measured_on}, px at 256 x 256"
            ),
        )
        batches = plan.objective.batches(sources, batch, options.seed)
        return Training(context.out / folder, plan.objective, batches, options.settings(plan.settings), cases, card)

    def report(
        self, options: LandmarkOptions, trainings: Sequence[Training], found: Sequence[Mapping[str, float]]
    ) -> list[str]:
        """Returns the usual lines, or the table of the groups that were held out."""
        if not options.leave_out:
            return super().report(options, trainings, found)
        from UltrasoundMotionLib.lab.training.objectives.landmarks import (
            LandmarkObjective,
            leave_out_table,
            window_errors,
        )

        rows = []
        for group, training in zip(options.leave_out, trainings, strict=True):
            objective = training.objective.eval()
            assert isinstance(objective, LandmarkObjective)
            held, learnt = window_errors(objective, training.cases)
            rows.append((group, held, learnt))
        return [leave_out_table(rows)]


def _sources(options: LandmarkOptions, clips: Path, context: RunContext) -> list[LandmarkSource]:
    from UltrasoundMotionLib.lab.training.data.landmark_sources import ClipSource, WarpedSource, clust_sources
    from UltrasoundMotionLib.lab.training.data.phantom_clips import write_phantom_clips
    from UltrasoundMotionLib.lab.training.data.warped_clips import read_real_frames

    with context.progress("simulating", "clips") as progress:
        write = partial(write_phantom_clips, clips, options.phantoms, options.seed, progress=progress)
        paths = context.first_alone(write) if options.phantoms else ()
    annotated = [source for folder in options.clust for source in clust_sources(folder)]
    warped = [WarpedSource(frame) for frame in read_real_frames(options.data, every=options.every)]
    return [*(ClipSource(path) for path in paths), *annotated, *warped]


def _trained_on(options: LandmarkOptions, folder: str) -> tuple[str, ...]:
    parts = []
    if options.phantoms:
        parts.append(
            f"{options.phantoms} simulated clips of livers (70 % of what was seen) and hearts, phantom seeds drawn "
            "from 200 to 8999"
        )
    parts += [f"annotated frames of {path}" for path in options.clust]
    parts += [f"real frames warped by analytic motion: {path}" for path in options.data]
    return (*parts, *([f"{folder.replace('-', ' ', 1)}, which was held out"] if folder else []))
