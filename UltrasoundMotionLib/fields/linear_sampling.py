"""Linear interpolation of an image at displaced voxels or at points, differentiable for the image and the positions.

On a GPU this is `torch.nn.functional.grid_sample`. On a CPU that function is scalar code; there the 2^n corners of each
cell of voxels are gathered and blended with vectorised operations (`interpolation_cells`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from UltrasoundMotionLib.fields.interpolation_cells import Cells, Places, corner_offsets
from UltrasoundMotionLib.fields.tensor_checks import check_finite

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
    return _LinearSampling.apply(image, displacement, True)


def sample_with_derivative(image: Tensor, displacement: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Samples an image as `sample_displaced` does, for losses that compute their own derivative: without a graph.

    Args:
        image, displacement: as in `sample_displaced`; neither gets a gradient.

    Returns:
        The samples (B, C, *output), and a function that turns the derivative of a loss for them, of their shape, into
        its derivative for the displacement (B, n, *output).

    Raises:
        InputError: NaN in the displacement (on a GPU the values become NaN instead).
    """
    image, displacement = image.detach(), displacement.detach()
    if _prefers_torch(image) or not _may_keep_derivatives(image, displacement):
        with torch.enable_grad():
            wanted = displacement.requires_grad_()
            sampled = sample_displaced(image, wanted)

        def by_graph(derivative: Tensor) -> Tensor:
            # a sum, since `grad_outputs` would import PyTorch's compiler
            with torch.enable_grad():
                return torch.autograd.grad((sampled * derivative).sum(), wanted)[0]

        return sampled.detach(), by_graph
    with torch.no_grad():
        values, slopes = _sampled(image, displacement, dense=True, differentiate=True)
    assert slopes is not None

    def by_slopes(derivative: Tensor) -> Tensor:
        with torch.no_grad():
            return _through_slopes(slopes, derivative)

    return values, by_slopes


def sample_points(image: Tensor, points: Tensor) -> Tensor:
    """Samples an image (B, C, *spatial) at points (B, n, N) in voxel coordinates (x, y[, z]).

    Borders as in `sample_displaced`. Returns (B, C, N).
    """
    if _prefers_torch(image):
        spread = points[(..., *[None] * (image.ndim - 3))]
        return _sample_with_torch(image, list(spread.unbind(1))).reshape(*image.shape[:2], -1)
    return _LinearSampling.apply(image, points, False)


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


def _may_keep_derivatives(image: Tensor, positions: Tensor) -> bool:
    """Returns whether the derivatives of all samples for their positions are few enough to be kept."""
    values = image.shape[0] * image.shape[1] * positions.shape[2:].numel()
    return image.shape[1] == 1 or values * positions.shape[1] <= _MOST_DERIVATIVES


def _sampled(image: Tensor, positions: Tensor, dense: bool, *, differentiate: bool) -> tuple[Tensor, Tensor | None]:
    """Returns the samples (B, C, *output), and their derivatives for the positions (B, C, n, *output) where asked for.

    Raises:
        InputError: NaN in the positions.
    """
    image, positions = image.contiguous(), positions.contiguous()
    spatial, output = image.shape[2:], positions.shape[2:]
    values = image.new_empty(*image.shape[:2], *output)
    slopes = image.new_empty(*image.shape[:2], len(spatial), *output) if differentiate else None
    if not values.numel():
        return values, slopes
    places = Places(spatial, positions[0], dense, with_inside=differentiate)
    cells = Cells(spatial, image, places.step * (output[-1] if dense else 1), differentiate=differentiate)
    try:
        for batch in range(image.shape[0]):
            sources, targets = image[batch].flatten(1).unbind(0), values[batch].flatten(1)
            derivatives = None if slopes is None else slopes[batch].flatten(2)
            for where in places.chunks(positions[batch]):
                for channel, source in enumerate(sources):
                    into = None if derivatives is None else derivatives[channel, :, where]
                    cells.blend(cells.gather(source, places.lower), places.fractions, targets[channel, where], into)
                    if into is not None and places.inside is not None:
                        into.mul_(places.inside)
    except IndexError:  # NaN became an index; a check beforehand would cost every iteration a pass
        check_finite(positions, "displacement" if dense else "points")
        raise
    return values, slopes


def _through_slopes(slopes: Tensor, derivative: Tensor) -> Tensor:
    """Returns the derivative for the positions (B, n, *output), from the samples' (B, C, n, *output) and the loss's for
    the samples (B, C, *output).
    """
    total = slopes[:, 0] * derivative[:, :1]
    for channel in range(1, slopes.shape[1]):
        total.addcmul_(slopes[:, channel], derivative[:, channel : channel + 1])
    return total


class _LinearSampling(torch.autograd.Function):
    """The CPU path of `sample_displaced` and `sample_points`.

    For an image that needs no gradient itself (the moving image of a registration, and its class maps) the derivatives
    for the positions are computed with the values, unless it has several channels and they would take too much memory.
    Otherwise the backward pass computes indices and corners again, which is cheaper than allocating memory for them.
    """

    @staticmethod
    def forward(ctx: Any, image: Tensor, positions: Tensor, dense: bool) -> Tensor:
        """Samples `image` at `positions`."""
        ctx.dense = dense
        ctx.fused = ctx.needs_input_grad[1] and not ctx.needs_input_grad[0] and _may_keep_derivatives(image, positions)
        values, slopes = _sampled(image, positions, dense, differentiate=ctx.fused)
        ctx.save_for_backward(*([slopes] if ctx.fused else [image, positions]))
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Returns the gradients of the inputs, in the order of `forward`."""
        if ctx.fused:
            return None, _through_slopes(ctx.saved_tensors[0], gradient), None
        image, positions = (one.contiguous() for one in ctx.saved_tensors)
        gradient = gradient.contiguous()
        spatial = image.shape[2:]
        for_image = torch.zeros_like(image) if ctx.needs_input_grad[0] else None
        for_positions = torch.empty_like(positions) if ctx.needs_input_grad[1] else None
        if not gradient.numel():
            return for_image, for_positions, None
        offsets = corner_offsets(spatial)
        places = Places(spatial, positions[0], ctx.dense, with_inside=for_positions is not None)
        cells = Cells(spatial, image, places.step * (positions.shape[-1] if ctx.dense else 1), differentiate=True)
        for batch in range(image.shape[0]):
            source, upstream = image[batch].flatten(1), gradient[batch].flatten(1)
            for where in places.chunks(positions[batch]):
                if for_image is not None:
                    _scatter(for_image[batch].flatten(1), upstream[:, where], places, offsets)
                if for_positions is not None and places.inside is not None:
                    weighted = cells.gather(source[0], places.lower) * upstream[0, where]
                    for channel in range(1, len(source)):
                        weighted.addcmul_(cells.gather(source[channel], places.lower), upstream[channel, where])
                    slopes = for_positions[batch].flatten(1)[:, where]
                    cells.blend(weighted, places.fractions, torch.empty_like(weighted[0]), slopes)
                    slopes.mul_(places.inside)
        return for_image, for_positions, None


def _scatter(target: Tensor, upstream: Tensor, places: Places, offsets: list[int]) -> None:
    """Adds each sample's gradient (C, N) to the corners it was read from, in `target` (C, voxels)."""
    weights = [torch.ones_like(places.fractions[0])]
    for fraction in reversed(places.fractions.unbind(0)):
        weights = [weight * (1 - fraction) for weight in weights] + [weight * fraction for weight in weights]
    for channel in range(target.shape[0]):
        for offset, weight in zip(offsets, weights, strict=True):
            target[channel, offset:].scatter_add_(0, places.lower, upstream[channel] * weight)
