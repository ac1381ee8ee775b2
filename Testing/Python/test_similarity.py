"""Similarities and penalties against direct computations in float64, scipy, SimpleITK and closed forms."""

import functools
import itertools

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.spatial.distance import cdist
from torch.utils.flop_counter import FlopCounterMode

from UltrasoundMotionLib import similarity
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.box_sums import BLOCK, box_sum
from UltrasoundMotionLib.lab.benchmarks.lncc_speed import measure_lncc_speed

by_dimension = pytest.mark.parametrize("spatial", [(11, 13), (7, 9, 8)], ids=["2D", "3D"])
check_gradient = functools.partial(torch.autograd.gradcheck, fast_mode=True)


def images(spatial, seed=0, dtype=torch.float64, batch=1):
    generator = np.random.default_rng(seed)
    return [torch.from_numpy(generator.random((batch, 1, *spatial))).to(dtype) for _ in range(2)]


def some_mask(spatial, seed=1, share=0.7):
    return torch.from_numpy(np.random.default_rng(seed).random((1, 1, *spatial)) < share)


def direct_lncc(fixed, moving, window, form, mask):
    """The definition, voxel by voxel, in float64, with the sums of the papers (Eq. 2 of SSMSR) and 1e-5 a voxel for
    windows without contrast.
    """
    epsilon = 1e-5
    before, after = window // 2, window - window // 2
    values = np.zeros(fixed.shape)
    for place in np.ndindex(*fixed.shape):
        if mask is not None and not mask[place]:
            continue
        box = tuple(slice(max(0, at - before), at + after) for at in place)
        inside = np.ones(fixed[box].shape, bool) if mask is None else mask[box]
        f, m = fixed[box][inside], moving[box][inside]
        cross = np.sum((f - f.mean()) * (m - m.mean()))
        both = (np.sum((f - f.mean()) ** 2) + f.size * epsilon) * (np.sum((m - m.mean()) ** 2) + f.size * epsilon)
        values[place] = cross**2 / both if form == "squared" else cross / np.sqrt(both)
    return values


@by_dimension
@pytest.mark.parametrize("window", [2, 3, 6, 9])
@pytest.mark.parametrize("form", ["squared", "signed"])
@pytest.mark.parametrize("masked", [False, True])
def test_lncc_is_the_direct_computation(spatial, window, form, masked):
    fixed, moving = images(spatial)
    mask = some_mask(spatial) if masked else None
    plain_mask = None if mask is None else mask[0, 0].numpy()
    expected = direct_lncc(fixed[0, 0].numpy(), moving[0, 0].numpy(), window, form, plain_mask)
    mean = expected.mean() if mask is None else expected[plain_mask].mean()
    # windows of one or two voxels may have no variance at all, which float32 cannot tell from very little
    single = 5e-3 if window == 2 or masked else 1e-4
    for dtype, at_worst, on_average in ((torch.float64, 1e-9, 1e-10), (torch.float32, single, 1e-5)):
        pair = fixed.to(dtype), moving.to(dtype)
        assert (
            np.abs(similarity.lncc_map(*pair, window, form=form, mask=mask)[0, 0].numpy() - expected).max() < at_worst
        )
        assert similarity.lncc(*pair, window, form=form, mask=mask).item() == pytest.approx(mean, abs=on_average)


def test_lncc_in_float32_holds_for_bright_images_of_low_contrast():
    fixed, moving = images((60, 70))
    bright = [900 + 60 * torch.linspace(0, 1, 70, dtype=torch.float64) + one for one in (fixed, moving)]
    exact = similarity.lncc(*bright, 9).item()
    assert similarity.lncc(*[one.float() for one in bright], 9).item() == pytest.approx(exact, abs=2e-4)
    assert similarity.lncc(*[one.float() - 930 for one in bright], 9).item() == pytest.approx(exact, abs=2e-5)


@by_dimension
def test_lncc_sees_through_brightness_and_contrast_but_not_noise(spatial):
    fixed, moving = images(spatial)
    assert similarity.lncc(fixed, 3 * fixed + 2, 5, epsilon=1e-12).item() == pytest.approx(1, abs=1e-8)
    assert similarity.lncc(fixed, -fixed, 5, form="signed", epsilon=1e-12).item() == pytest.approx(-1, abs=1e-8)
    assert similarity.lncc(fixed, moving, 5).item() < 0.2
    assert similarity.lncc(fixed, torch.full_like(fixed, 0.3), 5).item() == 0


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


def test_the_loss_and_the_measure_are_one_number():
    fixed, moving = images((30, 31), dtype=torch.float32)
    loss = -similarity.lncc(fixed, moving.clone().requires_grad_(), 7)
    assert -loss.item() == pytest.approx(similarity.lncc_map(fixed, moving, 7).mean().item(), abs=1e-6)


@pytest.mark.parametrize("window", [1, 2, 5, 40])
@pytest.mark.parametrize("adjoint", [False, True])
def test_box_sums_across_blocks(window, adjoint):
    length = 2 * BLOCK + 37
    values = np.random.default_rng(2).normal(size=(2, length, 3))
    before, after = window // 2, window - 1 - window // 2
    if adjoint:
        before, after = after, before
    expected = np.stack([values[:, max(0, at - before) : at + after + 1].sum(1) for at in range(length)], axis=1)
    tensor = torch.from_numpy(values)
    ours = box_sum(tensor[:, None].transpose(1, 3)[:, :, :, 0].transpose(1, 2), window, adjoint=adjoint)
    # the other axis has 3 voxels, so sum it by hand as well
    wide = np.stack([expected[..., max(0, at - before) : at + after + 1].sum(-1) for at in range(3)], axis=-1)
    assert np.allclose(ours.numpy(), wide, atol=1e-10)
    assert np.allclose(
        box_sum(tensor.transpose(1, 2), window, adjoint=adjoint).transpose(1, 2).numpy(), wide, atol=1e-10
    )


def test_lncc_speed_is_of_two_implementations_that_agree():
    speed = measure_lncc_speed(shape=(24, 20, 22), repeats=1)
    assert speed.value_difference < 1e-3
    assert speed.ratio == speed.five_convolution_seconds / speed.ours_seconds


def operations(measure, fixed, moving):
    """Floating-point operations of the convolutions of a value and its derivative."""
    with FlopCounterMode(display=False) as counter:
        measure(fixed, moving.clone().requires_grad_()).backward()
    return counter.get_total_flops()


def five_convolutions(fixed, moving, window=9):
    """The sums that most implementations need, each a convolution with a kernel of ones."""
    kernel = torch.ones(1, 1, window, window, window)
    products = (fixed, moving, fixed * fixed, moving * moving, fixed * moving)
    return sum(torch.conv3d(product, kernel, padding=window // 2).sum() for product in products)


def test_lncc_needs_a_fifth_of_the_operations_of_five_convolutions_and_no_more_for_a_larger_window():
    fixed, moving = (one.float() for one in images((24, 24, 24)))
    lncc = {window: functools.partial(similarity.lncc, window=window) for window in (3, 9, 21)}
    ours = {window: operations(measure, fixed, moving) for window, measure in lncc.items()}
    usual = operations(five_convolutions, fixed, moving)
    assert ours[3] == ours[9] == ours[21]
    assert 5 * ours[9] <= usual


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


def test_lncc_takes_half_precision_and_autocast():
    fixed, moving = images((20, 24))
    exact = similarity.lncc(fixed, moving, 5).item()
    assert similarity.lncc(fixed.half(), moving.half(), 5).item() == pytest.approx(exact, abs=2e-3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert similarity.lncc(fixed.float(), moving.float(), 5).item() == pytest.approx(exact, abs=1e-5)


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
