"""Linear operations along one axis of a grid, as a product with a small matrix: the fastest that CPUs and GPUs do."""

from __future__ import annotations

from torch import Tensor


def product_along(values: Tensor, axis: int, matrix: Tensor) -> Tensor:
    """Multiplies every line of values along an axis by a matrix.

    Args:
        values: of any shape, contiguous.
        axis: from 0.
        matrix: (new size, size of the axis), of the values' dtype.

    Returns:
        The shape of the values with the new size along the axis, contiguous. Differentiable for both.
    """
    size, inner = values.shape[axis], values.shape[axis + 1 :].numel()
    shape = (*values.shape[:axis], matrix.shape[0], *values.shape[axis + 1 :])
    if inner == 1:
        return (values.reshape(-1, size) @ matrix.T).reshape(shape)
    return (matrix @ values.reshape(-1, size, inner)).reshape(shape)
