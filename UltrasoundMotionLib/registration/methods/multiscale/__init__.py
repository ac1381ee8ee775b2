"""`multiscale`, `ssmsr`, `ssmsr-early-stopping` and `ssr`: a network for each scale, optimised at test time, gives a
residual field.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from UltrasoundMotionLib.registration.methods.multiscale.settings import (
    EarlyStoppingSettings,
    MultiscaleSettings,
    SsmsrSettings,
    SsrSettings,
)
from UltrasoundMotionLib.registration.methods.voxelmorph import VOXELMORPH
from UltrasoundMotionLib.registration.registry import MethodSetup, registration_method

if TYPE_CHECKING:
    from torch import Tensor

_BYTES = 1500
"""Bytes per voxel of a U-Net and its derivatives: 980 measured in 3D, 1160 in 2D, rounded up."""


@registration_method(
    "multiscale",
    "a U-Net for each scale optimised for the pair: SSMSR with settings that measured better",
    rank=5,
    settings=MultiscaleSettings,
    networks=(VOXELMORPH,),
    bytes_per_voxel=_BYTES,
    use="comparison: `instance`, then a network on top, in minutes",
)
@registration_method(
    "ssmsr",
    "a U-Net for each scale optimised for the pair in 3,500 steps, as published",
    rank=6,
    settings=SsmsrSettings,
    networks=(VOXELMORPH,),
    bytes_per_voxel=_BYTES,
    use="comparison with the paper; hours without a graphics card",
)
@registration_method(
    "ssr",
    "one U-Net optimised for the pair in 3,500 steps, SSMSR's ablation without scales",
    rank=7,
    settings=SsrSettings,
    networks=(VOXELMORPH,),
    bytes_per_voxel=_BYTES,
    use="comparison with the paper; hours without a graphics card",
)
@registration_method(
    "ssmsr-early-stopping",
    "SSMSR whose scales end when their loss no longer falls",
    rank=8,
    settings=EarlyStoppingSettings,
    networks=(VOXELMORPH,),
    bytes_per_voxel=_BYTES,
    use="comparison: the paper's method in minutes",
)
def run_multiscale(setup: MethodSetup) -> Tensor:
    """Returns the displacement (1, n, *spatial) in voxels of the pair's grid; the methods differ in their settings."""
    from UltrasoundMotionLib.registration.methods.multiscale.optimisation import optimise_scales

    settings = setup.settings if setup.weights is None else replace(setup.settings, weights=setup.weights)
    return optimise_scales([setup.pair], settings, setup.report).displacements[0]
