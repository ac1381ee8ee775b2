"""ConvexAdam (Siebert, Hansen and Heinrich) through `convexAdam`."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.lab.benchmarks.peers import import_package, peer
from UltrasoundMotionLib.lab.benchmarks.peers.isotropic_copies import on_isotropic_copies


@peer("convexadam", "ConvexAdam, MIND-SSC, the package's defaults", kind="registration")
@on_isotropic_copies
def convex_adam(fixed: Volume, moving: Volume) -> DisplacementField:
    """Registers by ConvexAdam with MIND-SSC features on the CPU.

    Raises:
        MissingPackageError: `convexAdam` is not installed.
    """
    package = import_package("convexAdam.convex_adam_MIND", "convexAdam")
    import torch

    from UltrasoundMotionLib.registration.working_pair import scale_intensities

    images = [torch.from_numpy(scale_intensities(volume.array)) for volume in (fixed, moving)]
    # (D, H, W, 3) in voxels, components (z, y, x)
    voxels = package.convex_adam_pt(*images, device=torch.device("cpu"), dtype=torch.float32)
    channels = torch.from_numpy(np.ascontiguousarray(np.moveaxis(voxels[..., ::-1], -1, 0))).float()
    return DisplacementField.from_voxels(channels, ImageGrid.of(fixed))
