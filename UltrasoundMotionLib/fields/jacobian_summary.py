"""The reported measures of a Jacobian determinant; kept apart from their computation, which needs torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class JacobianMeasures:
    """Measures of one field's Jacobian determinant, over all voxels or those of a mask.

    Attributes:
        mean, std: of the determinant.
        std_log: standard deviation of the natural logarithm of the determinant, determinants clipped to [1e-9, 1e9].
        sdlogj_learn2reg: the same as the challenge Learn2Reg computes it: 3 is added to the determinant first, and the
            two voxels next to each border do not count. Much smaller than `std_log`; NaN where nothing is left.
        share_nonpositive: share of voxels with a determinant of 0 or below, 0 to 1.
        minimum, maximum: of the determinant.
    """

    mean: float
    std: float
    std_log: float
    sdlogj_learn2reg: float
    share_nonpositive: float
    minimum: float
    maximum: float
