"""greedy (Yushkevich et al.) through `picsl_greedy`."""

from __future__ import annotations

import io

import numpy as np

from UltrasoundMotionLib.fields import DisplacementField
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.lab.benchmarks.peers import import_package, peer
from UltrasoundMotionLib.lab.benchmarks.peers.isotropic_copies import on_isotropic_copies

OPTIONS = "-m WNCC 2x2x2 -n 100x100x50 -threads 1 -V 0"


@peer("greedy", f"greedy, {OPTIONS}", kind="registration", settings={"options": OPTIONS})
@on_isotropic_copies
def greedy(fixed: Volume, moving: Volume, options: str = OPTIONS) -> DisplacementField:
    """Registers by greedy's diffeomorphic registration, one thread.

    Raises:
        MissingPackageError: `picsl_greedy` is not installed.
    """
    program, messages = import_package("picsl_greedy", "picsl_greedy").Greedy3D(), io.StringIO()
    images = {
        name: Volume(one.array.astype(np.float32), one.spacing_mm, one.origin_mm, one.direction).to_sitk()
        for name, one in (("fixed", fixed), ("moving", moving))
    }
    program.execute(f"-i fixed moving -o warp {options}", **images, warp=None, out=messages, err=messages)
    return DisplacementField.from_sitk(program["warp"])
