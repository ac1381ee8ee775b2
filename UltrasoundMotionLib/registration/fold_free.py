"""A displacement without folds: the flow of a smooth velocity that is fitted to one with folds."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from UltrasoundMotionLib.fields import integrate_velocity, jacobian_determinant
from UltrasoundMotionLib.registration.gaussian_smoothing import smooth

_LEAST = 0.02
"""Least Jacobian determinant: no tissue is squeezed below a fiftieth of its volume."""

_DEVIATIONS = (1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)
_ITERATIONS, _SQUARINGS = 4, 7


def without_folds(displacement: Tensor, spacing: Sequence[float]) -> Tensor:
    """Returns the flow of a stationary velocity that comes near the displacement and folds nowhere.

    The velocity is found by v <- G(v + (u - exp(v))), Arsigny's logarithm (2006) to first order, where G is a Gaussian;
    of the widths from 1 to 8 times the finest voxel size the first is taken that leaves no determinant below 0.02.

    Args:
        displacement: (1, n, *spatial) in voxels, channels (x, y[, z]).
        spacing: of the voxels, (x, y[, z]), in any unit.

    Returns:
        The same shape; of the widest Gaussian where none is enough (`jacobian_measures` tells).
    """
    flow = displacement
    for width in _DEVIATIONS:
        deviations = [width * min(spacing) / one for one in spacing]
        velocity = smooth(displacement, deviations)
        for _ in range(_ITERATIONS):
            velocity = smooth(velocity + (displacement - integrate_velocity(velocity, _SQUARINGS)), deviations)
        flow = integrate_velocity(velocity, _SQUARINGS)
        if bool((jacobian_determinant(flow) >= _LEAST).all()):
            break
    return flow
