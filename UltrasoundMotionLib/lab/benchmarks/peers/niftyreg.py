"""NiftyReg (Modat et al.) through its programs `reg_aladin`, `reg_f3d` and `reg_transform`."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import MissingPackageError
from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.lab.benchmarks.peers import peer
from UltrasoundMotionLib.lab.benchmarks.peers.isotropic_copies import on_isotropic_copies

PROGRAMS = ("reg_aladin", "reg_f3d", "reg_transform")
OPTIONS = "--lncc 5 -be 0.001 -vel"
"""Local normalized cross-correlation (5 voxels), bending energy, stationary velocity: it does not fold."""
PUBLISHED_OPTIONS = "-ln 3 -maxit 500 -sx -5 --lncc 5"
"""Zhu et al., III-B: three scales, local cross-correlation, control points every five voxels, 500 iterations."""


@peer("niftyreg", f"NiftyReg, reg_aladin, then reg_f3d {OPTIONS}", kind="registration", settings={"options": OPTIONS})
@peer(
    "niftyreg-published",
    f"NiftyReg by the settings of Zhu et al., reg_f3d {PUBLISHED_OPTIONS}, no affine",
    kind="registration",
    settings={"options": PUBLISHED_OPTIONS, "affine": False},
    takes_part=lambda: False,
)
@on_isotropic_copies
def niftyreg(fixed: Volume, moving: Volume, options: str = OPTIONS, affine: bool = True) -> DisplacementField:
    """Registers by NiftyReg's B-spline registration, after its affine one unless told otherwise.

    Raises:
        MissingPackageError: its programs are not on the path.
    """
    programs = PROGRAMS if affine else PROGRAMS[1:]
    if missing := [name for name in programs if shutil.which(name) is None]:
        hint = "pip install niftyregw, run niftyregw install, and put its folder (~/.local/bin) on the path"
        raise MissingPackageError(f"comparing with NiftyReg needs {', '.join(missing)}: {hint}")
    import SimpleITK as sitk

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def run(program: str, arguments: str) -> None:
            subprocess.run([program, *arguments.split()], cwd=folder, check=True, capture_output=True)

        for label, one in (("fixed", fixed), ("moving", moving)):
            image = Volume(one.array.astype(np.float32), one.spacing_mm, one.origin_mm, one.direction).to_sitk()
            sitk.WriteImage(image, str(folder / f"{label}.nii.gz"))
        pair = "-ref fixed.nii.gz -flo moving.nii.gz"
        if affine:
            run("reg_aladin", f"{pair} -aff affine.txt -res affine.nii.gz")
            options = f"-aff affine.txt {options}"
        run("reg_f3d", f"{pair} -cpp points.nii.gz -res warped.nii.gz {options}")
        run("reg_transform", "-ref fixed.nii.gz -disp points.nii.gz displacement.nii.gz")
        # its 5D NIfTI holds RAS mm on the fixed grid: (x, y, z, 1, component)
        values = np.squeeze(sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "displacement.nii.gz"))))
    components = values if values.shape[-1] == 3 else np.moveaxis(values, 0, -1)
    return DisplacementField(components * np.array([-1.0, -1.0, 1.0]), ImageGrid.of(fixed))
