"""greedy (Yushkevich et al.) through `picsl_greedy`."""

from __future__ import annotations

import io
import tempfile

import numpy as np

from UltrasoundMotionLib.fields import DisplacementField
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.lab.benchmarks.peers import import_package, peer
from UltrasoundMotionLib.lab.benchmarks.peers.isotropic_copies import on_isotropic_copies

OPTIONS = "-m WNCC 2x2x2 -n 100x100x50 -threads 1 -V 0"
AFFINE_OPTIONS = "-a -dof 12 -ia-identity -m NCC 2x2x2 -n 100x50x10 -threads 1 -V 0"
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@peer("greedy", f"greedy, {OPTIONS}", kind="registration", settings={"options": OPTIONS})
@peer(
    "greedy-affine",
    f"greedy, {AFFINE_OPTIONS}, then {OPTIONS}",
    kind="registration",
    settings={"options": OPTIONS, "affine_options": AFFINE_OPTIONS},
)
@on_isotropic_copies
def greedy(
    fixed: Volume, moving: Volume, options: str = OPTIONS, affine_options: str | None = None
) -> DisplacementField:
    """Registers by greedy's diffeomorphic registration, one thread, after its affine one where that has options.

    Raises:
        MissingPackageError: `picsl_greedy` is not installed.
    """
    program, messages = import_package("picsl_greedy", "picsl_greedy").Greedy3D(), io.StringIO()
    images = {
        name: Volume(one.array.astype(np.float32), one.spacing_mm, one.origin_mm, one.direction).to_sitk()
        for name, one in (("fixed", fixed), ("moving", moving))
    }
    if not affine_options:
        program.execute(f"-i fixed moving -o warp {options}", **images, warp=None, out=messages, err=messages)
        return DisplacementField.from_sitk(program["warp"])
    with tempfile.TemporaryDirectory() as folder:
        start = f"{folder}/affine.mat"
        program.execute(f"-i fixed moving {affine_options} -o {start}", **images, out=messages, err=messages)
        program.execute(f"-i fixed moving -it {start} -o warp {options}", warp=None, out=messages, err=messages)
        affine = RAS_TO_LPS @ np.loadtxt(start) @ RAS_TO_LPS
    return _before_affine(DisplacementField.from_sitk(program["warp"]), affine)


def _before_affine(warp: DisplacementField, affine: np.ndarray) -> DisplacementField:
    """Returns x -> affine(x + u(x)) - x: greedy finds its warp under the affine transform that it starts from.

    Args:
        affine: 4 x 4, LPS mm.
    """
    places = warp.grid.points_lps_mm()
    moved = (places + warp.displacement_mm) @ affine[:3, :3].T + affine[:3, 3]
    return DisplacementField(moved - places, warp.grid)
