"""Local cross-correlation against a direct computation in float64, its derivatives, and what it costs."""

import functools

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from similarity_samples import by_dimension, images, some_mask
from UltrasoundMotionLib import similarity
from UltrasoundMotionLib.fields.box_sums import BLOCK, box_sum
from UltrasoundMotionLib.lab.benchmarks.lncc_speed import measure_lncc_speed


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


def test_lncc_takes_half_precision_and_autocast():
    fixed, moving = images((20, 24))
    exact = similarity.lncc(fixed, moving, 5).item()
    assert similarity.lncc(fixed.half(), moving.half(), 5).item() == pytest.approx(exact, abs=2e-3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert similarity.lncc(fixed.float(), moving.float(), 5).item() == pytest.approx(exact, abs=1e-5)
