"""The processes that train one network together under `torchrun`; without it there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from UltrasoundMotionLib.errors import InputError

Module = TypeVar("Module", bound=nn.Module)

_LONGEST_WAIT = timedelta(hours=2)
"""How long a process waits for the others, while the first one simulates clips or validates."""


@dataclass(frozen=True)
class Processes:
    """This process among those of a run; the one of rank 0 writes the files.

    Attributes:
        rank: rank of this process.
        count: number of processes.
        local_rank: rank among the processes of this machine, which is the GPU that it takes.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """True in the process that writes the files."""
        return self.rank == 0

    def device(self, device: str) -> torch.device:
        """Returns this process's own GPU where `device` is "cuda", else the device of that name."""
        return torch.device("cuda", self.local_rank) if device == "cuda" and self.count > 1 else torch.device(device)

    def parallel(self, module: Module, *, unused_parameters: bool = False) -> Module | DistributedDataParallel:
        """Returns the module, wrapped so that its gradients are averaged over the processes; all start with the
        weights of rank 0.

        Args:
            unused_parameters: some steps leave parameters without a gradient; they are looked for at every step.
        """
        if self.count == 1:
            return module
        on_gpu = next(module.parameters()).device.type == "cuda"
        return DistributedDataParallel(
            module,
            device_ids=[self.local_rank] if on_gpu else None,
            find_unused_parameters=unused_parameters,
        )

    def average(self, values: Tensor) -> Tensor:
        """Returns the mean of a tensor over the processes."""
        if self.count > 1:
            distributed.all_reduce(values)
            values = values / self.count
        return values

    def share_buffers(self, module: nn.Module) -> None:
        """Gives every process the buffers of rank 0."""
        if self.count > 1:
            for value in module.buffers():
                distributed.broadcast(value, 0)

    def wait(self) -> None:
        """Returns when every process has called it."""
        if self.count > 1:
            distributed.barrier()


@contextmanager
def training_processes(device: str) -> Iterator[Processes]:
    """Joins the processes that `torchrun` has started.

    Raises:
        InputError: the machine has fewer GPUs than processes.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or "RANK" not in os.environ:
        yield Processes()
        return
    processes = Processes(int(os.environ["RANK"]), count, int(os.environ.get("LOCAL_RANK", "0")))
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        if processes.local_rank >= torch.cuda.device_count():
            raise InputError(
                f"torchrun: process {processes.local_rank} has no GPU of its own, there are {torch.cuda.device_count()}"
            )
        torch.cuda.set_device(processes.local_rank)
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=_LONGEST_WAIT)
    try:
        yield processes
    finally:
        distributed.destroy_process_group()
