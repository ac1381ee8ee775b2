"""Warping, composition, inversion and flows of displacement tensors against grid_sample, scipy and closed forms."""

import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
import torch
from torch.nn import functional

from field_samples import by_dimension, inner, linear_field, random_image, smooth_field
from UltrasoundMotionLib import fields
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import linear_sampling


@by_dimension
@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
def test_warping_by_zero_is_the_identity(spatial, mode):
    image = random_image(spatial, channels=2)
    zero = torch.zeros(1, len(spatial), *spatial, dtype=torch.float64)
    assert torch.allclose(fields.warp(image, zero, mode), image, atol=1e-12)


@by_dimension
@pytest.mark.parametrize("padding", ["border", "zeros"])
def test_linear_warp_and_its_derivatives_are_those_of_grid_sample(spatial, padding):
    image = random_image(spatial, channels=3).requires_grad_()
    displacement = (smooth_field(spatial, amplitude=9) + 0.013).requires_grad_()
    mine = fields.warp(image, displacement, padding=padding)
    steps = torch.tensor([2 / (size - 1) for size in spatial[::-1]], dtype=torch.float64)
    theirs = functional.grid_sample(
        image,
        fields.voxel_coordinates(displacement).movedim(1, -1) * steps - 1,
        padding_mode=padding,
        align_corners=True,
    )
    assert torch.allclose(mine, theirs, atol=1e-12)
    weights = torch.rand_like(mine)
    for mine_gradient, their_gradient in zip(
        torch.autograd.grad((mine * weights).sum(), (image, displacement)),
        torch.autograd.grad((theirs * weights).sum(), (image, displacement)),
        strict=True,
    ):
        assert torch.allclose(mine_gradient, their_gradient, atol=1e-10)


@by_dimension
def test_the_path_of_the_gpu_gives_the_same_here(spatial, monkeypatch):
    image, displacement = random_image(spatial, channels=2), smooth_field(spatial, amplitude=9)
    points = torch.from_numpy(np.random.default_rng(13).uniform(-3, 30, (1, 40, len(spatial))))
    calls = (lambda: fields.warp(image, displacement), lambda: fields.points_through(displacement, points))
    here = [call() for call in calls]
    monkeypatch.setattr(linear_sampling, "_prefers_torch", lambda image: True)
    for call, expected in zip(calls, here, strict=True):
        assert torch.allclose(call(), expected, atol=1e-10)


@by_dimension
def test_the_derivative_of_one_channel_is_that_of_several(spatial):
    image, displacement = random_image(spatial), smooth_field(spatial, amplitude=9)
    gradients = []
    for channels in (image, torch.cat([image, torch.zeros_like(image)], dim=1)):
        moved = displacement.clone().requires_grad_()
        gradients.append(torch.autograd.grad(fields.warp(channels, moved).square().sum(), moved)[0])
    assert torch.allclose(*gradients, atol=1e-12)


@by_dimension
@pytest.mark.parametrize(("mode", "order"), [("linear", 1), ("nearest", 0), ("cubic", 3)])
def test_warp_is_scipys_interpolation(spatial, mode, order):
    image, displacement = random_image(spatial), smooth_field(spatial, amplitude=2.2)
    coordinates = fields.voxel_coordinates(displacement)[0].numpy()[::-1]
    expected = scipy.ndimage.map_coordinates(image[0, 0].numpy(), coordinates, order=order, mode="mirror")
    assert np.allclose(fields.warp(image, displacement, mode)[0, 0].numpy(), expected, atol=1e-10)


@by_dimension
def test_warp_is_linear_in_the_image_and_reproduces_affine_images(spatial):
    first, second, displacement = random_image(spatial, seed=1), random_image(spatial, seed=2), smooth_field(spatial)
    for mode in ("linear", "cubic"):
        both = fields.warp(2 * first - 3 * second, displacement, mode)
        assert torch.allclose(
            both, 2 * fields.warp(first, displacement, mode) - 3 * fields.warp(second, displacement, mode), atol=1e-10
        )
    coordinates = fields.voxel_coordinates(torch.zeros_like(displacement))
    ramp = 0.5 + sum((axis + 1) * coordinates[:, axis : axis + 1] for axis in range(len(spatial)))
    moved = 0.5 + sum((axis + 1) * (coordinates + displacement)[:, axis : axis + 1] for axis in range(len(spatial)))
    assert torch.allclose(inner(fields.warp(ramp, displacement)), inner(moved), atol=1e-10)


def test_labels_of_any_integer_type_are_warped_to_the_nearest():
    labels = torch.tensor([[[[0, 1, 2, 3]]]], dtype=torch.uint8).expand(1, 1, 3, 4)
    shift = torch.zeros(1, 2, 3, 4)
    shift[:, 0] = 0.6
    assert fields.warp(labels, shift, "nearest")[0, 0, 0].tolist() == [1, 2, 3, 3]
    assert fields.warp(labels, shift, "nearest", "zeros")[0, 0, 0].tolist() == [1, 2, 3, 0]
    with pytest.raises(InputError, match="use mode 'nearest' for labels"):
        fields.warp(labels, shift)


@by_dimension
def test_half_precision_is_as_good_as_its_numbers(spatial):
    image, displacement = random_image(spatial), smooth_field(spatial)
    half = fields.warp(image.half(), displacement.half())
    assert half.dtype == torch.float16
    assert (half.double() - fields.warp(image, displacement)).abs().max() < 5e-3
    assert (
        fields.integrate_velocity(displacement.half()).double() - fields.integrate_velocity(displacement)
    ).abs().max() < 5e-3


@by_dimension
def test_composition_is_exact_for_affine_fields(spatial):
    dimension = len(spatial)
    generator = np.random.default_rng(3)
    first, second = (generator.normal(0, 0.02, (dimension, dimension)) for _ in range(2))
    b, c = generator.normal(0, 0.3, dimension), generator.normal(0, 0.3, dimension)
    composed = fields.compose(linear_field(first, b, spatial), linear_field(second, c, spatial))
    expected = linear_field(first + second + first @ second, b + c + first @ c, spatial)
    assert torch.allclose(inner(composed), inner(expected), atol=1e-10)


@by_dimension
def test_warping_twice_is_warping_once_by_the_composition(spatial):
    coordinates = fields.voxel_coordinates(torch.zeros(1, len(spatial), *spatial, dtype=torch.float64))
    image = torch.sin(0.4 * coordinates).sum(1, keepdim=True)
    outer, inner_field = smooth_field(spatial, 1.2, seed=4), smooth_field(spatial, 1.2, seed=5)
    twice = fields.warp(fields.warp(image, outer, "cubic"), inner_field, "cubic")
    once = fields.warp(image, fields.compose(outer, inner_field), "cubic")
    other_order = fields.warp(image, fields.compose(inner_field, outer), "cubic")
    assert (twice - once).abs().max() < 0.02
    assert (twice - other_order).abs().max() > 5 * (twice - once).abs().max()


@by_dimension
def test_a_field_composed_with_its_inverse_is_the_identity(spatial):
    displacement = smooth_field(spatial, amplitude=1.0)
    inversion = fields.invert(displacement, tolerance=1e-6)
    assert inversion.maximum_error < 1e-6
    assert fields.compose(displacement, inversion.displacement).abs().max() < 1e-6
    # the other order interpolates the inverse between voxels
    assert fields.compose(inversion.displacement, displacement).abs().max() < 0.06


@by_dimension
def test_the_inverse_reports_how_far_it_is(spatial):
    displacement = smooth_field(spatial, amplitude=3.0)
    started = fields.invert(displacement, iterations=2)
    length = fields.compose(displacement, started.displacement).norm(dim=1)
    assert started.iterations == 2
    assert started.maximum_error == pytest.approx(float(length.max()))
    assert started.mean_error == pytest.approx(float(length.mean()))
    assert started.maximum_error > 10 * fields.invert(displacement, iterations=30, tolerance=0).maximum_error


@by_dimension
def test_the_flow_of_a_linear_velocity_is_the_matrix_exponential(spatial):
    dimension = len(spatial)
    matrix = np.random.default_rng(6).normal(0, 0.05, (dimension, dimension))
    flow = fields.integrate_velocity(linear_field(matrix, np.zeros(dimension), spatial), steps=12)
    expected = linear_field(scipy.linalg.expm(matrix) - np.eye(dimension), np.zeros(dimension), spatial)
    # only the centre is free of what flows in from outside the grid; 2^-12 steps leave an error of first order
    assert (inner(flow, 5) - inner(expected, 5)).abs().max() < 2e-4


@by_dimension
def test_the_flow_backwards_is_the_inverse_and_does_not_fold(spatial):
    velocity = smooth_field(spatial, amplitude=2.0)
    forward, backward = fields.integrate_velocity(velocity), fields.integrate_velocity(-velocity)
    assert fields.compose(forward, backward).abs().max() < 0.12
    assert fields.jacobian_measures(forward).share_nonpositive == 0
    assert torch.equal(fields.integrate_velocity(velocity, steps=0), velocity)
