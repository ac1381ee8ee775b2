"""elastix (Klein et al.) through `itk-elastix`."""

from __future__ import annotations

import tempfile

import numpy as np

from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.lab.benchmarks.peers import import_package, peer
from UltrasoundMotionLib.lab.benchmarks.peers.isotropic_copies import on_isotropic_copies
from UltrasoundMotionLib.lab.benchmarks.peers.itk_images import itk_image

CONTROL_SPACING_MM = 8.0


@peer(
    "elastix",
    f"elastix, affine, then B-splines every {CONTROL_SPACING_MM:g} mm, the package's defaults",
    kind="registration",
    settings={"control_spacing_mm": CONTROL_SPACING_MM},
)
@on_isotropic_copies
def elastix(fixed: Volume, moving: Volume, control_spacing_mm: float = CONTROL_SPACING_MM) -> DisplacementField:
    """Registers by elastix, affine and B-splines, one thread.

    Raises:
        MissingPackageError: `itk-elastix` is not installed.
    """
    itk = import_package("itk", "itk-elastix", extra="elastix")
    settings = itk.ParameterObject.New()
    settings.AddParameterMap(settings.GetDefaultParameterMap("affine"))
    settings.AddParameterMap(settings.GetDefaultParameterMap("bspline", 3, control_spacing_mm))
    first, second = itk_image(itk, fixed), itk_image(itk, moving)
    method = itk.ElastixRegistrationMethod.New(first, second)
    method.SetParameterObject(settings)
    method.SetNumberOfThreads(1)
    method.SetLogToConsole(False)
    with tempfile.TemporaryDirectory() as folder:
        method.SetOutputDirectory(folder)
        method.UpdateLargestPossibleRegion()
        carried = itk.TransformixFilter.New(second)
        carried.SetTransformParameterObject(method.GetTransformParameterObject())
        carried.SetComputeDeformationField(True)
        carried.SetOutputDirectory(folder)
        carried.UpdateLargestPossibleRegion()
        field = itk.array_from_image(carried.GetOutputDeformationField()).astype(np.float64)
    return DisplacementField(field, ImageGrid.of(fixed))
