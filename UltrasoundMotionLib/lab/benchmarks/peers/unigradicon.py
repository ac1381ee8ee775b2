"""uniGradICON (Tian et al., MICCAI 2024), a network trained on many organs and modalities, through `unigradicon`."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import MissingPackageError
from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.lab.benchmarks.peers import import_package, peer
from UltrasoundMotionLib.lab.benchmarks.peers.itk_images import itk_image

WEIGHTS = Path("network_weights/unigradicon1.0/Step_2_final.trch")
"""Place of the weights in the working folder, where the package looks for them and would download them to."""
WEIGHTS_ADDRESS = "https://github.com/uncbiag/uniGradICON/releases/download/unigradicon_weights/Step_2_final.trch"
OPTIMISATION_STEPS = 50
"""The default of the package's command."""


@peer("unigradicon", "uniGradICON, the network alone, images prepared as MRI", kind="registration")
@peer(
    "unigradicon-io",
    f"uniGradICON, {OPTIMISATION_STEPS} steps of instance optimisation after the network, the command's default",
    kind="registration",
    settings={"steps": OPTIMISATION_STEPS},
    takes_part=lambda: False,
)
def unigradicon(fixed: Volume, moving: Volume, steps: int | None = None) -> DisplacementField:
    """Registers by uniGradICON; it resamples the images to 175 x 175 x 175 voxels, whatever their spacing.

    Args:
        steps: of instance optimisation; None: none.

    Raises:
        MissingPackageError: `unigradicon` is not installed, or its weights are not there: nothing is downloaded.
    """
    try:
        package, wrapper, itk = (
            import_package(name, "uniGradICON") for name in ("unigradicon", "icon_registration.itk_wrapper", "itk")
        )
    except MissingPackageError as error:
        raise MissingPackageError("comparing with uniGradICON needs it: pip install unigradicon") from error
    if not WEIGHTS.is_file():
        raise MissingPackageError(
            f"comparing with uniGradICON needs its weights: save {WEIGHTS_ADDRESS} as {WEIGHTS} in the working folder"
        )

    with contextlib.redirect_stdout(io.StringIO()):  # it prints its losses
        reference, other = (package.preprocess(itk_image(itk, one), "mri") for one in (fixed, moving))
        to_moving, _ = wrapper.register_pair(package.get_unigradicon(), other, reference, finetune_steps=steps)
        field = itk.transform_to_displacement_field_filter(
            to_moving, reference_image=reference, use_reference_image=True
        )
    return DisplacementField(np.asarray(itk.array_from_image(field), dtype=np.float64), ImageGrid.of(fixed))
