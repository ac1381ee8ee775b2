"""FireANTs (Jena et al.) through `fireants`."""

from __future__ import annotations

import contextlib
import io
import tempfile

import numpy as np

from UltrasoundMotionLib.errors import MissingPackageError
from UltrasoundMotionLib.fields import DisplacementField
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.lab.benchmarks.peers import import_package, peer
from UltrasoundMotionLib.lab.benchmarks.peers.isotropic_copies import on_isotropic_copies

SCALES = (4, 2, 1)
AFFINE_STEPS = (200, 100, 50)
DEFORMABLE_STEPS = (200, 100, 50)


@peer(
    "fireants",
    "FireANTs, affine, then greedy with local cross-correlation, scales 4, 2, 1 with 200, 100, 50 steps each",
    kind="registration",
)
@on_isotropic_copies
def fireants(fixed: Volume, moving: Volume) -> DisplacementField:
    """Registers by FireANTs' affine and compositive greedy registration on the CPU.

    Raises:
        MissingPackageError: `fireants` is not installed. It pins an old SimpleITK, so that no extra brings it.
    """
    try:
        images, affine, greedy = (
            import_package(f"fireants.{name}", "fireants")
            for name in ("io.image", "registration.affine", "registration.greedy")
        )
    except MissingPackageError as error:
        hint = "pip install --no-deps fireants (with matplotlib, nibabel, pandas, scikit-image and hydra-core)"
        raise MissingPackageError(f"comparing with fireants needs it: {hint}") from error
    import SimpleITK as sitk

    def batch(volume: Volume) -> object:
        scaled = Volume(volume.array.astype(np.float32), volume.spacing_mm, volume.origin_mm, volume.direction)
        image = sitk.RescaleIntensity(scaled.to_sitk(), 0.0, 1.0)
        return images.BatchedImages([images.Image(image, device="cpu")])

    first, second = batch(fixed), batch(moving)
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        tempfile.TemporaryDirectory() as folder,
    ):
        start = affine.AffineRegistration(list(SCALES), list(AFFINE_STEPS), first, second, optimizer_lr=3e-3)
        start.optimize()
        found = greedy.GreedyRegistration(
            list(SCALES),
            list(DEFORMABLE_STEPS),
            first,
            second,
            init_affine=start.get_affine_matrix().detach(),
            cc_kernel_size=5,
            smooth_grad_sigma=1.0,
            smooth_warp_sigma=0.5,
        )
        found.optimize()
        found.save_as_ants_transforms(f"{folder}/warp.nii.gz")
        return DisplacementField.from_sitk(sitk.ReadImage(f"{folder}/warp.nii.gz", sitk.sitkVectorFloat64))
