"""The methods of a table of fields: trained where they are trained, measured on the same pairs, each kept when done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.errors import MissingPackageError
from UltrasoundMotionLib.lab.benchmarks.field_rows import UNREGISTERED, FieldRow, Predict, measured_row, no_field
from UltrasoundMotionLib.lab.benchmarks.kept_training import train_kept
from UltrasoundMotionLib.lab.benchmarks.rows import RowFile
from UltrasoundMotionLib.progress import Progress, no_progress

if TYPE_CHECKING:
    from torch import Tensor

    from UltrasoundMotionLib.lab.training.data.registration_pairs import LabelledPair
    from UltrasoundMotionLib.lab.training.data.step_batches import StepBatches
    from UltrasoundMotionLib.lab.training.objectives.registration import RegistrationObjective
    from UltrasoundMotionLib.lab.training.settings import TrainingSettings
    from UltrasoundMotionLib.registration.learned.model_domain import ModelDomain
    from UltrasoundMotionLib.weights import ModelCard


@dataclass(frozen=True)
class FieldMethod:
    """A method that is ready to register pairs.

    Attributes:
        predict: see `Predict`.
        training_seconds: of the processor, in this session.
        parameters: their number in its network.
    """

    predict: Predict
    training_seconds: float = 0.0
    parameters: int = 0


def trained_method(
    folder: Path,
    objective: RegistrationObjective,
    batches: StepBatches[Any],
    settings: TrainingSettings,
    *,
    card: ModelCard | None = None,
    device: str = "cpu",
    after: Callable[[Tensor], Tensor] | None = None,
    progress: Progress = no_progress,
) -> FieldMethod:
    """Trains a network as `train_kept` does, and returns it as a method.

    Args:
        after: changes each displacement (1, n, *spatial) that the network finds; None: they are taken as they are.
    """
    spent = train_kept(folder, objective, batches, settings, card=card, device=device, progress=progress)

    def predict(pair: LabelledPair, fixed: Tensor, moving: Tensor) -> Tensor:
        found = objective.displacement(fixed, moving)
        assert found is not None, "a registration network finds a displacement"
        return found if after is None else after(found)

    return FieldMethod(predict, spent, sum(value.numel() for value in objective.network.parameters()))


def measured_rows(
    names: Sequence[str],
    make: Callable[[str], FieldMethod],
    cases: Sequence[LabelledPair],
    domain: ModelDomain,
    kept: RowFile[FieldRow],
    *,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> tuple[tuple[FieldRow, ...], dict[str, str]]:
    """Measures the images as they are and each method on the same pairs.

    Args:
        make: returns the method of a name, trained if need be; is called only where `kept` has no row of that name.

    Returns:
        The rows in the order of the names, and why others are missing: a package that is not installed.
    """

    def measure(name: str) -> FieldRow:
        method = make(name)
        return measured_row(
            name,
            cases,
            domain,
            method.predict,
            parameters=method.parameters,
            training_seconds=method.training_seconds,
            device=device,
            progress=partial(progress, message=f"measuring {name}"),
        )

    rows, missing = [measured_row(UNREGISTERED, cases, domain, no_field)], {}
    for name in names:
        try:
            rows.append(kept.row(name, partial(measure, name)))
        except MissingPackageError as error:
            missing[name] = str(error)
    return tuple(rows), missing
