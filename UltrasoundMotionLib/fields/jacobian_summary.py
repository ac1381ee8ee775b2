"""What is reported of a field's Jacobian determinant; apart from its computation, so that reading a report needs no
torch.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class JacobianMeasures:
    """Of one field, over all its voxels or those of a mask.

    Attributes:
        mean, std: of the determinant.
        std_log: standard deviation of the natural logarithm of the determinant, determinants clipped to [1e-9, 1e9] (as
            in Learn2Reg's SDlogJ).
        share_nonpositive: share of voxels with a determinant of 0 or below, 0 to 1.
        minimum, maximum: of the determinant.
    """

    mean: float
    std: float
    std_log: float
    share_nonpositive: float
    minimum: float
    maximum: float
