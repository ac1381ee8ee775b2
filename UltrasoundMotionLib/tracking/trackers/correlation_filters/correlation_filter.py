"""The kernelized correlation filter (Henriques et al., TPAMI 2015), batched over landmarks.

Ridge regression over all cyclic shifts of a window has a closed form in the Fourier domain, where a shift is a
multiplication.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class CorrelationFilter:
    """Filters in the Fourier domain, one for each of N landmarks.

    Attributes:
        template: (N, C, H, W // 2 + 1) complex, the features it was learnt from.
        weights: (N, H, W // 2 + 1) complex, the dual coefficients (alpha, Eq. 17).
    """

    template: Tensor
    weights: Tensor

    def blend(self, other: CorrelationFilter, rates: Tensor) -> CorrelationFilter:
        """Moves towards `other` by each landmark's own rate (N,)."""
        return CorrelationFilter(
            torch.lerp(self.template, other.template, rates[:, None, None, None].to(self.template.dtype)),
            torch.lerp(self.weights, other.weights, rates[:, None, None].to(self.weights.dtype)),
        )

    def repeated(self, times: int) -> CorrelationFilter:
        """Repeats each landmark's filter `times` times in a row, to respond to so many windows of it."""
        return CorrelationFilter(
            self.template.repeat_interleave(times, dim=0), self.weights.repeat_interleave(times, dim=0)
        )


def gaussian_correlation(first: Tensor, second: Tensor, sigma: float, size: int) -> Tensor:
    """Computes the Gaussian kernel of `first` with every cyclic shift of `second` (Eq. 31): from (N, C, H, W // 2 + 1)
    to (N, H, W // 2 + 1), all transformed.

    As in the authors' code, the squared distance is divided by the number of features, and negative ones (rounding)
    count as 0.
    """
    shape = (first.shape[2], size)
    cross = torch.fft.irfft2((first * second.conj()).sum(dim=1), s=shape)
    samples = first.shape[1] * shape[0] * shape[1]
    distance = _power(first, size) + _power(second, size) - 2 * cross
    return torch.fft.rfft2(torch.exp(-(distance / samples).clamp(min=0) / sigma**2))


def _power(features: Tensor, size: int) -> Tensor:
    """Computes the squared norm (N, 1, 1) of the features behind their half spectrum (Parseval)."""
    squared = features.real.square() + features.imag.square()
    total = 2 * squared.sum(dim=(1, 2, 3)) - squared[..., 0].sum(dim=(1, 2))
    if size % 2 == 0:
        total = total - squared[..., -1].sum(dim=(1, 2))
    return (total / (features.shape[2] * size))[:, None, None]


def train_filter(features: Tensor, response: Tensor, sigma: float, regularization: float) -> CorrelationFilter:
    """Trains the filter whose response to features (N, C, H, W) is the wanted one (H, W) (Eq. 17)."""
    template = torch.fft.rfft2(features)
    kernel = gaussian_correlation(template, template, sigma, features.shape[-1])
    return CorrelationFilter(template, torch.fft.rfft2(response) / (kernel + regularization))


def respond(learnt: CorrelationFilter, features: Tensor, sigma: float) -> Tensor:
    """Computes the response (N, H, W) to features (N, C, H, W): entry (y, x) stands for a target that has moved by so
    much, wrapped around (Eq. 22).
    """
    size = features.shape[-1]
    kernel = gaussian_correlation(torch.fft.rfft2(features), learnt.template, sigma, size)
    return torch.fft.irfft2(kernel * learnt.weights, s=features.shape[-2:])
