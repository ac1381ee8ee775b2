"""Linear interpolation of an image at displaced voxels or at points, differentiable for the image and the positions.

On a GPU this is `torch.nn.functional.grid_sample`. On a CPU that function is scalar code; here the 2^n corners are
gathered with `index_select` and blended with vectorised operations, a few thousand voxels at a time: temporary arrays
then stay in the cache, and no memory is requested from the operating system, which costs more than the arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from UltrasoundMotionLib.fields.tensor_checks import check_finite

_CHUNK_VOXELS = 32768
_MOST_DERIVATIVES = 1 << 23
"""Most derivatives, of all channels for all axes, that are kept for the backward pass (32 MB in single precision)."""


def sample_displaced(image: Tensor, displacement: Tensor) -> Tensor:
    """Samples an image at p + u(p) for every voxel p.

    Outside the image the border value continues (its derivative for the position is 0).

    Args:
        image: (B, C, *spatial) floating point, spatial = (H, W) or (D, H, W).
        displacement: (B, n, *output) in voxels, channels (x, y[, z]), dtype and device of the image.

    Returns:
        (B, C, *output); p counts from 0 on the output grid.

    Raises:
        InputError: NaN in the displacement (on a GPU the values become NaN instead).
    """
    if _prefers_torch(image):
        output = displacement.shape[2:]
        lines = [torch.arange(size, dtype=displacement.dtype, device=displacement.device) for size in reversed(output)]
        steps = [line.view([-1] + [1] * axis) for axis, line in enumerate(lines)]
        return _sample_with_torch(image, [displacement[:, axis] + step for axis, step in enumerate(steps)])
    return _sample_on_cpu(image, displacement, dense=True)


def sample_points(image: Tensor, points: Tensor) -> Tensor:
    """Samples an image (B, C, *spatial) at points (B, n, N) in voxel coordinates (x, y[, z]).

    Borders as in `sample_displaced`. Returns (B, C, N).
    """
    if _prefers_torch(image):
        spread = points[(..., *[None] * (image.ndim - 3))]
        return _sample_with_torch(image, list(spread.unbind(1))).reshape(*image.shape[:2], -1)
    return _sample_on_cpu(image, points, dense=False)


def _sample_on_cpu(image: Tensor, positions: Tensor, *, dense: bool) -> Tensor:
    try:
        return _LinearSampling.apply(image, positions, dense)
    except IndexError:  # NaN became an index; a check beforehand would cost every iteration a pass
        check_finite(positions, "displacement" if dense else "points")
        raise


def _prefers_torch(image: Tensor) -> bool:
    return image.device.type != "cpu"


def _sample_with_torch(image: Tensor, coordinates: list[Tensor]) -> Tensor:
    sizes = image.shape[:1:-1]
    scaled = [
        2 * one / (size - 1) - 1 if size > 1 else torch.zeros_like(one)
        for one, size in zip(coordinates, sizes, strict=True)
    ]
    return functional.grid_sample(
        image, torch.stack(scaled, dim=-1), mode="bilinear", padding_mode="border", align_corners=True
    )


def _chunks(positions: Tensor, dense: bool) -> Iterator[tuple[slice, list[Tensor]]]:
    """Yields chunks of a (n, *output) tensor of displacements (dense) or points.

    Each is its slice of the flat output and its coordinates (x, y[, z]).
    """
    rows_of = positions.reshape(positions.shape[0], -1, positions.shape[-1] if dense else 1)
    _, rows, width = rows_of.shape
    step = max(1, _CHUNK_VOXELS // width)
    if dense:
        line = torch.arange(width, dtype=positions.dtype)
        row = torch.arange(rows)
        height = positions.shape[-2]
        row_coordinates = [(row % height).to(positions.dtype), (row // height).to(positions.dtype)][
            : positions.shape[0] - 1
        ]
    for start in range(0, rows, step):
        piece = rows_of[:, start : start + step]
        if dense:
            along_rows = [piece[axis + 1] + one[start : start + step, None] for axis, one in enumerate(row_coordinates)]
            coordinates = [piece[0] + line, *along_rows]
        else:
            coordinates = list(piece.clone())
        yield slice(start * width, start * width + piece[0].numel()), [one.reshape(-1) for one in coordinates]


def _locate(coordinates: list[Tensor], spatial: torch.Size) -> tuple[Tensor, list[Tensor]]:
    """Returns the flat index of the lower corner (N,) and the fractions along x, y[, z]; overwrites the coordinates."""
    fractions: list[Tensor] = []
    lower: Tensor | None = None
    stride = 1
    exact_as_float = spatial.numel() < (1 << 24)
    for coordinate, size in zip(coordinates, reversed(spatial), strict=True):
        clamped = coordinate.clamp_(0, size - 1)
        corner = clamped.floor().clamp_(max=max(size - 2, 0))
        fractions.append(clamped.sub_(corner))
        if not exact_as_float:
            corner = corner.long()
        lower = corner if lower is None else lower.add_(corner, alpha=stride)
        stride *= size
    assert lower is not None  # there is at least one axis
    return lower.long(), fractions


def _corner_offsets(spatial: torch.Size) -> list[int]:
    """Returns the flat offsets of the 2^n corners from the lower one, x fastest; a one-voxel axis has no upper one."""
    offsets, stride = [0], 1
    for size in reversed(spatial):
        offsets += [offset + (stride if size > 1 else 0) for offset in offsets]
        stride *= size
    return offsets


def _blend(corners: list[Tensor], fractions: list[Tensor]) -> Tensor:
    """Interpolates along x, then y, then z; corners in the order of `_corner_offsets`."""
    for fraction in fractions:
        corners = [torch.lerp(low, high, fraction) for low, high in zip(corners[::2], corners[1::2], strict=True)]
    return corners[0]


def _blend_with_derivatives(corners: list[Tensor], fractions: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Returns what `_blend` does, and its derivative for each coordinate."""
    derivatives: list[list[Tensor]] = []
    for fraction in fractions:
        pairs = list(zip(corners[::2], corners[1::2], strict=True))
        derivatives = [
            [torch.lerp(low, high, fraction) for low, high in zip(one[::2], one[1::2], strict=True)]
            for one in derivatives
        ]
        derivatives.append([high - low for low, high in pairs])
        corners = [torch.lerp(low, high, fraction) for low, high in pairs]
    return corners[0], [one[0] for one in derivatives]


class _LinearSampling(torch.autograd.Function):
    """The CPU path of `sample_displaced` and `sample_points`.

    For an image that needs no gradient itself (the moving image of a registration, and its class maps) the derivatives
    for the positions are computed with the values, unless it has several channels and they would take too much memory.
    Otherwise the backward pass computes indices and corners again, which is cheaper than allocating memory for them.
    """

    @staticmethod
    def forward(ctx: Any, image: Tensor, positions: Tensor, dense: bool) -> Tensor:
        """Samples `image` at `positions`."""
        image, positions = image.contiguous(), positions.contiguous()
        spatial, channels = image.shape[2:], image.shape[1]
        values = image.new_empty(*image.shape[:2], *positions.shape[2:])
        kept = values.numel() * len(spatial)
        fused = ctx.needs_input_grad[1] and not ctx.needs_input_grad[0] and (channels == 1 or kept <= _MOST_DERIVATIVES)
        derivatives = image.new_empty(*image.shape[:2], *positions.shape[1:]) if fused else None
        offsets = _corner_offsets(spatial)
        for batch in range(image.shape[0]):
            source, target = image[batch].view(channels, -1), values[batch].view(channels, -1)
            for where, coordinates in _chunks(positions[batch], dense):
                inside = _inside(coordinates, spatial) if fused else []
                lower, fractions = _locate(coordinates, spatial)
                for channel in range(channels):
                    corners = [source[channel, offset:].index_select(0, lower) for offset in offsets]
                    if derivatives is None:
                        target[channel, where] = _blend(corners, fractions)
                        continue
                    target[channel, where], slopes = _blend_with_derivatives(corners, fractions)
                    into = derivatives[batch, channel].view(len(spatial), -1)[:, where]
                    _write_derivatives(into, slopes, inside)
        ctx.dense, ctx.fused = dense, fused
        ctx.save_for_backward(*([derivatives] if fused else [image, positions]))
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Returns the gradients of the inputs, in the order of `forward`."""
        if ctx.fused:
            (derivatives,) = ctx.saved_tensors
            total = derivatives[:, 0] * gradient[:, :1]
            for channel in range(1, derivatives.shape[1]):
                total.addcmul_(derivatives[:, channel], gradient[:, channel : channel + 1])
            return None, total, None
        image, positions = ctx.saved_tensors
        gradient = gradient.contiguous()
        spatial, channels = image.shape[2:], image.shape[1]
        offsets = _corner_offsets(spatial)
        for_image = torch.zeros_like(image) if ctx.needs_input_grad[0] else None
        for_positions = torch.empty_like(positions) if ctx.needs_input_grad[1] else None
        for batch in range(image.shape[0]):
            source, upstream = image[batch].view(channels, -1), gradient[batch].view(channels, -1)
            for where, coordinates in _chunks(positions[batch], ctx.dense):
                inside = _inside(coordinates, spatial) if for_positions is not None else []
                lower, fractions = _locate(coordinates, spatial)
                if for_image is not None:
                    _scatter(for_image[batch].view(channels, -1), upstream[:, where], lower, fractions, offsets)
                if for_positions is not None:
                    corners = [source[0, offset:].index_select(0, lower).mul_(upstream[0, where]) for offset in offsets]
                    for channel in range(1, channels):
                        for corner, offset in zip(corners, offsets, strict=True):
                            corner.addcmul_(source[channel, offset:].index_select(0, lower), upstream[channel, where])
                    slopes = _blend_with_derivatives(corners, fractions)[1]
                    _write_derivatives(for_positions[batch].view(len(spatial), -1)[:, where], slopes, inside)
        return for_image, for_positions, None


def _inside(coordinates: list[Tensor], spatial: torch.Size) -> list[Tensor]:
    """Returns 1 where a coordinate lies between the first and last voxel, 0 beyond, where the border value continues.

    Call it before `_locate`, which overwrites the coordinates.
    """
    return [
        torch.eq(one, one.clamp(0, size - 1)).to(one.dtype)
        for one, size in zip(coordinates, reversed(spatial), strict=True)
    ]


def _write_derivatives(target: Tensor, derivatives: list[Tensor], inside: list[Tensor]) -> None:
    for axis, derivative in enumerate(derivatives):
        torch.mul(derivative, inside[axis], out=target[axis])


def _scatter(target: Tensor, upstream: Tensor, lower: Tensor, fractions: list[Tensor], offsets: list[int]) -> None:
    """Adds each sample's gradient (C, N) to the corners it was read from, in `target` (C, voxels)."""
    weights = [torch.ones_like(fractions[0])]
    for fraction in fractions:
        weights = [weight * (1 - fraction) for weight in weights] + [weight * fraction for weight in weights]
    for channel in range(target.shape[0]):
        for offset, weight in zip(offsets, weights, strict=True):
            target[channel, offset:].scatter_add_(0, lower, upstream[channel] * weight)
