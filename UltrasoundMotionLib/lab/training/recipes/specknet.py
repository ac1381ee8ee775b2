"""The training of SpeckNet (Azad et al., Sec. 5.1), on clips with exact trajectories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.errors import OptionError
from UltrasoundMotionLib.lab.training.clip_options import ClipOptions
from UltrasoundMotionLib.lab.training.recipe import (
    Recipe,
    RunContext,
    Training,
    TrainingPlan,
    training_recipe,
)
from UltrasoundMotionLib.lab.training.settings import TrainingSettings
from UltrasoundMotionLib.settings import option

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.training.data.clip_batches import ClipBatchSettings
    from UltrasoundMotionLib.lab.training.data.head_batches import HeadBatches, HeadClip
    from UltrasoundMotionLib.lab.training.data.training_clip import TrainingClip
    from UltrasoundMotionLib.lab.training.data.trajectory_clips import TrajectoryClips
    from UltrasoundMotionLib.lab.training.data.warped_clips import RealFrame
    from UltrasoundMotionLib.lab.training.objectives.specknet import SpeckNetObjective
    from UltrasoundMotionLib.lab.training.objectives.specknet_head import SpeckNetHeadObjective

OURS, WIDE, PUBLISHED = "ours", "wide", "published"
_PULSE_SHARE, _TEXTURE_SHARE = 0.3, 0.2
_CROP, _WHOLE = 256, 512
ENCODER, HEAD = "encoder", "head"
_HEAD_FRAMES, _HEAD_POINTS, _HEAD_CLIPS, _HELD_OUT_CLIPS = 12, 32, 4, 24
_HEAD_MEASURED_WITH = (
    f"printed by the training command itself at its last validation: {_HELD_OUT_CLIPS} clips of the same recipes that "
    "no step draws; pixels of the network's input, two for one at 256 x 256"
)


@dataclass(frozen=True, kw_only=True)
class SpeckNetOptions(ClipOptions):
    """The options of SpeckNet's training.

    Attributes:
        speckle_share: fraction of the clips that are simulated on the device while training.
        start_with: clips to simulate before training, while another process simulates the rest; None: all.
        preset: variant of losses and augmentations.
        full_part: last fraction of the steps, with whole inputs instead of crops.
        pseudo_labels: real clips to learn from by the trajectories on which `specknet` agrees there and back.
        start_share: share of the weights of --start-from in those that are written, the mean of both.
        stage: the encoder, or the temporal head on an encoder that stands still.
        pool: clips that the head learns from; they are encoded once.
    """

    speckle_share: float = option(
        0.0,
        minimum=0,
        metavar="P",
        help="fraction of the clips that are simulated on the device while training: muscle, kidney, right ventricle, "
        "vessels (default 0; slow on a CPU)",
    )
    start_with: int | None = option(
        None,
        minimum=0,
        metavar="N",
        help="clips to simulate before training; another process simulates the rest (default: all)",
    )
    preset: str = option(
        OURS,
        choices=(OURS, WIDE, PUBLISHED),
        help="wide: half of the clips from other recipes of simulation, and the effects of scanners and probes on all; "
        "published: only what the paper states, so without cross-entropy (default ours)",
    )
    full_part: float = option(
        0.15,
        minimum=0,
        metavar="P",
        help="last fraction of the steps, with whole inputs instead of crops (default 0.15)",
    )

    pseudo_labels: tuple[Path, ...] = option(
        (),
        metavar="PATH",
        help="real clips to learn from without labels: by the trajectories on which specknet, with --start-from's "
        "weights, agrees forwards and backwards",
    )
    start_share: float = option(
        0.0,
        minimum=0,
        metavar="P",
        help="share of the weights of --start-from in those that are written: what they could is kept (default 0)",
    )
    stage: str = option(
        ENCODER,
        choices=(ENCODER, HEAD),
        help="head: train the temporal head on the encoder of --start-from, which stands still (default encoder)",
    )
    pool: int = option(300, minimum=1, metavar="N", help="clips that the head learns from, encoded once (default 300)")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stage == HEAD and self.start_from is None:
            raise OptionError("stage", "the head needs a trained encoder: give its weights by --start-from")
        if self.start_share and self.stage == HEAD:
            raise OptionError("start_share", "the encoder stands still while the head learns; leave it out")
        if self.start_share and self.start_from is None:
            raise OptionError("start_share", "there are no weights to share with: give them by --start-from")
        for name in ("full_part", "speckle_share", "start_share"):
            if getattr(self, name) > 1:
                raise OptionError(name, f"expected a number between 0 and 1, got {getattr(self, name):g}")


@training_recipe
class SpeckNetRecipe(Recipe):
    """Trains `SpeckNet`."""

    name, rank = "specknet", 4
    summary = "the point tracker SpeckNet"
    data = "phantoms with exact trajectories and real frames warped by analytic motion"
    options = SpeckNetOptions
    defaults = TrainingSettings(
        steps=6000, learning_rate=5e-4, weight_decay=1e-4, warm_up=0.1, save_every=200, validate_every=500
    )

    def variants(self) -> Mapping[str, str]:
        """Returns the presets by name."""
        return {
            OURS: "the shipped weights",
            WIDE: "a wider spread of data: other recipes of simulation, effects of scanners and probes",
            PUBLISHED: "only what the paper states: its loss and augmentations, one random query frame, whole inputs",
        }

    def make(self, variant: str = OURS, *, seed: int = 1) -> TrainingPlan[SpeckNetObjective, ClipBatchSettings]:
        """Returns the plan of a variant, with weights drawn from the seed.

        The paper's batches, four clips of 36 frames, are larger than these.

        Raises:
            InputError: no such variant.
        """
        import torch

        from UltrasoundMotionLib.lab.training.data.clip_batches import ClipBatchSettings
        from UltrasoundMotionLib.lab.training.data.image_augmentation import PUBLISHED_IMAGES
        from UltrasoundMotionLib.lab.training.data.scanner_effects import WIDE_EFFECTS
        from UltrasoundMotionLib.lab.training.objectives.specknet import SpeckNetObjective
        from UltrasoundMotionLib.lab.training.objectives.specknet_loss import PUBLISHED_LOSS

        self.check_variant(variant)
        torch.manual_seed(seed)
        settings = replace(self.defaults, seed=seed)
        if variant == PUBLISHED:
            objective = SpeckNetObjective(loss=PUBLISHED_LOSS, all_query_frames=False)
            return TrainingPlan(objective, ClipBatchSettings(images=PUBLISHED_IMAGES, crops=((1.0, _WHOLE),)), settings)
        batch = ClipBatchSettings()
        if variant == WIDE:
            batch = replace(
                batch, points=32, effects=WIDE_EFFECTS, pulse_share=_PULSE_SHARE, texture_share=_TEXTURE_SHARE
            )
        return TrainingPlan(SpeckNetObjective(), batch, settings)

    @contextmanager
    def prepare(self, options: SpeckNetOptions, context: RunContext) -> Iterator[Sequence[Training]]:
        """Simulates the clips to start with, and the others in the background while the one training runs."""
        from UltrasoundMotionLib.lab.training.data.clip_batches import ClipBatches
        from UltrasoundMotionLib.lab.training.data.phantom_clips import clips_in_background, write_phantom_clips
        from UltrasoundMotionLib.lab.training.data.pseudo_labels import pseudo_label_clips
        from UltrasoundMotionLib.lab.training.data.warped_clips import read_real_frames
        from UltrasoundMotionLib.lab.training.objectives.specknet import validation_clips
        from UltrasoundMotionLib.lab.training.trained_weights import draft_card

        first = options.phantoms if options.start_with is None else min(options.start_with, options.phantoms)
        folder = options.clips or context.out / "clips"
        with context.progress("simulating", "clips") as progress:
            context.first_alone(partial(write_phantom_clips, folder, first, options.seed, progress=progress))
        real = read_real_frames(options.data, every=options.every)
        own = options.read_trajectories(context)
        if options.pseudo_labels:
            with context.progress("tracking there and back", "clips") as progress:
                labelled = pseudo_label_clips(options.pseudo_labels, weights=options.start_from, progress=progress)
            own = labelled if own is None else own.joined(labelled)
        plan = self.make(options.preset, seed=options.seed)
        plan.objective.start_share = options.start_share
        settings = options.settings(plan.settings)
        batch = _batch_settings(plan.batch, options, first, settings.steps)
        card = draft_card(
            plan.objective,
            trained_on=(*_trained_on(options), *((own.summary,) if own else ())),
            command=context.command,
            seed=options.seed,
            measured_with=(
                "printed by the training command itself at its last validation: 2 phantoms of the tuning seed 100 for "
                "each kind and difficulty in 12 frames over the time of 64, the network alone, 48 points, query frame "
                "0, pixels at 256 x 256; of own trajectories all frames of the patients held out"
            ),
        )
        writes = context.processes.first
        with clips_in_background(folder, options.phantoms, options.seed, first, simulate=writes) as clips:
            validates = bool(settings.validate_every) and writes
            if options.stage == HEAD:
                head, head_batches, held_out = _head_training(
                    options, _Sources(clips, real, own), batch, validates=validates
                )
                card = replace(card, configuration=head.configuration(), measured_with=_HEAD_MEASURED_WITH)
                yield [Training(context.out, head, head_batches, settings, held_out, card)]
                return
            batches = ClipBatches(clips, real, batch, options.seed, settings.steps, own=own)
            cases = validation_clips() if validates else ()
            cases += own.held_out if own and validates else ()
            yield [Training(context.out, plan.objective, batches, settings, cases, card)]


@dataclass(frozen=True, eq=False)
class _Sources:
    """Clips that a training draws from."""

    phantoms: Sequence[TrainingClip]
    real: Sequence[RealFrame]
    own: TrajectoryClips | None


def _head_training(
    options: SpeckNetOptions, sources: _Sources, batch: ClipBatchSettings, *, validates: bool
) -> tuple[SpeckNetHeadObjective, HeadBatches, tuple[HeadClip, ...]]:
    """Returns objective, batches and held-out clips of the head: more frames and fewer points, encoded once."""
    import torch

    from UltrasoundMotionLib.lab.training.data.clip_batches import ClipBatches
    from UltrasoundMotionLib.lab.training.data.head_batches import HeadBatches
    from UltrasoundMotionLib.lab.training.objectives.specknet_head import SpeckNetHeadObjective
    from UltrasoundMotionLib.lab.training.trained_weights import read_weights

    batch = replace(
        batch,
        clips=1,
        frames=_HEAD_FRAMES,
        points=_HEAD_POINTS,
        crops=((1.0, _CROP),),
        clips_at_start=options.phantoms,
        clips_per_step=0.0,
    )
    torch.manual_seed(options.seed)
    objective = SpeckNetHeadObjective()
    assert options.start_from is not None
    objective.start_from(read_weights(options.start_from))
    clips = ClipBatches(sources.phantoms, sources.real, batch, options.seed, options.pool, own=sources.own)
    batches = HeadBatches(clips, objective.encode, pool=options.pool, count=_HEAD_CLIPS, seed=options.seed)
    return objective, batches, batches.held_out(_HELD_OUT_CLIPS) if validates else ()


def _batch_settings(settings: ClipBatchSettings, options: SpeckNetOptions, first: int, steps: int) -> ClipBatchSettings:
    from UltrasoundMotionLib.lab.training.data.motion_augmentation import NO_MOTION

    if options.preset != PUBLISHED:
        settings = replace(settings, crops=((1 - options.full_part, _CROP), (1.0, _WHOLE)))
    if options.motion == "baseline":
        settings = replace(settings, motion=NO_MOTION)
    return replace(
        settings,
        clips_at_start=first,
        # All clips are drawn from by half of the steps, however quickly they are simulated: so the weights depend on
        # the seed alone.
        clips_per_step=(options.phantoms - first) / max(1.0, steps / 2),
        speckle_share=options.speckle_share,
        warped_share=options.warped_share,
    )


def _trained_on(options: SpeckNetOptions) -> tuple[str, ...]:
    parts = []
    if options.phantoms:
        parts.append(
            f"{options.phantoms} simulated clips of beating hearts and breathing livers, phantom seeds drawn from 200 "
            "to 8999"
        )
    parts += [f"real frames warped by analytic motion: {path}" for path in options.data]
    if options.speckle_share:
        parts.append(
            "speckle simulated while training (muscle, kidney, right ventricle, vessels): "
            f"{100 * options.speckle_share:g} % of what was seen"
        )
    if options.preset == WIDE:
        parts.append(
            f"scatterers imaged by short pulses while training ({100 * _PULSE_SHARE:g} %), warped textures of random "
            f"cosines and of speckle statistics ({100 * _TEXTURE_SHARE:g} %); effects of scanners and probes on all"
        )
    return tuple(parts)
