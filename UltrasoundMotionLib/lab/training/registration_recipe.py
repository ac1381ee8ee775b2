"""The recipes of registration networks: a network is trained on a public data set of labelled images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.data.pair_settings import PairSettings
from UltrasoundMotionLib.lab.training.recipe import DEFAULT, Recipe, RunContext, Training, TrainingOptions, TrainingPlan
from UltrasoundMotionLib.settings import option

if TYPE_CHECKING:
    from UltrasoundMotionLib.weights import ModelCard

_DATASETS = ("hippocampus", "cardiac")
_SOURCES = {
    "hippocampus": (
        "Task04 Hippocampus of the Medical Segmentation Decathlon (Simpson et al., 2019): {count} subjects with "
        "numbers up to 305",
        "never seen: subjects from 320 on; validated on those between",
    ),
    "cardiac": (
        "ACDC (Bernard et al., 2018), end-diastole and end-systole: {count} patients, the first ten of every group of "
        "twenty",
        "never seen: from the twelfth patient of every group on; validated on the eleventh",
    ),
}
_LICENCES = {"hippocampus": "CC-BY-SA-4.0", "cardiac": "LicenseRef-ACDC-research-only"}

RegistrationPlan = TrainingPlan[Any, PairSettings]


@dataclass(frozen=True, kw_only=True)
class RegistrationOptions(TrainingOptions):
    """The options of a registration network's training.

    Attributes:
        dataset: name of the public data set.
        data: its folder.
        variant: one of the recipe's.
        batch: pairs in a step of each process; None: the recipe's.
        subjects: learn from so many training subjects only; None: all.
    """

    dataset: str = option(choices=_DATASETS, always_shown=True, help="MSD Task04 Hippocampus, or ACDC")
    data: Path = option(metavar="DIR", help="folder of that data set")
    variant: str = option(
        DEFAULT, metavar="NAME", always_shown=True, help="one of the network's own (an unknown one lists them)"
    )
    batch: int | None = option(
        None, minimum=1, metavar="B", help="pairs in a step, of each process (default: the variant's)"
    )
    subjects: int | None = option(
        None, minimum=1, metavar="N", help="learn from the first N training subjects only (default all)"
    )


class RegistrationRecipe(Recipe):
    """The training of one registration network.

    Attributes:
        datasets: names of the data sets that `make` plans for.
    """

    options = RegistrationOptions
    datasets: tuple[str, ...] = _DATASETS
    data = "the Decathlon's hippocampi or ACDC's hearts"

    def make(self, dataset: str, variant: str = DEFAULT, *, seed: int = 1) -> RegistrationPlan:
        """Returns the plan of a variant, with weights drawn from the seed.

        Args:
            dataset: "hippocampus" or "cardiac".
            variant: one of `variants`.

        Raises:
            InputError: no such data set or variant, or a variant that the data set lacks.
        """
        if dataset not in self.datasets:
            raise InputError(f"dataset: expected one of {', '.join(self.datasets)}, got {dataset!r}")
        self.check_variant(variant)
        return seeded_plan(seed, lambda: self._plan(dataset, variant))

    def _plan_of(self, options: RegistrationOptions) -> RegistrationPlan:
        """Returns the plan that the options ask for."""
        return self.make(options.dataset, options.variant, seed=options.seed)

    @abstractmethod
    def _plan(self, dataset: str, variant: str) -> RegistrationPlan:
        """Returns the plan of a data set and a variant; weights are drawn from PyTorch's default generator.

        Raises:
            InputError: the data set lacks the variant.
        """

    @contextmanager
    def prepare(self, options: RegistrationOptions, context: RunContext) -> Iterator[Sequence[Training]]:
        """Reads the subjects and yields one training."""
        from UltrasoundMotionLib.lab.training.data.registration_pairs import PairBatches, pair_list
        from UltrasoundMotionLib.lab.training.data.registration_subjects import read_subjects

        plan = self._plan_of(options)
        settings, domain = options.settings(plan.settings), plan.objective.domain
        batch = plan.batch if options.batch is None else replace(plan.batch, size=options.batch)
        held_out = []
        with context.progress("reading", "subjects") as progress:
            subjects = read_subjects(
                options.dataset, options.data, "train", domain, most=options.subjects, progress=progress
            )
            if settings.validate_every and context.processes.first:
                held_out = read_subjects(options.dataset, options.data, "validation", domain, progress=progress)
        card = registration_card(
            plan,
            options.dataset,
            subjects=len(subjects),
            command=context.command,
            validation_subjects=len(held_out),
        )
        atlas = [one for one in subjects if held_out and one.name == batch.atlas]
        yield [
            Training(
                context.out,
                plan.objective,
                PairBatches(subjects, batch, options.seed),
                settings,
                pair_list(held_out + atlas, batch) if held_out else (),
                card,
            )
        ]


def seeded_plan(seed: int, make: Callable[[], RegistrationPlan]) -> RegistrationPlan:
    """Returns the plan that a function makes, with weights drawn from the seed."""
    import torch

    torch.manual_seed(seed)
    plan = make()
    return replace(plan, settings=replace(plan.settings, seed=seed))


def registration_card(
    plan: RegistrationPlan, dataset: str, *, subjects: int, command: str, validation_subjects: int
) -> ModelCard:
    """Returns the draft of a card, for `train`.

    Args:
        subjects: number of subjects to learn from.
        command: the training command.
        validation_subjects: number of subjects to validate on.
    """
    from UltrasoundMotionLib.lab.training.trained_weights import draft_card

    return draft_card(
        plan.objective,
        trained_on=tuple(line.format(count=subjects) for line in _SOURCES[dataset]),
        command=command,
        seed=plan.settings.seed,
        measured_with=(
            f"the training command itself at its last validation, one pair of each of {validation_subjects} subjects"
        ),
        licence=_LICENCES[dataset],
    )
