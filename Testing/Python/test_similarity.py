"""Similarities and penalties against direct computations in float64, scipy, SimpleITK and closed forms."""

import functools
import itertools

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.spatial.distance import cdist

from similarity_samples import by_dimension, images, some_mask
from UltrasoundMotionLib import similarity
from UltrasoundMotionLib.errors import InputError

check_gradient = functools.partial(torch.autograd.gradcheck, fast_mode=True)


@by_dimension
def test_what_lies_outside_the_mask_does_not_exist(spatial):
    fixed, moving = images(spatial)
    mask = some_mask(spatial)
    spoilt = torch.where(mask, moving, torch.full_like(moving, float("nan"))).requires_grad_()
    calls = {
        "lncc": lambda image: similarity.lncc(fixed, image, 5, mask=mask),
        "mse": lambda image: similarity.mse(fixed, image, mask=mask),
        "mutual information": lambda image: similarity.mutual_information(fixed, image, mask=mask),
        "soft dice": lambda image: similarity.soft_dice(fixed, image, mask=mask),
    }
    for name, call in calls.items():
        assert call(spoilt).item() == pytest.approx(call(moving).item(), abs=1e-12), name
        (gradient,) = torch.autograd.grad(call(spoilt), spoilt)
        assert not gradient[~mask].any() and gradient[mask].abs().max() > 0, name
    displacement = torch.cat([moving] * len(spatial), dim=1)
    nowhere = torch.where(mask, displacement, torch.full_like(displacement, 1e9))
    for penalty in (similarity.diffusion, similarity.bending):
        assert penalty(nowhere, mask=mask).item() == pytest.approx(penalty(displacement, mask=mask).item())
        everywhere = torch.ones_like(mask)
        assert penalty(displacement, mask=everywhere).item() == pytest.approx(penalty(displacement).item())


@pytest.mark.parametrize("spatial", [(5, 6), (4, 5, 4)], ids=["2D", "3D"])
def test_derivatives_are_right(spatial):
    fixed, moving = (one.requires_grad_() for one in images(spatial, batch=2))
    mask = some_mask(spatial)
    for window, form, region in itertools.product((3, 4), ("squared", "signed"), (None, mask)):
        assert check_gradient(
            lambda f, m, w=window, k=form, r=region: similarity.lncc(f, m, w, form=k, mask=r), (fixed, moving)
        )
    reuse = similarity.LocalCrossCorrelation(fixed.detach(), 3, mask=mask)
    assert check_gradient(reuse, (moving,))
    assert check_gradient(lambda f, m: similarity.mse(f, m, mask=mask), (fixed, moving))
    assert check_gradient(lambda f, m: similarity.ngf(f, m, edge=0.1), (fixed, moving))
    assert check_gradient(similarity.soft_dice, (fixed, moving))
    assert check_gradient(similarity.mind, (fixed,))
    displacement = torch.rand(2, len(spatial), *spatial, dtype=torch.float64, requires_grad=True)
    for penalty, region in itertools.product((similarity.diffusion, similarity.bending), (None, mask)):
        assert check_gradient(lambda u, p=penalty, r=region: p(u, mask=r), (displacement,))


@by_dimension
@pytest.mark.parametrize("form", ["mutual", "normalised"])
def test_mutual_information_has_the_right_derivative_while_the_range_stays(spatial, form):
    fixed, moving = images(spatial)
    for image in (fixed, moving):
        image.view(-1)[:2] = torch.tensor([-0.1, 1.1])  # the range, kept out of the derivative
    inner = moving.clone().view(-1)[2:].requires_grad_()

    def of_inner(values):
        return similarity.mutual_information(
            fixed, torch.cat([moving.view(-1)[:2], values]).view_as(moving), bins=12, form=form
        )

    assert check_gradient(of_inner, (inner,))


@by_dimension
def test_ngf_reads_nothing_outside_the_mask(spatial):
    fixed, moving = images(spatial)
    mask = torch.zeros(1, 1, *spatial, dtype=torch.bool)
    mask[(..., *[slice(0, size - 2) for size in spatial])] = True
    spoilt = torch.where(mask, moving, torch.full_like(moving, float("nan"))).requires_grad_()
    value = similarity.ngf(fixed, spoilt, mask=mask)
    assert value.item() == pytest.approx(similarity.ngf(fixed, moving, mask=mask).item(), abs=1e-12)
    (gradient,) = torch.autograd.grad(value, spoilt)
    assert not gradient[~mask].any() and gradient[mask].abs().max() > 0
    scattered = torch.zeros_like(mask)
    scattered[..., ::2] = True
    with pytest.raises(InputError, match="no voxel whose neighbours"):
        similarity.ngf(fixed, moving, mask=scattered)


def test_mutual_information_against_its_histogram():
    fixed, moving = images((40, 45))
    moving = 0.7 * fixed + 0.3 * moving
    bins = 16

    def windows(image):  # (bins, voxels), the cubic B-spline written as a polynomial of the distance
        flat = image.numpy().ravel()
        position = (flat - flat.min()) / (np.ptp(flat) / (bins - 4)) + 1.5
        distance = np.abs(position - np.arange(bins)[:, None])
        near, far = 2 / 3 - distance**2 + distance**3 / 2, (2 - distance) ** 3 / 6
        return np.where(distance < 1, near, np.where(distance < 2, far, 0))

    joint = windows(fixed) @ windows(moving).T / fixed.numel()
    assert joint.sum() == pytest.approx(1)
    product = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    expected = np.sum(joint[joint > 0] * np.log(joint[joint > 0] / product[joint > 0]))
    assert similarity.mutual_information(fixed, moving, bins=bins).item() == pytest.approx(expected, abs=1e-10)
    assert similarity.mutual_information(fixed, moving).item() == pytest.approx(
        similarity.mutual_information(moving, fixed).item()
    )
    inverted, unrelated = (
        similarity.mutual_information(fixed, other, form="normalised").item()
        for other in (1 - fixed, images((40, 45), 9)[0])
    )
    assert inverted > similarity.mutual_information(fixed, moving, form="normalised").item() > unrelated >= 1


@by_dimension
def test_ngf_of_parallel_and_orthogonal_edges(spatial):
    axes = torch.meshgrid(*[torch.arange(size, dtype=torch.float64) for size in spatial], indexing="ij")
    along_x, along_y = axes[-1][None, None], axes[-2][None, None]
    assert similarity.ngf(along_x, -5 * along_x + 2, edge=1e-6).item() == pytest.approx(1)
    assert similarity.ngf(along_x, along_y, edge=1e-6).item() == pytest.approx(0, abs=1e-9)
    spacing = (1.0, 2.0, 2.0)[: len(spatial)]
    diagonal = along_x + along_y
    cosine_squared = 1 / (1 + 0.5**2)  # gradients (1, 0) and (1, 1/2) per mm
    assert similarity.ngf(along_x, diagonal, spacing_mm=spacing, edge=1e-6).item() == pytest.approx(cosine_squared)


def direct_mind(image, radius, dilation):
    """MIND-SSC by loops over patches, border voxels repeated for the neighbours, patches cut at the border."""
    dimension = image.ndim
    padded = np.pad(image, dilation, mode="edge")

    def moved(axis, sign):
        starts = [dilation + (sign * dilation if one == axis else 0) for one in range(dimension)]
        return padded[tuple(slice(start, start + size) for start, size in zip(starts, image.shape, strict=True))]

    channels = []
    for first, second in itertools.combinations(range(dimension), 2):
        for one, other in itertools.product((-1, 1), repeat=2):
            squared = (moved(first, one) - moved(second, other)) ** 2
            mean = np.zeros_like(image)
            for place in np.ndindex(*image.shape):
                mean[place] = squared[tuple(slice(max(0, at - radius), at + radius + 1) for at in place)].mean()
            channels.append(mean)
    distances = np.stack(channels)
    distances -= distances.min(0)
    variance = distances.mean(0)
    return np.exp(-distances / np.clip(variance, variance.mean() * 0.001, variance.mean() * 1000))


@by_dimension
def test_mind_is_the_direct_computation_and_blind_to_modality(spatial):
    image = images(spatial)[0]
    features = similarity.mind(image)
    assert features.shape[1] == similarity.mind_channels(len(spatial)) == {2: 4, 3: 12}[len(spatial)]
    assert np.allclose(features[0].numpy(), direct_mind(image[0, 0].numpy(), 1, 2), atol=1e-10)
    assert torch.allclose(similarity.mind(5 - 3 * image), features, atol=1e-10)


def test_dice_counts_voxels():
    fixed = torch.tensor([[0, 1, 1, 2, 2, 2]])
    moving = torch.tensor([[0, 1, 0, 2, 2, 3]])
    assert similarity.dice(fixed, moving) == {1: 2 / 3, 2: 4 / 5, 3: 0}
    assert similarity.dice(fixed, moving, mask=torch.tensor([[1, 1, 0, 1, 1, 0]])) == {1: 1, 2: 1}
    absent = similarity.dice(fixed, moving, labels=[1, 7])
    assert list(absent) == [1, 7] and np.isnan(absent[7])
    as_image = [one.view(1, 1, 2, 3) for one in (fixed, moving)]
    soft = similarity.soft_dice(*[similarity.one_hot(one, [1, 2, 3], torch.float64) for one in as_image]).item()
    assert soft == pytest.approx(np.mean([2 / 3, 4 / 5, 0]), abs=1e-5)


@by_dimension
def test_penalties_on_known_fields(spatial):
    dimension = len(spatial)
    axes = torch.meshgrid(*[torch.arange(size, dtype=torch.float64) for size in spatial], indexing="ij")
    ramp = torch.zeros(1, dimension, *spatial, dtype=torch.float64)
    ramp[:, 0] = 0.5 * axes[-1]
    steps = (spatial[-1] - 1) / spatial[-1]  # the last voxel of a row has no next one
    assert similarity.diffusion(ramp).item() == pytest.approx(0.25 * steps)
    assert similarity.diffusion(ramp, reduction="sum").item() == pytest.approx(0.25 * steps * np.prod(spatial))
    assert similarity.diffusion(ramp, reduction="voxelmorph").item() == pytest.approx(0.25 * steps / dimension**2)
    assert similarity.diffusion(ramp + 3).item() == pytest.approx(similarity.diffusion(ramp).item())
    assert similarity.bending(ramp).item() == pytest.approx(0, abs=1e-20)
    curved = torch.zeros_like(ramp)
    curved[:, 1] = axes[-1] ** 2 + axes[-1] * axes[-2]
    width, height = spatial[-1], spatial[-2]
    expected = 4 * (width - 2) / width + 2 * (width - 1) * (height - 1) / (
        width * height
    )  # second derivatives 2, and 1 twice
    assert similarity.bending(curved).item() == pytest.approx(expected)


@by_dimension
def test_surface_distance_is_the_direct_computation(spatial):
    generator = np.random.default_rng(3)
    spacing = (0.7, 1.5, 2.2)[: len(spatial)]
    grids = np.stack(np.meshgrid(*[np.arange(size) for size in spatial], indexing="ij"), axis=-1)
    centres = np.array(spatial) / 2 + generator.normal(0, 0.7, (2, len(spatial)))
    first, second = (
        np.linalg.norm(grids - centre, axis=-1) < radius for centre, radius in zip(centres, (3.2, 2.6), strict=True)
    )

    def surface(mask):  # voxels with a face neighbour outside
        inside = np.pad(mask, 1)
        core = np.ones_like(mask)
        for axis, shift in itertools.product(range(mask.ndim), (-1, 1)):
            core &= np.roll(inside, shift, axis)[(slice(1, -1),) * mask.ndim]
        return np.argwhere(mask & ~core) * np.array(spacing[::-1])

    between = cdist(surface(first), surface(second))
    result = similarity.surface_distance(first.astype(np.uint8), second.astype(np.uint8), spacing)[1]
    there, back = between.min(1), between.min(0)
    assert result.hd95_mm == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)))
    assert result.mean_mm == pytest.approx(np.concatenate([there, back]).mean())
    hausdorff = sitk.HausdorffDistanceImageFilter()
    pair = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (first, second)]
    for image in pair:
        image.SetSpacing(spacing)
    hausdorff.Execute(*pair)
    assert result.hausdorff_mm == pytest.approx(max(there.max(), back.max()))
    assert (
        hausdorff.GetHausdorffDistance() <= result.hausdorff_mm + 1e-6
    )  # ITK measures from all voxels, not only the surface's
    alone = similarity.surface_distance(first, np.zeros_like(first), spacing, labels=[1, 2])
    assert np.isinf(alone[1].hd95_mm) and np.isnan(alone[2].hd95_mm)


def test_what_was_cached_in_inference_mode_serves_a_derivative_later():
    fixed, moving = images((17, 23), dtype=torch.float32)
    with torch.inference_mode():
        similarity.mind(fixed, radius=2)
        similarity.lncc(fixed, moving, 7)
    moving.requires_grad_()
    (similarity.mind(moving, radius=2).mean() + similarity.lncc(fixed, moving, 7)).backward()
    assert moving.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a, b: similarity.lncc(a, b[..., :-1]), r"\(1, 1, 8, 9\).*\(1, 1, 8, 8\)"),
        (lambda a, b: similarity.lncc(a, b, 1), "window"),
        (lambda a, b: similarity.lncc(a, b, form="cubed"), "cubed"),
        (lambda a, b: similarity.lncc(a, b, mask=torch.zeros(1, 1, 8, 9)), "no voxel"),
        (lambda a, b: similarity.mse(a, b, mask=torch.ones(1, 1, 8, 8)), r"\(1, 1, 8, 8\)"),
        (lambda a, b: similarity.mse(a, b.long()), "moving: expected a floating point"),
        (lambda a, b: similarity.mutual_information(a, b, bins=3), "bins"),
        (lambda a, b: similarity.ngf(a, b, spacing_mm=(1, 1, 1)), "spacing_mm"),
        (lambda a, b: similarity.mind(torch.cat([a, b], 1)), r"\(1, 2, 8, 9\)"),
        (lambda a, b: similarity.diffusion(a, reduction="median"), "median"),
        (lambda a, b: similarity.dice(a, b[..., :-1]), r"\(1, 1, 8, 8\)"),
        (lambda a, b: similarity.surface_distance(np.ones((4, 4)), np.ones((4, 4)), (1.0,)), "spacing_mm"),
    ],
)
def test_bad_input_is_one_line(call, message):
    fixed, moving = images((8, 9))
    with pytest.raises(InputError, match=message) as raised:
        call(fixed, moving)
    assert "\n" not in str(raised.value)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@by_dimension
def test_the_gpu_computes_the_same(spatial):
    fixed, moving = images(spatial, dtype=torch.float32)
    mask = some_mask(spatial)
    displacement = torch.cat([moving] * len(spatial), dim=1)
    calls = [
        lambda f, m, r, u: similarity.lncc(f, m, 5, mask=r),
        lambda f, m, r, u: similarity.mutual_information(f, m, mask=r),
        lambda f, m, r, u: similarity.ngf(f, m, mask=r),
        lambda f, m, r, u: similarity.mind(f).mean(),
        lambda f, m, r, u: similarity.diffusion(u) + similarity.bending(u, mask=r),
    ]
    for call in calls:
        here = (fixed, moving, mask, displacement)
        assert call(*[one.cuda() for one in here]).item() == pytest.approx(call(*here).item(), abs=1e-4)
