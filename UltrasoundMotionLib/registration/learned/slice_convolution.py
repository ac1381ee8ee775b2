"""Convolution within slices, for networks that keep the slices of a volume."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class SliceConvolution(nn.Conv3d):
    """A 3D convolution whose kernel spans one slice, computed as a 2D convolution of every slice.

    The result is that of `torch.nn.Conv3d`, and so are the weights. In bfloat16 on processors with AMX, PyTorch 2.13's
    own 3D convolution gives gradients of the weights that are wrong by up to 50 % or not finite where there are seven
    slices or fewer of 64 x 64 voxels or more; its 2D convolution does not.

    Args:
        kernel_size: (1, height, width).
        padding, stride: along (z, y, x), 0 and 1 along z.
    """

    def forward(self, values: Tensor) -> Tensor:
        """Returns the convolution of values (B, C, D, H, W)."""
        batch, channels, depth, *plane = values.shape
        slices = values.transpose(1, 2).reshape(batch * depth, channels, *plane)
        after = functional.conv2d(slices, self.weight[:, :, 0], self.bias, self.stride[1:], self.padding[1:])
        return after.reshape(batch, depth, *after.shape[1:]).transpose(1, 2)


def convolution(before: int, after: int, *, through: bool, stride: tuple[int, int, int] = (1, 1, 1)) -> nn.Conv3d:
    """Returns a convolution without bias over 3 x 3 voxels of a slice, or of three slices where it goes `through`."""
    kernel, padding = (3 if through else 1, 3, 3), (1 if through else 0, 1, 1)
    kind = nn.Conv3d if through else SliceConvolution
    return kind(before, after, kernel, stride=stride, padding=padding, bias=False)
