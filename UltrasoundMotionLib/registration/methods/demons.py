"""`demons`: SimpleITK's diffeomorphic demons on a pyramid, the plain baseline."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import DisplacementField
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.registration.likeness_weights import THICK_SLICES
from UltrasoundMotionLib.registration.registry import MethodSetup, registration_method

if TYPE_CHECKING:
    import SimpleITK as sitk
    from torch import Tensor

    from UltrasoundMotionLib.registration.working_pair import WorkingPair

_HISTOGRAM_LEVELS = 256
_HISTOGRAM_POINTS = 7
ALONG_VOXELS, ACROSS_SLICES = 1.5, 0.5


@dataclass(frozen=True)
class DemonsSettings:
    """Settings of `demons`.

    Attributes:
        scales: how many times coarser than the working grid, from coarse to fine; an axis keeps at least eight voxels.
        iterations: the most of each scale.
        smoothing: standard deviation of the Gaussian on the displacement in voxels, (x, y[, z]); None takes 1.5, and
            0.5 across thick slices.
    """

    scales: tuple[int, ...] = (4, 2, 1)
    iterations: tuple[int, ...] = (100, 100, 100)
    smoothing: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if (
            not self.scales
            or len(self.scales) != len(self.iterations)
            or min(self.scales) < 1
            or min(self.iterations) < 1
        ):
            stages = f"scales {self.scales} and iterations {self.iterations}"
            raise InputError(f"demons: {stages} must have one entry of 1 or more for each scale")


@registration_method(
    "demons",
    "SimpleITK's diffeomorphic demons on a pyramid; the plain baseline",
    rank=4,
    settings=DemonsSettings,
    devices=("cpu",),
    use="a baseline that other toolkits have as well",
)
def run_demons(setup: MethodSetup) -> Tensor:
    """Registers by diffeomorphic demons (Vercauteren et al., NeuroImage 2009), after matching the moving histogram.

    Masks are not used.

    Returns:
        (1, n, *spatial) displacement in voxels of the pair's grid.
    """
    import SimpleITK as sitk

    pair, settings = setup.pair, setup.settings
    fixed, moving = (_image(image, pair) for image in (pair.fixed, pair.moving))
    moving = sitk.HistogramMatching(moving, fixed, _HISTOGRAM_LEVELS, _HISTOGRAM_POINTS)
    smoothing = settings.smoothing or tuple(
        ACROSS_SLICES if step >= THICK_SLICES else ALONG_VOXELS for step in pair.spacing
    )
    if len(smoothing) != pair.grid.dimension:
        raise InputError(f"demons: smoothing needs {pair.grid.dimension} numbers, got {smoothing}")
    total = sum(settings.iterations)
    done = 0
    field: sitk.Image | None = None
    for scale, iterations in zip(settings.scales, settings.iterations, strict=True):
        demons = sitk.DiffeomorphicDemonsRegistrationFilter()
        demons.SetNumberOfIterations(iterations)
        demons.SetStandardDeviations(smoothing)
        coarse = [_shrunk(image, scale) for image in (fixed, moving)]
        start = (
            None
            if field is None
            else sitk.Resample(field, coarse[0], sitk.Transform(), sitk.sitkLinear, 0.0, field.GetPixelID(), True)
        )
        field = demons.Execute(*coarse) if start is None else demons.Execute(*coarse, start)
        done += iterations
        setup.report(done, total, f"scale 1/{scale}", partial(_in_voxels, field, pair))
    assert field is not None  # there is a scale at least
    return _in_voxels(field, pair)


def _image(tensor: Tensor, pair: WorkingPair) -> sitk.Image:
    grid = pair.grid
    return Volume(tensor[0, 0].cpu().numpy(), grid.spacing_mm, grid.origin_mm, grid.direction).to_sitk()


def _shrunk(image: sitk.Image, scale: int) -> sitk.Image:
    import SimpleITK as sitk

    factors = [max(1, min(scale, size // 8)) for size in image.GetSize()]
    if max(factors) == 1:
        return image
    variances = [
        (0.5 * factor * step) ** 2 if factor > 1 else 0.0
        for factor, step in zip(factors, image.GetSpacing(), strict=True)
    ]
    return sitk.Shrink(sitk.DiscreteGaussian(image, variances), factors)


def _in_voxels(field: sitk.Image, pair: WorkingPair) -> Tensor:
    found = DisplacementField.from_sitk(field)
    return (found if found.grid.matches(pair.grid) else found.resample(pair.grid)).to_voxels()
