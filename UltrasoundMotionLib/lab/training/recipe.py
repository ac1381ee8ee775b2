"""Recipes: for each network its objective, data, settings and the options of `train NAME`.

A new network is an objective and one file in `recipes/`, which is found there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.settings import TrainingSettings
from UltrasoundMotionLib.progress import Progress
from UltrasoundMotionLib.registry import Registry
from UltrasoundMotionLib.settings import check_options, option
from UltrasoundMotionLib.weights.int8_storage import STORES

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.training.data.step_batches import StepBatches
    from UltrasoundMotionLib.lab.training.objective import Objective
    from UltrasoundMotionLib.lab.training.processes import Processes
    from UltrasoundMotionLib.weights import ModelCard

DEFAULT = "default"

_AnyObjective = TypeVar("_AnyObjective", bound="Objective[Any, Any]")
_BatchSettings = TypeVar("_BatchSettings")
_Result = TypeVar("_Result")
_RecipeClass = TypeVar("_RecipeClass", bound="type[Recipe]")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """The options of every training that the weights depend on.

    Attributes:
        steps, seed, learning_rate, mixed_precision, validate_every: see `TrainingSettings`; None: the recipe's default.
        start_from: weights, or their card, to begin with.
        store: form of the weights in their file, see `save_weights`; the training does not depend on it.

    Raises:
        OptionError: a value that an option cannot take.
    """

    steps: int | None = option(None, minimum=1, metavar="N", always_shown=True, help="number of optimizer steps")
    learning_rate: float | None = option(
        None, above=0, metavar="R", always_shown=True, help="peak of the one-cycle learning rate"
    )
    seed: int = option(1, minimum=0, metavar="S", always_shown=True, help="seed of everything random (default 1)")
    validate_every: int | None = option(
        None, minimum=0, metavar="N", help="steps between two validations; 0: never validate"
    )
    mixed_precision: bool = option(True, negative_flag="--no-mixed-precision", help="compute in float32 throughout")
    start_from: Path | None = option(
        None, metavar="FILE", help="trained weights to begin with (.safetensors, or their card .json)"
    )
    store: str = option(
        "float32",
        choices=STORES,
        help="weights in the file: float32 (default), or int8 with a scale for each output channel, a quarter as large",
    )

    def __post_init__(self) -> None:
        check_options(self)

    def settings(self, defaults: TrainingSettings) -> TrainingSettings:
        """Returns the settings that the options ask for."""
        given = {name: getattr(self, name) for name in ("steps", "learning_rate", "validate_every")}
        return replace(
            defaults,
            seed=self.seed,
            mixed_precision=defaults.mixed_precision and self.mixed_precision,
            **{name: value for name, value in given.items() if value is not None},
        )


@dataclass(frozen=True, eq=False)
class TrainingPlan(Generic[_AnyObjective, _BatchSettings]):
    """A variant of a network as it is trained, without the data.

    Attributes:
        objective: its weights are drawn from the seed that the plan was made with.
        batch: settings of the batches.
        settings: of the run.
    """

    objective: _AnyObjective
    batch: _BatchSettings
    settings: TrainingSettings


@dataclass(frozen=True, eq=False)
class Training:
    """One run, ready for `train`.

    Attributes:
        folder: folder of the weights, the log and the state.
        objective, batches, settings, cases, card: see `train`.
    """

    folder: Path
    objective: Objective[Any, Any]
    batches: StepBatches[Any]
    settings: TrainingSettings
    cases: Sequence[Any]
    card: ModelCard


@dataclass(frozen=True, eq=False)
class RunContext:
    """The run that a recipe prepares its data for.

    Attributes:
        out: folder for the results.
        command: the training command, for cards.
        processes: this process among those of `torchrun`.
        progress: opens the report of a long preparation, given its title and the unit that it counts.
    """

    out: Path
    command: str
    processes: Processes
    progress: Callable[[str, str], AbstractContextManager[Progress]]

    def first_alone(self, prepare: Callable[[], _Result]) -> _Result:
        """Calls a function in the first process and, when it has returned, in the others, which find its files."""
        if self.processes.first:
            result = prepare()
            self.processes.wait()
            return result
        self.processes.wait()
        return prepare()


class Recipe(ABC):
    """The training of one network. Modules of recipes import PyTorch in functions only, so that help stays quick.

    Attributes:
        name: name on the command line.
        former_names: names that it had before, still taken.
        rank: place in lists, the smallest first.
        summary: the network in a few words.
        data: its training data, in a few words.
        options: the options of `train NAME`.
        defaults: default settings; None: each variant has its own.
    """

    name: str
    former_names: tuple[str, ...] = ()
    rank: int
    summary: str
    data: str
    options: type[TrainingOptions]
    defaults: TrainingSettings | None = None

    def variants(self) -> Mapping[str, str]:
        """Returns the variants by name, each with its summary; the first is the one whose weights are shipped."""
        return {DEFAULT: "the shipped weights"}

    def check_variant(self, variant: str) -> None:
        """Raises InputError when there is no such variant."""
        if variant not in self.variants():
            raise InputError(f"variant: {self.name} has {', '.join(self.variants())}, got {variant!r}")

    @abstractmethod
    def prepare(self, options: Any, context: RunContext) -> AbstractContextManager[Sequence[Training]]:
        """Reads or simulates the data for a `with` block in which the trainings are run, one after the other.

        Raises:
            InputError: options or data that cannot be used.
            OutputError: a simulated clip cannot be written.
        """

    def report(self, options: Any, trainings: Sequence[Training], found: Sequence[Mapping[str, float]]) -> list[str]:
        """Returns lines for the user about finished trainings, given the figures of their last validations."""
        lines = [f"{name} {value:.4g}" for figures in found for name, value in figures.items()]
        return lines + [f"wrote {training.folder / training.card.name}.safetensors" for training in trainings]


RECIPES: Registry[Recipe] = Registry("training recipe", "UltrasoundMotionLib.lab.training.recipes")


def training_recipe(kind: _RecipeClass) -> _RecipeClass:
    """Registers a recipe (class decorator)."""
    RECIPES.add(kind(), kind.former_names)
    return kind
