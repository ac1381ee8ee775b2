"""The training of the pyramid network on each data set, and its pre-training on synthetic shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.data.pair_settings import HEART, Augmentation, PairAugmentation, PairSettings
from UltrasoundMotionLib.lab.training.recipe import DEFAULT, RunContext, Training, training_recipe
from UltrasoundMotionLib.lab.training.registration_recipe import (
    RegistrationOptions,
    RegistrationPlan,
    RegistrationRecipe,
)
from UltrasoundMotionLib.lab.training.settings import TrainingSettings

SYNTHETIC = "synthetic"

_HIPPOCAMPUS = Augmentation(
    rotation_deg=10.0,
    tilt_deg=10.0,
    scale=0.1,
    stretch=0.08,
    shift=3.0,
    elastic=1.2,
    elastic_stride=12,
    gain=0.1,
    gamma=0.2,
    bias=0.2,
    noise=0.03,
)
_TWO_SUBJECTS = PairAugmentation(fixed=_HIPPOCAMPUS, moving=_HIPPOCAMPUS)
"""Each of two subjects gets a pose, a shape and a scanner of its own."""

_ONE_PHASE = Augmentation(gain=0.05, elastic=0.7, elastic_stride=20, noise=0.03, in_plane=True)
"""Two moments of one scan share pose, anatomy and scanner; the motion between them varies a little more than it does.
They are never mirrored, since the right ventricle is on one side.
"""

_HEART_WINDOW = (None, 128, 128)


@training_recipe
class PyramidRecipe(RegistrationRecipe):
    """Trains `PyramidNetwork`."""

    name, rank = "pyramid", 7
    summary = "symmetric velocity field from coarse to fine, trained with labels"

    def variants(self) -> Mapping[str, str]:
        """Returns the variants by name."""
        return {
            DEFAULT: "on labelled pairs of the data set",
            SYNTHETIC: "hippocampus: on synthetic shapes, whose weights the default may start from (--start-from)",
        }

    @contextmanager
    def prepare(self, options: RegistrationOptions, context: RunContext) -> Iterator[Sequence[Training]]:
        """Reads the subjects, or replaces their pairs by synthetic ones, and yields one training."""
        with super().prepare(options, context) as trainings:
            yield (
                [_on_synthetic_pairs(one, options) for one in trainings] if options.variant == SYNTHETIC else trainings
            )

    def _plan(self, dataset: str, variant: str) -> RegistrationPlan:
        from UltrasoundMotionLib.lab.training.objectives.pyramid import PyramidLoss, PyramidObjective
        from UltrasoundMotionLib.registration.learned.model_domain import CARDIAC_CINE, HIPPOCAMPUS
        from UltrasoundMotionLib.registration.methods.pyramid.network import CARDIAC_PYRAMID, HIPPOCAMPUS_PYRAMID

        if dataset == "cardiac":
            if variant == SYNTHETIC:
                raise InputError("variant: synthetic is for hippocampus only")
            return RegistrationPlan(
                PyramidObjective("pyramid-cardiac", CARDIAC_PYRAMID, PyramidLoss(), CARDIAC_CINE, window=_HEART_WINDOW),
                PairSettings(
                    "phases",
                    swapped=0.5,
                    augmentation=PairAugmentation(shared=HEART, fixed=_ONE_PHASE, moving=_ONE_PHASE),
                ),
                TrainingSettings(steps=12000, learning_rate=1e-3, weight_decay=1e-4, validate_every=1000),
            )
        loss = PyramidLoss(classes=0.0) if variant == SYNTHETIC else PyramidLoss()
        name = "pyramid-hippocampus" if variant == DEFAULT else "pyramid-synthetic"
        return RegistrationPlan(
            PyramidObjective(name, HIPPOCAMPUS_PYRAMID, loss, HIPPOCAMPUS),
            PairSettings("random", augmentation=_TWO_SUBJECTS),
            TrainingSettings(steps=20000, learning_rate=1e-3, weight_decay=1e-4, validate_every=1000),
        )


def _on_synthetic_pairs(training: Training, options: RegistrationOptions) -> Training:
    """Returns the training on synthetic pairs of the domain's shape, validated on real ones as before."""
    from UltrasoundMotionLib.lab.training.data.synthetic_pairs import SyntheticPairs, SyntheticPairSettings
    from UltrasoundMotionLib.registration.learned.model_domain import HIPPOCAMPUS

    shape = tuple(size for size in HIPPOCAMPUS.shape if size is not None)
    settings = SyntheticPairSettings(
        shape, tuple(HIPPOCAMPUS.labels), size=options.batch or 1, augmentation=_TWO_SUBJECTS
    )
    trained_on = ("synthetic images of random shapes, deformed at random (SynthMorph: Hoffmann et al., 2022)",)
    return replace(
        training,
        batches=SyntheticPairs(settings, options.seed),
        card=replace(training.card, trained_on=(*trained_on, *training.card.trained_on[1:]), licence="Apache-2.0"),
    )
