"""The network of convolutions over time that moves trajectories in PIPs++ and EchoTracker."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

_BLOCKS = 8


class TemporalBlock(nn.Module):
    """Two convolutions over time with instance normalisation, added to their input; further channels of the output are
    added to zeros, half of them before those of the input and half behind.
    """

    def __init__(self, in_channels: int, out_channels: int, *, is_first: bool) -> None:
        super().__init__()
        self.first = nn.Conv1d(in_channels, out_channels, 3, padding=1)
        self.second = nn.Conv1d(out_channels, out_channels, 3, padding=1)
        self._is_first = is_first

    def forward(self, values: Tensor) -> Tensor:
        """Maps (N, C, T) to (N, C', T)."""
        change = values if self._is_first else F.relu(F.instance_norm(values))
        change = self.second(F.relu(F.instance_norm(self.first(change))))
        more = change.shape[1] - values.shape[1]
        return change + (F.pad(values, (0, 0, more // 2, more - more // 2)) if more else values)


class TrajectoryConvolution(nn.Module):
    """Shifts of trajectories from what was measured along them, by eight residual blocks of convolutions over time.

    Args:
        in_channels: what is known of a point at a time.
        width: channels of the first two blocks; each further pair of blocks has twice as many.
        shared_channels: what is known of a time for all points, which are convolved once for all.
    """

    def __init__(self, in_channels: int, width: int, shared_channels: int = 0) -> None:
        super().__init__()
        self.stem = nn.Conv1d(in_channels, width, 3, padding=1)
        self.shared_stem = nn.Conv1d(shared_channels, width, 3, padding=1, bias=False) if shared_channels else None
        widths = [width * 2 ** (number // 2) for number in range(_BLOCKS)]
        self.blocks = nn.ModuleList(
            TemporalBlock(before, wide, is_first=number == 0)
            for number, (before, wide) in enumerate(zip([width, *widths[:-1]], widths, strict=True))
        )
        self.last = nn.Linear(widths[-1], 2)

    def forward(self, values: Tensor, shared: Tensor | None = None) -> Tensor:
        """Maps (N, T, C) and what all points share (T, S) to shifts (N, T, 2)."""
        found = self.stem(values.transpose(1, 2))
        if self.shared_stem is not None and shared is not None:
            found = found + self.shared_stem(shared.t()[None])
        found = F.relu(found)
        for block in self.blocks:
            found = block(found)
        return self.last(F.relu(found).transpose(1, 2))


def convert_convolution_names(official: str, ours: str) -> dict[str, str]:
    """Returns rules for `weights.official_checkpoint.renamed` from the names of the official `DeltaBlock` to ours.

    Args:
        official: the block's name in the official network, "delta_block".
        ours: its name in our network.
    """
    parameter = r"(weight|bias)"
    return {
        rf"{official}\.first_block_conv\.conv\.{parameter}": rf"{ours}.stem.\1",
        rf"{official}\.basicblock_list\.(\d+)\.conv1\.conv\.{parameter}": rf"{ours}.blocks.\1.first.\2",
        rf"{official}\.basicblock_list\.(\d+)\.conv2\.conv\.{parameter}": rf"{ours}.blocks.\1.second.\2",
        rf"{official}\.dense\.{parameter}": rf"{ours}.last.\1",
    }
