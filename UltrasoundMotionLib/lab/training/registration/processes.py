"""Several processes that train one network, as `torchrun` starts them: equal weights, gradients averaged at every step."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from UltrasoundMotionLib.errors import InputError


@dataclass(frozen=True)
class Processes:
    """This process among `count`; number 0 writes the files.

    Attributes:
        rank: of this process.
        count: of all.
        local_rank: on this machine, which is the GPU it takes.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    def device(self, device: str) -> torch.device:
        """The GPU of this process where `device` is "cuda"."""
        return torch.device("cuda", self.local_rank) if device == "cuda" and self.count > 1 else torch.device(device)

    def start_alike(self, module: nn.Module) -> None:
        """Gives every process the weights and buffers of number 0."""
        if self.count > 1:
            for value in module.state_dict().values():
                distributed.broadcast(value, 0)

    def share_buffers(self, module: nn.Module) -> None:
        """Gives every process the buffers of number 0."""
        if self.count > 1:
            for value in module.buffers():
                distributed.broadcast(value, 0)

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replaces gradients by their mean over processes, in one message.

        Parameters without one are without one in every process.
        """
        if self.count == 1:
            return
        gradients = [one.grad for one in parameters if one.grad is not None]
        together = torch.cat([one.flatten() for one in gradients])
        distributed.all_reduce(together)
        together /= self.count
        for gradient, values in zip(gradients, together.split([one.numel() for one in gradients]), strict=True):
            gradient.copy_(values.view_as(gradient))

    def average(self, values: Tensor) -> Tensor:
        """Mean of a tensor over processes."""
        if self.count > 1:
            distributed.all_reduce(values)
            values = values / self.count
        return values


@contextmanager
def training_processes(device: str) -> Iterator[Processes]:
    """Joins the processes that `torchrun` has started; without it there is one.

    Raises:
        InputError: more processes on the machine than GPUs.
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
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield processes
    finally:
        distributed.destroy_process_group()
