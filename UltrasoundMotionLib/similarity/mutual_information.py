"""Mutual information with a smooth joint histogram."""

from __future__ import annotations

import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.cubic_sampling import cubic_weights
from UltrasoundMotionLib.similarity.tensor_checks import check_images, check_mask

_FORMS = ("mutual", "normalised")


def mutual_information(
    fixed: Tensor, moving: Tensor, *, bins: int = 32, form: str = "mutual", mask: Tensor | None = None
) -> Tensor:
    """Computes the mutual information from a joint histogram with cubic B-spline Parzen windows.

    Mattes et al., IEEE TMI 2003; here both images have cubic windows, which makes the value symmetric. Each image's
    range inside the mask spans the bins except two at either end, so that no window is cut; the range is a constant for
    the derivative.

    Args:
        fixed, moving: (B, C, *spatial); all batch entries and channels share one histogram.
        bins: bins per image, 6 or more.
        form: "mutual": H(F) + H(M) - H(F, M) in nats, 0 or more; "normalised": (H(F) + H(M)) / H(F, M), 1 to 2
            (Studholme et al., 1999).
        mask: (B or 1, 1, *spatial); voxels above 0 count.

    Returns:
        A scalar tensor, differentiable for both; the loss is its negative.

    Raises:
        InputError: shapes that do not fit, an empty mask, too few bins, an unknown form.
    """
    check_images(fixed, moving)
    if bins < 6:
        raise InputError(f"bins: expected 6 or more, got {bins}")
    if form not in _FORMS:
        raise InputError(f"form: expected one of {', '.join(_FORMS)}, got {form!r}")
    dtype = torch.promote_types(torch.promote_types(fixed.dtype, moving.dtype), torch.float32)
    first, second = fixed.to(dtype).reshape(-1), moving.to(dtype).reshape(-1)
    if mask is not None:
        inside = check_mask(mask, fixed).expand(fixed.shape).reshape(-1)
        first, second = first[inside], second[inside]
    joint = _joint_histogram(first, second, bins) / first.numel()
    joint_entropy, fixed_entropy, moving_entropy = _entropy(joint), _entropy(joint.sum(1)), _entropy(joint.sum(0))
    if form == "mutual":
        return fixed_entropy + moving_entropy - joint_entropy
    return (fixed_entropy + moving_entropy) / joint_entropy


def _joint_histogram(first: Tensor, second: Tensor, bins: int) -> Tensor:
    """Returns the histogram (bins, bins); each voxel adds 1, spread over 4 x 4 bins."""
    first_bin, first_weights = _parzen(first, bins)
    second_bin, second_weights = _parzen(second, bins)
    corner = first_bin * bins + second_bin
    histogram = first.new_zeros(bins * bins)
    for row, row_weight in enumerate(first_weights):
        for column, column_weight in enumerate(second_weights):
            histogram = histogram.index_add(0, corner + (row * bins + column), row_weight * column_weight)
    return histogram.reshape(bins, bins)


def _parzen(values: Tensor, bins: int) -> tuple[Tensor, list[Tensor]]:
    """Returns the first of the four bins of every value, and the weights of the four."""
    low, high = values.detach().min(), values.detach().max()
    width = ((high - low) / (bins - 4)).clamp(min=torch.finfo(values.dtype).tiny)
    position = (values - low) / width + 1.5
    lower = position.detach().floor().clamp(1, bins - 3)
    return lower.long() - 1, cubic_weights(position - lower)


def _entropy(shares: Tensor) -> Tensor:
    return -torch.special.xlogy(shares, shares.clamp(min=torch.finfo(shares.dtype).tiny)).sum()
