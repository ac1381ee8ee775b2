"""The running mean of a network's weights over the steps of its training, which is validated and shipped."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def update_running_mean(mean: nn.Module, network: nn.Module, step: int, averaging: float) -> None:
    """Updates the running mean, before a step, with the weights after the last one.

    Args:
        mean: a copy of the network, changed in place.
        step: steps taken before.
        averaging: fraction of itself that the mean keeps at each step, less at first.
    """
    kept = min(averaging, (1 + step) / (10 + step)) if step else 0.0
    for one, value in zip(mean.parameters(), network.parameters(), strict=True):
        one.lerp_(value, 1 - kept)
