"""Speed of `lncc` compared with the usual implementation by five convolutions, on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class LnccSpeed:
    """Seconds of one forward and backward pass (gradient of the moving image), median over the repeats.

    Attributes:
        ours_seconds, five_convolution_seconds: the two implementations.
        ratio: five_convolution_seconds / ours_seconds.
        value_difference: largest absolute difference of the two maps, away from the border, where windows differ.
        shape, window, threads, device: settings of the measurement.
    """

    ours_seconds: float
    five_convolution_seconds: float
    ratio: float
    value_difference: float
    shape: tuple[int, ...]
    window: int
    threads: int
    device: str


def _five_convolution_lncc(fixed: Tensor, moving: Tensor, window: int, epsilon: float = 1e-5) -> Tensor:
    """Computes the correlation map as VoxelMorph does: five convolutions with a kernel of ones and zero padding.

    Variances and epsilon are per voxel of the window, as in `lncc`, so that both agree away from the border.
    """
    import torch
    from torch.nn import functional

    convolve = functional.conv2d if fixed.ndim == 4 else functional.conv3d
    kernel = torch.ones(1, 1, *[window] * (fixed.ndim - 2), dtype=fixed.dtype, device=fixed.device)
    count = kernel.numel()
    products = (fixed, moving, fixed * fixed, moving * moving, fixed * moving)
    f, m, ff, mm, fm = (convolve(one, kernel, padding=window // 2) / count for one in products)
    return (fm - f * m) ** 2 / ((ff - f * f + epsilon) * (mm - m * m + epsilon))


def measure_lncc_speed(
    shape: tuple[int, ...] = (48, 64, 48), window: int = 9, repeats: int = 7, device: str = "cpu", threads: int = 1
) -> LnccSpeed:
    """Times both on the same random images, alternately, so that other load affects both equally.

    Args:
        shape: (H, W) or (D, H, W).
        window: odd edge length.
        repeats: timed runs of each, after one that is not counted.
        device: a torch device.
        threads: CPU threads for both; restored afterwards.
    """
    import torch

    from UltrasoundMotionLib.similarity.local_cross_correlation import lncc, lncc_map

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        generator = torch.Generator().manual_seed(0)
        fixed, moving = (torch.rand(1, 1, *shape, generator=generator).to(device) for _ in range(2))
        difference = (lncc_map(fixed, moving, window) - _five_convolution_lncc(fixed, moving, window)).abs()
        for axis, size in enumerate(shape, start=2):
            difference = difference.narrow(axis, window // 2, size - 2 * (window // 2))
        candidates: tuple[Callable[[Tensor], Tensor], ...] = (
            lambda image: lncc(fixed, image, window),
            lambda image: _five_convolution_lncc(fixed, image, window).mean(),
        )
        seconds: list[list[float]] = [[], []]
        for _ in range(repeats + 1):
            for candidate, measured in zip(candidates, seconds, strict=True):
                measured.append(_seconds(candidate, moving, device))
        ours, usual = (sorted(measured[1:])[repeats // 2] for measured in seconds)
    finally:
        torch.set_num_threads(before)
    return LnccSpeed(ours, usual, usual / ours, float(difference.max()), tuple(shape), window, threads, device)


def _seconds(similarity: Callable[[Tensor], Tensor], moving: Tensor, device: str) -> float:
    image = moving.clone().requires_grad_()
    _wait(device)
    start = time.perf_counter()
    similarity(image).backward()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)
