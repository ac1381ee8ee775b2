"""Local normalised cross-correlation with an explicit derivative.

The similarity of SSMSR (Eq. 2), LT-Net (Eq. 1) and VoxelMorph.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.box_sums import box_sum, window_counts
from UltrasoundMotionLib.similarity.tensor_checks import check_images, check_mask

_FORMS = ("squared", "signed")


class LocalCrossCorrelation:
    """Local normalised cross-correlation of one fixed image with many moving ones.

    The terms of the fixed image alone are computed once. With the covariance c and the variances v_I, v_J over the
    window around a voxel:
        squared form: c^2 / ((v_I + epsilon) (v_J + epsilon)), in [0, 1] (Eq. 2 of SSMSR, Eq. 1 of LT-Net);
        signed form: c / sqrt((v_I + epsilon) (v_J + epsilon)), in [-1, 1].
    The result is the mean over voxels (SSMSR; LT-Net prints the sum). epsilon makes windows without contrast count 0.
    Windows at the border contain the voxels inside the image. Voxels outside the mask are in no window and not in the
    mean.

    Args:
        fixed: (B, C, *spatial), any floating dtype; computed in float32, or float64 if given.
        window: edge length in voxels, 2 or more. An even window of 2 k covers the offsets -k .. k - 1.
        form: "squared" or "signed".
        mask: (B or 1, 1, *spatial); voxels above 0 count.
        epsilon: added to the variances, in squared intensity units; the default suits images in [0, 1].

    Raises:
        InputError: shapes that do not fit, an empty mask, an unknown form, a window below 2.
    """

    def __init__(
        self,
        fixed: Tensor,
        window: int = 9,
        *,
        form: str = "squared",
        mask: Tensor | None = None,
        epsilon: float = 1e-5,
    ) -> None:
        check_images(fixed, fixed, "fixed", "fixed")
        if form not in _FORMS:
            raise InputError(f"form: expected one of {', '.join(_FORMS)}, got {form!r}")
        if window < 2:
            raise InputError(f"window: expected an edge of 2 voxels or more, got {window}")
        self.shape, self.window, self.form, self.epsilon = fixed.shape, int(window), form, float(epsilon)
        self.mask = None if mask is None else check_mask(mask, fixed).to(_working_dtype(fixed))
        self._fixed = fixed if fixed.requires_grad else _WindowedImage(self._flatten(fixed), self)

    def map(self, moving: Tensor) -> Tensor:
        """Returns the correlation at every voxel, (B, C, *spatial); 0 outside the mask. Not differentiable."""
        with torch.no_grad():
            values, _ = _values(self._windowed_fixed(), _WindowedImage(self._checked(moving), self), self)
            return values.reshape(self.shape)

    def __call__(self, moving: Tensor) -> Tensor:
        """Returns the mean correlation as a scalar tensor.

        Differentiable for the moving image, and for the fixed one if it requires a gradient.
        """
        flat = self._checked(moving)
        fixed = self._fixed if isinstance(self._fixed, Tensor) else None
        return _MeanCorrelation.apply(flat, None if fixed is None else self._flatten(fixed), self)

    def with_derivative(self, moving: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the mean correlation, a scalar tensor, and its derivative for the moving image, in its shape.

        The same as calling it and asking PyTorch for the gradient, without a graph.
        """
        with torch.no_grad():
            fixed, windowed = self._windowed_fixed(), _WindowedImage(self._checked(moving), self)
            correlations = _Correlations(fixed, windowed, self)
            derivative = correlations.derivative(windowed, fixed, correlations.per_voxel(1.0))
            return correlations.mean, derivative.reshape(self.shape)

    def _checked(self, moving: Tensor) -> Tensor:
        if not isinstance(moving, Tensor) or moving.shape != self.shape:
            raise InputError(
                f"moving {tuple(getattr(moving, 'shape', ()))} and fixed {tuple(self.shape)} must have the same shape"
            )
        return self._flatten(moving)

    def _flatten(self, image: Tensor) -> Tensor:
        return image.to(_working_dtype(image)).reshape(-1, *image.shape[2:])

    def _windowed_fixed(self) -> _WindowedImage:
        if isinstance(self._fixed, _WindowedImage):
            return self._fixed
        return _WindowedImage(self._flatten(self._fixed.detach()), self)

    def flat_mask(self) -> Tensor | None:
        """Returns the mask of every flattened image, (B * C, *spatial), or None."""
        return None if self.mask is None else self.mask.expand(self.shape).reshape(-1, *self.shape[2:])


def _working_dtype(image: Tensor) -> torch.dtype:
    return torch.promote_types(image.dtype, torch.float32)


class _WindowedImage:
    """An image (N, *spatial) minus its mean, 0 outside the mask, with the mean and variance of every window.

    Subtracting the mean first keeps the difference of squares accurate in float32.
    """

    def __init__(self, image: Tensor, settings: LocalCrossCorrelation) -> None:
        axes = tuple(range(1, image.ndim))
        mask = settings.flat_mask()
        if mask is None:
            self.values = image - image.mean(dim=axes, keepdim=True)
            self.inverse_counts = window_counts(
                tuple(image.shape[1:]), settings.window, image.dtype, image.device
            ).reciprocal()
        else:
            total = mask.sum(dim=axes, keepdim=True)
            inside = torch.where(mask > 0, image, torch.zeros_like(image))
            self.values = torch.where(
                mask > 0, image - inside.sum(dim=axes, keepdim=True) / total, torch.zeros_like(image)
            )
            self.inverse_counts = box_sum(mask, settings.window).clamp_(min=1).reciprocal_()
        sums = box_sum(torch.cat([self.values, self.values.square()]), settings.window)
        self.mean, square = sums.chunk(2)
        self.mean = self.mean.mul_(self.inverse_counts)
        self.variance = (
            square.mul_(self.inverse_counts)
            .addcmul_(self.mean, self.mean, value=-1)
            .clamp_(min=0)
            .add_(settings.epsilon)
        )


def _values(fixed: _WindowedImage, moving: _WindowedImage, settings: LocalCrossCorrelation) -> tuple[Tensor, Tensor]:
    """Returns the correlation, 0 outside the mask, and the covariance, both (N, *spatial)."""
    covariance = (
        box_sum(fixed.values * moving.values, settings.window)
        .mul_(fixed.inverse_counts)
        .addcmul_(fixed.mean, moving.mean, value=-1)
    )
    if settings.form == "squared":
        values = covariance.square().div_(fixed.variance).div_(moving.variance)
    else:
        values = covariance * torch.rsqrt(fixed.variance * moving.variance)
    mask = settings.flat_mask()
    return (values if mask is None else values.mul_(mask)), covariance


class _Correlations:
    """The correlation of two images at every voxel, its mean, and the derivatives of the mean for either image."""

    def __init__(self, fixed: _WindowedImage, moving: _WindowedImage, settings: LocalCrossCorrelation) -> None:
        self._values, self._covariance = _values(fixed, moving, settings)
        self._fixed, self._moving, self._settings = fixed, moving, settings
        self._mask = settings.flat_mask()
        self._count = self._values.numel() if self._mask is None else self._mask.sum()
        self.mean = self._values.sum() / self._count

    def per_voxel(self, gradient: Tensor | float) -> tuple[Tensor, Tensor]:
        """Returns the derivatives of the gradient times the mean for every window's covariance, and, times the variance
        of an image, for that variance.
        """
        fixed, moving = self._fixed, self._moving
        weight = fixed.inverse_counts * (gradient / self._count)
        if self._settings.form == "squared":
            # d/dc of c^2 / (A B) and, for the variance A, -value / A
            for_covariance = self._covariance.mul(2).div_(fixed.variance).div_(moving.variance).mul_(weight)
            for_variance = self._values.neg().mul_(weight)
        else:
            for_covariance = torch.rsqrt(fixed.variance * moving.variance).mul_(weight)
            for_variance = self._values.mul(-0.5).mul_(weight)
        return (for_covariance if self._mask is None else for_covariance.mul_(self._mask)), for_variance

    def derivative(self, this: _WindowedImage, other: _WindowedImage, per_voxel: tuple[Tensor, Tensor]) -> Tensor:
        """Returns the derivative for the image `this`, at the cost of three box sums."""
        for_covariance, for_variance = per_voxel
        twice = for_variance.div(this.variance).mul_(2)
        through_means = (for_covariance * other.mean).addcmul_(twice, this.mean)
        sums = box_sum(torch.cat([for_covariance, twice, through_means]), self._settings.window, adjoint=True)
        cross, own, means = sums.chunk(3)
        derivative = (other.values * cross).addcmul_(this.values, own).sub_(means)
        return derivative if self._mask is None else derivative.mul_(self._mask > 0)


class _MeanCorrelation(torch.autograd.Function):
    """The mean correlation of (moving, fixed or None); its derivative costs three box sums per image, as its value."""

    @staticmethod
    def forward(ctx: Any, moving: Tensor, fixed: Tensor | None, settings: LocalCrossCorrelation) -> Tensor:
        """Computes the mean correlation."""
        windowed_fixed = settings._windowed_fixed() if fixed is None else _WindowedImage(fixed, settings)
        windowed_moving = _WindowedImage(moving, settings)
        correlations = _Correlations(windowed_fixed, windowed_moving, settings)
        ctx.state = (correlations, windowed_fixed, windowed_moving)
        return correlations.mean

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Returns the gradients of the inputs, in the order of `forward`."""
        correlations, fixed, moving = ctx.state
        per_voxel = correlations.per_voxel(gradient)
        results = [
            correlations.derivative(this, other, per_voxel) if wanted else None
            for wanted, this, other in zip(ctx.needs_input_grad[:2], (moving, fixed), (fixed, moving), strict=True)
        ]
        return results[0], results[1], None


def lncc(
    fixed: Tensor,
    moving: Tensor,
    window: int = 9,
    *,
    form: str = "squared",
    mask: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """Computes the mean local normalised cross-correlation of two images, as defined by `LocalCrossCorrelation`.

    Args:
        fixed, moving: (B, C, *spatial).
        window, form, mask, epsilon: as in `LocalCrossCorrelation`. The cost does not depend on the window.

    Returns:
        A scalar tensor, differentiable for both images: 0 to 1 (squared) or -1 to 1 (signed). The loss is its negative.

    Raises:
        InputError: shapes that do not fit, an empty mask, an unknown form, a window below 2.
    """
    check_images(fixed, moving)
    return LocalCrossCorrelation(fixed, window, form=form, mask=mask, epsilon=epsilon)(moving)


def lncc_map(
    fixed: Tensor,
    moving: Tensor,
    window: int = 9,
    *,
    form: str = "squared",
    mask: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """Computes the correlation at every voxel, (B, C, *spatial), 0 outside the mask; not differentiable."""
    check_images(fixed, moving)
    return LocalCrossCorrelation(fixed.detach(), window, form=form, mask=mask, epsilon=epsilon).map(moving)
