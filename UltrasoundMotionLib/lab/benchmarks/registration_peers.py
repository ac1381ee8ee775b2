"""Registration packages of others behind one call: (fixed, moving) -> displacement on the fixed grid.

Their settings are chosen to do well, not to lose; what we measured when choosing is in Docs. All run on one thread.
They are found in the Python that runs the benchmark: `pip install "ultrasound-motion[benchmark,elastix]"` brings them
all from PyPI. A package that is not installed raises MissingPackageError, which the benchmark shows as a row.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.errors import InputError, MissingPackageError
from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
from UltrasoundMotionLib.images.volume import Volume

LEAST_SLICES = 24
GREEDY_SETTINGS = "-m WNCC 2x2x2 -n 100x100x50 -threads 1 -V 0"
ELASTIX_CONTROL_SPACING_MM = 8.0
SEED = 1


@dataclass(frozen=True)
class RegistrationPeer:
    """A package's registration under the name that tables give it."""

    name: str
    summary: str
    run: Callable[[Volume, Volume], DisplacementField]
    isotropic: bool = False
    """Whether volumes of few slices are given to it as isotropic copies, because it refuses them or cannot work on
    them.
    """

    def register(self, fixed: Volume, moving: Volume) -> DisplacementField:
        """The displacement on the grid of the fixed image.

        Raises:
            MissingPackageError: the package is not installed.
        """
        if not (self.isotropic and min(fixed.array.shape) < LEAST_SLICES):
            return self.run(fixed, moving)
        from UltrasoundMotionLib.lab.benchmarks.registration_datasets import at_spacing

        spacing = (float(np.median(fixed.spacing_mm)),) * fixed.array.ndim
        return self.run(at_spacing(fixed, spacing), at_spacing(moving, spacing)).resample(ImageGrid.of(fixed))


def _missing(package: str, extra: str = "benchmark") -> MissingPackageError:
    return MissingPackageError(f'comparing with {package} needs it: pip install "ultrasound-motion[{extra}]"')


def _greedy(fixed: Volume, moving: Volume) -> DisplacementField:
    try:
        from picsl_greedy import Greedy3D
    except ImportError as error:
        raise _missing("picsl_greedy") from error
    greedy, said = Greedy3D(), io.StringIO()
    images = {"fixed": _float_image(fixed), "moving": _float_image(moving)}
    greedy.execute(f"-i fixed moving -o warp {GREEDY_SETTINGS}", **images, warp=None, out=said, err=said)
    return DisplacementField.from_sitk(greedy["warp"])


def _ants(fixed: Volume, moving: Volume) -> DisplacementField:
    try:
        import ants
    except ImportError as error:
        raise _missing("antspyx") from error
    import SimpleITK as sitk

    def image(volume: Volume):
        return ants.from_numpy(
            np.ascontiguousarray(volume.array.T, dtype=np.float32),
            list(volume.origin_mm),
            list(volume.spacing_mm),
            np.array(volume.direction),
        )

    first, second = image(fixed), image(moving)
    with tempfile.TemporaryDirectory() as folder:
        found = ants.registration(
            first, second, type_of_transform="SyN", random_seed=SEED, outprefix=f"{folder}/found_"
        )
        composed = ants.apply_transforms(first, second, found["fwdtransforms"], compose=f"{folder}/whole_")
        field = sitk.ReadImage(composed, sitk.sitkVectorFloat64)
    return DisplacementField(sitk.GetArrayFromImage(field), ImageGrid.of(fixed))


def _convex_adam(fixed: Volume, moving: Volume) -> DisplacementField:
    try:
        from convexAdam.convex_adam_MIND import convex_adam_pt
    except ImportError as error:
        raise _missing("convexAdam") from error
    import torch

    from UltrasoundMotionLib.registration.working_pair import scale_intensities

    images = [torch.from_numpy(scale_intensities(volume.array)) for volume in (fixed, moving)]
    voxels = convex_adam_pt(
        *images, device=torch.device("cpu"), dtype=torch.float32
    )  # (D, H, W, 3) in voxels, components (z, y, x)
    channels = torch.from_numpy(np.ascontiguousarray(np.moveaxis(voxels[..., ::-1], -1, 0))).float()
    return DisplacementField.from_voxels(channels, ImageGrid.of(fixed))


def _elastix(fixed: Volume, moving: Volume) -> DisplacementField:
    try:
        import itk
    except ImportError as error:
        raise _missing("itk-elastix", "elastix") from error

    def image(volume: Volume):
        made = itk.image_from_array(np.ascontiguousarray(volume.array, dtype=np.float32))
        made.SetSpacing(list(volume.spacing_mm))
        made.SetOrigin(list(volume.origin_mm))
        made.SetDirection(itk.matrix_from_array(np.array(volume.direction)))
        return made

    settings = itk.ParameterObject.New()
    settings.AddParameterMap(settings.GetDefaultParameterMap("affine"))
    settings.AddParameterMap(settings.GetDefaultParameterMap("bspline", 3, ELASTIX_CONTROL_SPACING_MM))
    first, second = image(fixed), image(moving)
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


def _float_image(volume: Volume):
    return Volume(volume.array.astype(np.float32), volume.spacing_mm, volume.origin_mm, volume.direction).to_sitk()


PEERS = (
    RegistrationPeer("ants", "ANTs SyN, antspyx's default (affine, then mutual information)", _ants, isotropic=True),
    RegistrationPeer("greedy", f"greedy, {GREEDY_SETTINGS}", _greedy, isotropic=True),
    RegistrationPeer("convexadam", "ConvexAdam, MIND-SSC, the package's defaults", _convex_adam, isotropic=True),
    RegistrationPeer(
        "elastix",
        f"elastix, affine, then B-splines every {ELASTIX_CONTROL_SPACING_MM:g} mm, the package's defaults",
        _elastix,
        isotropic=True,
    ),
)


def find_registration_peer(name: str) -> RegistrationPeer:
    """The peer of that name.

    Raises:
        InputError: there is none.
    """
    for peer in PEERS:
        if peer.name == name:
            return peer
    raise InputError(f"registration peer {name!r} does not exist; there are {', '.join(peer.name for peer in PEERS)}")
