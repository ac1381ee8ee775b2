"""What registering two images gives."""

from __future__ import annotations

from dataclasses import dataclass

from UltrasoundMotionLib.fields import DisplacementField, JacobianMeasures
from UltrasoundMotionLib.images.volume import Volume


@dataclass(frozen=True)
class LabelMeasures:
    """How one label of the moving image lies on the same label of the fixed one, on the fixed grid.

    Attributes:
        dice_before, dice: 0 to 1, by position alone and with the displacement; NaN where neither map has the label.
        hd95_mm: 95th percentile of the distance between the surfaces, with the displacement; infinite where one map
            lacks the label.
    """

    dice_before: float
    dice: float
    hd95_mm: float


@dataclass(frozen=True)
class RegistrationMeasures:
    """How good and how smooth a registration is, and what it cost.

    Attributes:
        lncc_before, lncc: mean squared local cross-correlation (window 5 voxels) of fixed and moving on the working
            grid, 0 to 1.
        mse_before, mse: mean squared difference of the intensities, each image scaled to [0, 1].
        jacobian: of the displacement on the fixed grid.
        labels: per label; empty unless both label maps were given.
        seconds: wall time of the whole call.
        device: where it ran in the end ("cpu", "cuda", ...).
    """

    lncc_before: float
    lncc: float
    mse_before: float
    mse: float
    jacobian: JacobianMeasures
    labels: dict[int, LabelMeasures]
    seconds: float
    device: str


@dataclass(frozen=True, eq=False)
class Registration:
    """The moving image put onto the fixed one.

    Attributes:
        displacement: on the fixed grid, LPS mm: fixed(x) = moving(x + u(x)). It holds the initial transform as well.
        warped: the moving image on the fixed grid, in its own dtype.
        warped_labels: the moving labels on the fixed grid (nearest neighbour), or None.
        measures: similarity, labels, Jacobian, time.
        method: the name of the method.
        notes: what the call did beyond what was asked, a line each: an initial transform it found, a coarser grid,
            another device.
        interrupted: `progress` raised and the best field so far was kept.
    """

    displacement: DisplacementField
    warped: Volume
    warped_labels: Volume | None
    measures: RegistrationMeasures
    method: str
    notes: tuple[str, ...] = ()
    interrupted: bool = False
