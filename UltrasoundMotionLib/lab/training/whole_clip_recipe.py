"""The recipes of whole-clip trackers: clips with exact trajectories, of frames at one distance in time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.errors import OptionError
from UltrasoundMotionLib.lab.training.clip_options import ClipOptions
from UltrasoundMotionLib.lab.training.recipe import DEFAULT, Recipe, RunContext, Training
from UltrasoundMotionLib.lab.training.settings import TrainingSettings
from UltrasoundMotionLib.settings import option

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.training.objectives.whole_clip import WholeClipObjective
    from UltrasoundMotionLib.weights import ModelCard

_SIDE_UNIT = 16


@dataclass(frozen=True, kw_only=True)
class WholeClipOptions(ClipOptions):
    """The options of a whole-clip tracker's training.

    Attributes:
        frames: frames of a clip that the network sees.
        points: points of a clip.
        image_side: side of the square images in pixels, a multiple of 16.
    """

    frames: int = option(20, minimum=2, metavar="N", help="frames of a clip that the network sees (default 20)")
    points: int = option(64, minimum=1, metavar="N", help="points of a clip (default 64)")
    image_side: int = option(
        256, minimum=64, metavar="PX", help="side of the square images in pixels, a multiple of 16 (default 256)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_side % _SIDE_UNIT:
            raise OptionError("image_side", f"expected a multiple of {_SIDE_UNIT}, got {self.image_side}")


class WholeClipRecipe(Recipe):
    """Trains a whole-clip tracker; a recipe names the objective."""

    data = "phantoms with exact trajectories, real frames warped by analytic motion, own clips"
    options = WholeClipOptions
    defaults = TrainingSettings(
        steps=20000,
        learning_rate=5e-4,
        weight_decay=1e-6,
        warm_up=0.1,
        gradient_norm=10.0,
        save_every=200,
        validate_every=1000,
    )

    @abstractmethod
    def make_objective(self, image_side: int) -> WholeClipObjective:
        """Returns the objective, with weights from PyTorch's default generator."""

    def variants(self) -> Mapping[str, str]:
        """Returns the one variant; no weights of it are shipped."""
        return {DEFAULT: "the authors' loss and optimiser, on the clips that SpeckNet learns from"}

    @contextmanager
    def prepare(self, options: WholeClipOptions, context: RunContext) -> Iterator[Sequence[Training]]:
        """Simulates the phantoms' clips that are missing and reads the real ones."""
        import torch

        from UltrasoundMotionLib.lab.training.data.clip_batches import ClipBatches, ClipBatchSettings
        from UltrasoundMotionLib.lab.training.data.motion_augmentation import NO_MOTION
        from UltrasoundMotionLib.lab.training.data.phantom_clips import ClipFolder, write_phantom_clips
        from UltrasoundMotionLib.lab.training.data.warped_clips import read_real_frames
        from UltrasoundMotionLib.lab.training.objectives.specknet import validation_clips
        from UltrasoundMotionLib.lab.training.trained_weights import draft_card

        folder = options.clips or context.out / "clips"
        with context.progress("simulating", "clips") as progress:
            paths = context.first_alone(
                partial(write_phantom_clips, folder, options.phantoms, options.seed, progress=progress)
            )
        real = read_real_frames(options.data, every=options.every)
        own = options.read_trajectories(context)
        settings = options.settings(self.defaults)
        torch.manual_seed(options.seed)
        objective = self.make_objective(options.image_side)
        batch = ClipBatchSettings(
            clips=1,
            frames=options.frames,
            points=options.points,
            input_size=options.image_side,
            crops=((1.0, options.image_side),),
            regular_times=True,
            warped_share=options.warped_share,
        )
        if options.motion == "baseline":
            batch = replace(batch, motion=NO_MOTION)
        parts = []
        if options.phantoms:
            parts.append(
                f"{options.phantoms} simulated clips of beating hearts and breathing livers, phantom seeds drawn from "
                "200 to 8999"
            )
        parts += [f"real frames warped by analytic motion: {path}" for path in options.data]
        parts += [own.summary] if own else []
        begun_with = _card_of(options.start_from)
        if begun_with is not None:
            parts.append(f"begun with the weights {begun_with.name}, {'; '.join(begun_with.trained_on)}")
        card = draft_card(
            objective,
            trained_on=tuple(parts),
            command=context.command,
            seed=options.seed,
            measured_with=(
                "printed by the training command itself at its last validation: 2 phantoms of the tuning seed 100 for "
                "each kind and difficulty in 12 frames over the time of 64, 48 points, query frame 0, pixels at 256 x "
                "256; of own trajectories all frames of the patients held out"
            ),
            licence="Apache-2.0" if begun_with is None else begun_with.licence,
        )
        validates = settings.validate_every and context.processes.first
        cases = (*validation_clips(), *(own.held_out if own else ())) if validates else ()
        batches = ClipBatches(ClipFolder(paths), real, batch, options.seed, settings.steps, own=own)
        yield [Training(context.out, objective, batches, settings, cases, card)]


def _card_of(weights: Path | None) -> ModelCard | None:
    """Returns the card of the weights to begin with, whose licence holds for what is learnt from them; None where they
    have none beside them.
    """
    from UltrasoundMotionLib.weights import read_card

    if weights is None or not weights.with_suffix(".json").is_file():
        return None
    return read_card(weights.with_suffix(".json"))
