"""What makes the optimisation of a field quick, against the exact and slow way."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import (
    ImageGrid,
    integrate_velocity,
    interpolation_cells,
    linear_sampling,
    resample_displacement,
    resampling_adjoint,
    warp,
    warp_with_derivative,
)
from UltrasoundMotionLib.registration.gaussian_smoothing import smooth
from UltrasoundMotionLib.registration.likeness import Likeness
from UltrasoundMotionLib.registration.likeness_weights import LikenessWeights
from UltrasoundMotionLib.registration.methods.instance import InstanceSettings
from UltrasoundMotionLib.registration.methods.instance.velocity import (
    _Adam,
    _loss_and_gradient,
    _of_one_direction,
    leaving,
    optimise_velocity,
    squarings,
)
from UltrasoundMotionLib.registration.working_pair import WorkingPair


def smooth_noise(shape, seed, width):
    return smooth(torch.randn(1, *shape, generator=torch.Generator().manual_seed(seed)), [width] * (len(shape) - 1))


@pytest.mark.parametrize(("strength", "voxels", "least"), [(1, 0.2, 0.99), (8, 1.5, 0.95)])
@pytest.mark.parametrize("symmetric", [True, False])
def test_the_derivative_for_the_velocity_is_nearly_the_exact_one(symmetric, strength, voxels, least):
    fixed, moving = (smooth_noise((1, 24, 28, 20), seed, 2) for seed in (1, 2))
    fixed, moving = ((one - one.min()) / (one.max() - one.min()) for one in (fixed, moving))
    velocity = strength * smooth_noise((3, 12, 14, 10), 3, 2)
    assert voxels < velocity.abs().max() < 2 * voxels
    weights, size = LikenessWeights(mse=2.0), tuple(fixed.shape[2:])
    forward, backward = (
        Likeness(*images, None, weights, (1.0, 1.0, 1.0)) for images in ((fixed, moving), (moving, fixed))
    )
    loss, found = _loss_and_gradient(velocity, (forward, backward) if symmetric else (forward,), 0.5, size)

    exact = velocity.clone().requires_grad_()
    there, back = (resample_displacement(integrate_velocity(sign * exact, squarings(exact)), size) for sign in (1, -1))
    expected = forward.loss(there)
    if symmetric:
        expected = 0.5 * (expected + backward.loss(back))
    expected = expected + 0.5 * leaving(there)
    expected.backward()
    assert loss == pytest.approx(float(expected.detach()), rel=1e-5)
    # updates pass through a Gaussian of this width or more
    passed = [smooth(one, [1.5] * 3).flatten() for one in (found, exact.grad)]
    assert functional.cosine_similarity(*passed, dim=0) > least
    if strength == 1:
        assert passed[0].norm() == pytest.approx(float(passed[1].norm()), rel=0.1)


def test_two_directions_in_turns_are_on_average_both_at_once():
    fixed, moving = (smooth_noise((1, 12, 14, 10), seed, 2).sigmoid() for seed in (1, 2))
    velocity, weights, size = 4 * smooth_noise((3, 6, 7, 5), 3, 1.5), LikenessWeights(mse=2.0), (12, 14, 10)
    forward, backward = (
        Likeness(*images, None, weights, (1.0, 1.0, 1.0)) for images in ((fixed, moving), (moving, fixed))
    )
    loss, gradient = _loss_and_gradient(velocity, (forward, backward), 0.5, size)
    parts = [_of_one_direction(velocity, one, 0.5, size, backward=one is backward) for one in (forward, backward)]
    assert loss == pytest.approx(0.5 * (parts[0][0] + parts[1][0]), rel=1e-5)
    torch.testing.assert_close(0.5 * (parts[0][1] + parts[1][1]), gradient, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("alternating", [False, True])
def test_exchanged_images_are_registered_by_the_inverse(alternating):
    fixed, moving = (smooth_noise((1, 24, 28), seed, 3).mul(4).sigmoid() for seed in (1, 2))
    settings = InstanceSettings(
        scales=(2, 1),
        iterations=(6, 5),
        control_strides=(1, 2),
        alternating=alternating,
        likeness=LikenessWeights(mse=8),
    )
    grid = ImageGrid((24, 28), (1.0, 1.0), (0.0, 0.0), np.eye(2))
    there, back = (
        optimise_velocity(WorkingPair(*images, None, None, grid), settings, lambda *progress: None)
        for images in ((fixed, moving), (moving, fixed))
    )
    assert there.abs().max() > 0.3
    torch.testing.assert_close(there, -back, rtol=0, atol=1e-3)


def test_turns_need_two_directions():
    with pytest.raises(InputError, match="symmetric=True"):
        InstanceSettings(alternating=True, symmetric=False)


def test_smoothing_multiplies_by_no_denormal_number():
    """CPUs take a hundred times longer for them."""
    for size, deviation in ((37, 1.5), (126, 0.84), (128, 3.0)):
        weights = smooth(torch.eye(size)[None, None], (deviation, 0.0))
        assert not ((weights > 0) & (weights < torch.finfo(torch.float32).tiny)).any()
        torch.testing.assert_close(weights.sum(-2), torch.ones(1, 1, size))


@pytest.mark.parametrize(
    ("weights", "spacing"),
    [
        (LikenessWeights(mse=2.0, maps=1.0), (1.0, 1.0, 1.0)),
        (LikenessWeights(maps=0.5), (1.0, 1.0, 6.0)),
        (LikenessWeights(lncc=0.0, mind=1.0), (1.0, 1.0, 6.0)),
        (LikenessWeights(lncc=0.0, mse=1.0), (1.0, 1.0)),
    ],
)
@pytest.mark.parametrize("masked", [False, True])
def test_the_loss_has_its_derivative_and_both_directions_count_alike(weights, spacing, masked):
    shape = (12, 14, 10)[: len(spacing)]
    images = [smooth_noise((1, *shape), seed, 1.5).double() for seed in (1, 2)]
    images = [(one - one.min()) / (one.max() - one.min()) for one in images]
    maps = [torch.cat([one, 1 - one], dim=1).clamp(min=0.4) - 0.4 for one in images]
    masks = [torch.ones_like(one).index_fill(2, torch.arange(3), 0.0) if masked else None for one in images]
    displacement = 1.3 * smooth_noise((len(spacing), *shape), 3, 2).double() / 0.1
    displacement = torch.cat([displacement, -displacement]).clamp(-2.9, 2.9)
    single = [
        Likeness(images[a], images[b], masks[a], weights, spacing, maps=(maps[a], maps[b])) for a, b in ((0, 1), (1, 0))
    ]
    joined = Likeness(
        torch.cat(images),
        torch.cat(images[::-1]),
        torch.cat(masks) if masked else None,
        weights,
        spacing,
        maps=(torch.cat(maps), torch.cat(maps[::-1])),
    )
    parts = [one.loss_and_force(displacement[i : i + 1]) for i, one in enumerate(single)]
    loss, force = joined.loss_and_force(displacement)
    assert float(loss) == pytest.approx(float(parts[0][0] + parts[1][0]) / 2, rel=1e-9)
    torch.testing.assert_close(force, torch.cat([one[1] for one in parts]) / 2, rtol=1e-7, atol=1e-12)
    assert torch.autograd.gradcheck(single[0].loss, displacement[:1].clone().requires_grad_(), fast_mode=True)


def test_channels_are_sampled_with_the_derivative_that_each_has():
    generator = torch.Generator().manual_seed(5)
    image = torch.randn(2, 3, 6, 7, 5, generator=generator, dtype=torch.float64)
    places = torch.randn(2, 3, 6, 7, 5, generator=generator, dtype=torch.float64).requires_grad_()
    upstream = torch.randn(2, 3, 6, 7, 5, generator=generator, dtype=torch.float64)
    sampled = warp(image, places)
    (found,) = torch.autograd.grad((sampled * upstream).sum(), places)
    expected = torch.zeros_like(found)
    for channel in range(3):
        alone = warp(image[:, channel : channel + 1], places)
        torch.testing.assert_close(sampled[:, channel : channel + 1], alone)
        expected += torch.autograd.grad((alone * upstream[:, channel : channel + 1]).sum(), places)[0]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("old", "new"), [((9, 13, 7), (18, 25, 7)), ((20, 11), (7, 30)), ((1, 6, 5), (4, 6, 9))])
def test_fields_are_resampled_as_pytorch_does(old, new, align_corners):
    field = torch.randn(2, len(old), *old, dtype=torch.float64, requires_grad=True)
    found = resample_displacement(field, new, align_corners=align_corners)
    mode = "bilinear" if len(old) == 2 else "trilinear"
    expected = functional.interpolate(field, size=new, mode=mode, align_corners=align_corners)
    for axis, (before, after) in enumerate(zip(old[::-1], new[::-1], strict=True)):
        factor = after / before
        if align_corners:
            factor = (after - 1) / (before - 1) if before > 1 and after > 1 else 1.0
        torch.testing.assert_close(found[:, axis], factor * expected[:, axis], rtol=1e-6, atol=1e-7)
    upstream = torch.randn_like(found)
    (gradient,) = torch.autograd.grad(found, field, upstream)
    assert gradient.shape == field.shape and torch.isfinite(gradient).all()
    step = 1e-3 * torch.randn_like(field)
    change = (resample_displacement(field + step, new, align_corners=align_corners) - found) * upstream
    assert float(change.detach().sum()) == pytest.approx(float((gradient * step).detach().sum()), rel=1e-5, abs=1e-8)


def test_adam_takes_pytorchs_steps():
    generator = torch.Generator().manual_seed(0)
    expected = torch.zeros(4, 5, requires_grad=True)
    theirs, ours = torch.optim.Adam([expected], lr=0.3), _Adam(expected.detach(), 0.3)
    for _ in range(7):
        expected.grad = torch.randn(4, 5, generator=generator)
        found = ours.step(expected.grad)
        theirs.step()
        torch.testing.assert_close(found, expected.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_registering_does_not_load_pytorchs_compiler():
    """It takes as long to import as the rest of a short registration."""
    code = """
import sys
import numpy as np
from UltrasoundMotionLib.registration import register
images = np.random.default_rng(0).random((2, 24, 24)).astype("f4")
register(images[0], images[1], device="cpu", settings={"iterations": (1, 1, 1)})
print([name for name in ("torch._inductor", "torch._dynamo", "sympy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("most_derivatives", [None, 0])
@pytest.mark.parametrize("chunk", [7, 32768])
@pytest.mark.parametrize(("image", "output"), [((6, 7, 5), (4, 3, 9)), ((9, 8), (5, 11)), ((1, 6, 5), (3, 6, 5))])
def test_a_warped_image_comes_with_its_derivative(monkeypatch, image, output, chunk, most_derivatives):
    """Against PyTorch's own sampling and its gradient, with positions inside and outside the image."""
    monkeypatch.setattr(interpolation_cells, "_CHUNK_VOXELS", chunk)
    if most_derivatives is not None:
        monkeypatch.setattr(linear_sampling, "_MOST_DERIVATIVES", most_derivatives)
    generator = torch.Generator().manual_seed(6)
    values = torch.randn(2, 3, *image, generator=generator, dtype=torch.float64)
    displacement = 3 * torch.randn(2, len(image), *output, generator=generator, dtype=torch.float64)
    upstream = torch.randn(2, 3, *output, generator=generator, dtype=torch.float64)
    warped, for_displacement = warp_with_derivative(values, displacement)
    with monkeypatch.context() as patch:
        patch.setattr(linear_sampling, "_prefers_torch", lambda image: True)
        wanted = displacement.clone().requires_grad_()
        expected = warp(values, wanted)
        (gradient,) = torch.autograd.grad((expected * upstream).sum(), wanted)
    torch.testing.assert_close(warped, expected.detach(), rtol=0, atol=1e-12)
    found = for_displacement(upstream)
    torch.testing.assert_close(found, gradient, rtol=0, atol=1e-11)
    assert not (warped.requires_grad or found.requires_grad)


def test_dtypes_that_differ_are_refused():
    with pytest.raises(InputError, match=r"image is torch\.float32 and displacement torch\.float64"):
        warp_with_derivative(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 4, 4, dtype=torch.float64))


@pytest.mark.parametrize(("old", "new"), [((9, 13, 7), (18, 25, 7)), ((20, 11), (7, 30)), ((5, 130), (9, 40))])
def test_resampling_has_its_adjoint(old, new):
    field = torch.randn(2, len(old), *old, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(2, len(old), *new, dtype=torch.float64)
    (expected,) = torch.autograd.grad((resample_displacement(field, new) * upstream).sum(), field)
    torch.testing.assert_close(resampling_adjoint(upstream, old), expected, rtol=0, atol=1e-12)
    assert torch.equal(resampling_adjoint(upstream, new), upstream)
