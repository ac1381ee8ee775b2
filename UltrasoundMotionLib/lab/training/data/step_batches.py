"""Batches as a function of the step: drawn in this process or by workers, they are the same."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from UltrasoundMotionLib.errors import UltrasoundMotionError

Batch = TypeVar("Batch")
CPU = torch.device("cpu")


class StepBatches(ABC, Generic[Batch]):
    """Draws the batch of a step, from the seed, the step's number and the rank alone, so that a run can be resumed.

    Attributes:
        description: data and settings in one line; a run is resumed only with the same.
    """

    description: str

    @abstractmethod
    def draw(self, step: int, rank: int = 0, device: torch.device = CPU) -> Batch:
        """Returns the batch of a step for the process of that rank, its tensors on the device.

        Raises:
            InputError: the data hold nothing that can be used.
        """


def load_batches(
    batches: StepBatches[Batch], steps: Sequence[int], *, rank: int, device: torch.device, workers: int
) -> Iterator[Batch]:
    """Yields the batches of the steps in their order, on the device.

    Args:
        workers: number of processes that draw batches ahead, on the CPU; 0 draws each when it is needed, on the device.
    """
    loader = DataLoader(
        _BatchDataset(batches, rank, CPU if workers else device),
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        collate_fn=_unchanged,
        worker_init_fn=_ignore_interrupts if workers else None,
        generator=torch.Generator(),  # or the loader would draw from the default one
    )
    for batch in loader:
        if isinstance(batch, UltrasoundMotionError):
            raise batch
        yield to_device(batch, device)


class _BatchDataset(Dataset[Any], Generic[Batch]):
    """Maps a step to its batch, or to the error that explains why there is none.

    An error raised in a worker would arrive as a traceback of many lines.
    """

    def __init__(self, batches: StepBatches[Batch], rank: int, device: torch.device) -> None:
        self._batches, self._rank, self._device = batches, rank, device

    def __getitem__(self, step: int) -> Batch | UltrasoundMotionError:
        try:
            return self._batches.draw(step, self._rank, self._device)
        except UltrasoundMotionError as error:
            return error


def to_device(values: Any, device: torch.device) -> Any:
    """Returns a batch with all its tensors on the device; they may be nested in dataclasses, lists and tuples."""
    if isinstance(values, Tensor):
        return values.to(device, non_blocking=True)
    if isinstance(values, list | tuple):
        return type(values)(to_device(value, device) for value in values)
    if is_dataclass(values) and not isinstance(values, type):
        return replace(values, **{one.name: to_device(getattr(values, one.name), device) for one in fields(values)})
    return values


def _unchanged(batch: Any) -> Any:
    return batch


def _ignore_interrupts(worker: int) -> None:
    """Leaves Ctrl-C to the main process, which ends its workers after the step in progress."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
