"""The training of LT-Net with the terms of its paper, on hippocampi or on the user's copy of CANDIShare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.data.pair_settings import PairSettings
from UltrasoundMotionLib.lab.training.recipe import DEFAULT, RunContext, Training, training_recipe
from UltrasoundMotionLib.lab.training.registration_recipe import (
    RegistrationOptions,
    RegistrationPlan,
    RegistrationRecipe,
    seeded_plan,
)
from UltrasoundMotionLib.lab.training.settings import TrainingSettings
from UltrasoundMotionLib.settings import option

if TYPE_CHECKING:
    from UltrasoundMotionLib.registration.learned.model_domain import ModelDomain

HIPPOCAMPUS_ATLAS = "hippocampus_263"
"""The one of the 160 training subjects with the highest mean local cross-correlation (windows of 5 voxels) with all
others; labels had no part in the choice.
"""

_HIPPOCAMPUS, _CANDI = "hippocampus", "candi"
_WITHOUT: dict[str, tuple[str, ...]] = {
    DEFAULT: (),
    "without-adversary": ("adversarial",),
    "without-image-cycle": ("image",),
    "without-transformation-cycle": ("transformation",),
    "without-anatomy-cycle": ("anatomy",),
    "similarity-only": ("adversarial", "image", "transformation", "anatomy"),
}
"""The terms that a variant leaves out."""


@dataclass(frozen=True, kw_only=True)
class LtNetPublishedOptions(RegistrationOptions):
    """The options of LT-Net's training as published.

    Attributes:
        dataset: name of the public data set.
        atlas: the labelled subject; None: the recipe's choice, which no label takes part in.
        losses: weights of terms, each "TERM=WEIGHT", in place of ours; the paper's main text has its own.
    """

    dataset: str = option(
        choices=(_HIPPOCAMPUS, _CANDI), always_shown=True, help="MSD Task04 Hippocampus, or CANDIShare"
    )
    atlas: str | None = option(None, metavar="SUBJECT", help="the one with labels (default: the most average one)")
    losses: tuple[str, ...] = option(
        (),
        metavar="TERM=WEIGHT",
        help="weights of similarity, smoothness, adversarial, image, transformation, anatomy",
    )


def published_plan(
    variant: str = DEFAULT,
    *,
    losses: Mapping[str, float] | None = None,
    atlas: str = HIPPOCAMPUS_ATLAS,
    domain: ModelDomain | None = None,
) -> RegistrationPlan:
    """Returns the plan of a variant.

    Args:
        losses: weights of terms in place of ours, by name; a variant's missing terms stay out.
        atlas: name of the labelled subject.
        domain: of the images; None: the hippocampi's.

    Raises:
        InputError: see `published_weights`.
    """
    from UltrasoundMotionLib.lab.training.objectives.ltnet import LtNetObjective, published_weights
    from UltrasoundMotionLib.registration.learned.model_domain import HIPPOCAMPUS
    from UltrasoundMotionLib.registration.methods.ltnet.network import published_config

    weights = published_weights({**(losses or {}), **dict.fromkeys(_WITHOUT[variant], 0.0)})
    domain = HIPPOCAMPUS if domain is None else domain
    middle = "" if variant == DEFAULT else f"{variant}-"
    objective = LtNetObjective(
        f"ltnet-published-{middle}{domain.name}", published_config(), weights, domain=domain, atlas=atlas
    )
    validate_every = 1000 if domain is HIPPOCAMPUS else 0
    return RegistrationPlan(
        objective, PairSettings("atlas", atlas=atlas), TrainingSettings(steps=4000, validate_every=validate_every)
    )


def parsed_losses(texts: Sequence[str]) -> dict[str, float]:
    """Returns the weights of terms by name, from "TERM=WEIGHT".

    Raises:
        InputError: a text that is none.
    """
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise InputError(f"losses: expected TERM=WEIGHT, got {text!r}") from None
    return found


@training_recipe
class LtNetPublishedRecipe(RegistrationRecipe):
    """Trains `LtNet` with separate generators and the terms of its paper."""

    name, rank = "ltnet-published", 8
    summary = "LT-Net as published: generators there and back, discriminator, three cycles"
    data = "the Decathlon's hippocampi or the brains of CANDIShare"
    options = LtNetPublishedOptions
    datasets = (_HIPPOCAMPUS,)

    def variants(self) -> Mapping[str, str]:
        """Returns the variants by name."""
        return {
            DEFAULT: "all terms",
            **{name: f"without {', '.join(terms)}" for name, terms in _WITHOUT.items() if terms},
        }

    def _plan(self, dataset: str, variant: str) -> RegistrationPlan:
        return published_plan(variant)

    def _plan_of(self, options: RegistrationOptions) -> RegistrationPlan:
        assert isinstance(options, LtNetPublishedOptions)
        atlas = options.atlas or HIPPOCAMPUS_ATLAS
        return seeded_plan(
            options.seed, lambda: published_plan(options.variant, losses=parsed_losses(options.losses), atlas=atlas)
        )

    @contextmanager
    def prepare(self, options: RegistrationOptions, context: RunContext) -> Iterator[Sequence[Training]]:
        """Reads the subjects and yields one training."""
        assert isinstance(options, LtNetPublishedOptions)
        self.check_variant(options.variant)
        if options.dataset != _CANDI:
            with super().prepare(options, context) as trainings:
                yield trainings
            return
        yield [self._candi(options, context)]

    def _candi(self, options: LtNetPublishedOptions, context: RunContext) -> Training:
        """Reads the training subjects of CANDIShare, on the voxels of the first, and plans the training."""
        from UltrasoundMotionLib.lab.candi import candi_domain, candi_part, candi_subjects, most_average, read_candi
        from UltrasoundMotionLib.lab.training.data.registration_pairs import PairBatches, TrainingSubject
        from UltrasoundMotionLib.lab.training.data.registration_subjects import checked_arrays
        from UltrasoundMotionLib.lab.training.trained_weights import draft_card

        losses = parsed_losses(options.losses)
        names = candi_part(candi_subjects(options.data), "train")[: options.subjects]
        if options.atlas is not None and options.atlas not in names:
            raise InputError(f"atlas: {options.atlas} is not among the {len(names)} training subjects of CANDI")
        first = read_candi(options.data, names[0])
        domain, subjects = candi_domain(first.image.spacing_mm), []
        with context.progress("reading", "subjects") as progress:
            for done, name in enumerate(names, start=1):
                one = read_candi(options.data, name, first.image.spacing_mm)
                arrays = checked_arrays(name, one.image.array, one.labels.array, domain)
                subjects.append(TrainingSubject(name, (arrays,)))
                progress(done, len(names), f"reading {name}")
        atlas = options.atlas or most_average({one.name: one.phases[0].image for one in subjects})
        plan = seeded_plan(
            options.seed, lambda: published_plan(options.variant, losses=losses, atlas=atlas, domain=domain)
        )
        settings = options.settings(plan.settings)
        if settings.validate_every:
            raise InputError(
                "validate-every: the paper's division of CANDI has no subjects for validation; leave it out"
            )
        batch = plan.batch if options.batch is None else replace(plan.batch, size=options.batch)
        card = draft_card(
            plan.objective,
            trained_on=(
                f"CANDIShare (Kennedy et al., 2012): {len(names)} T1 volumes, labels of {atlas} alone",
                "never seen: the subjects that `candi_part` holds out",
            ),
            command=context.command,
            seed=options.seed,
            measured_with="nothing: LT-Net's division of CANDI has no subjects for validation",
            licence="LicenseRef-CANDIShare",
        )
        return Training(context.out, plan.objective, PairBatches(subjects, batch, options.seed), settings, (), card)
