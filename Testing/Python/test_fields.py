"""The tensor algebra of displacements: against torch, scipy, SimpleITK and closed forms, in 2D and 3D."""

import functools

import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
import SimpleITK as sitk
import torch
from torch.nn import functional

from UltrasoundMotionLib import fields
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import linear_sampling

SHAPES = [(21, 26), (14, 18, 16)]
by_dimension = pytest.mark.parametrize("spatial", SHAPES, ids=["2D", "3D"])


def smooth_field(spatial, amplitude=1.5, seed=0, dtype=torch.float64):
    """A random field of long waves that stays below `amplitude` voxels and is 0 at the border."""
    generator = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(0, 1, size) for size in spatial], indexing="ij")
    window = np.prod([np.sin(np.pi * axis) for axis in axes], axis=0)
    components = [
        amplitude
        * window
        * np.prod([np.cos(np.pi * generator.uniform(0, 1.5) * axis + generator.uniform(0, 6)) for axis in axes], axis=0)
        for _ in spatial
    ]
    return torch.from_numpy(np.stack(components))[None].to(dtype)


def random_image(spatial, channels=1, seed=1, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng(seed).random((1, channels, *spatial))).to(dtype)


def linear_field(matrix, offset, spatial):
    """u(p) = A (p - centre) + b, components and p in the order (x, y[, z])."""
    coordinates = np.stack(
        np.meshgrid(*[np.arange(size, dtype=float) for size in spatial], indexing="ij")[::-1], axis=-1
    )
    centre = (np.array(spatial[::-1]) - 1) / 2
    return torch.from_numpy(np.moveaxis((coordinates - centre) @ np.asarray(matrix).T + offset, -1, 0))[None]


def inner(tensor, margin=3):
    return tensor[(..., *[slice(margin, -margin)] * (tensor.ndim - 2))]


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


@by_dimension
def test_jacobian_of_affine_and_sinusoidal_fields(spatial):
    dimension = len(spatial)
    matrix = np.random.default_rng(7).normal(0, 0.2, (dimension, dimension))
    determinant = fields.jacobian_determinant(linear_field(matrix, np.ones(dimension), spatial))
    assert torch.allclose(
        determinant, torch.full_like(determinant, np.linalg.det(np.eye(dimension) + matrix)), atol=1e-10
    )
    displacement = torch.zeros(1, dimension, *spatial, dtype=torch.float64)
    x = torch.arange(spatial[-1], dtype=torch.float64)
    displacement[:, 0] = torch.sin(0.3 * x)
    central = 1 + np.sin(0.3) * torch.cos(0.3 * x)  # the central difference of sin(0.3 x) is sin(0.3) cos(0.3 x)
    assert torch.allclose(
        fields.jacobian_determinant(displacement)[..., 1:-1], central.expand(1, *spatial)[..., 1:-1], atol=1e-12
    )


@by_dimension
def test_jacobian_is_simpleitks(spatial):
    displacement = smooth_field(spatial, amplitude=2)
    image = sitk.GetImageFromArray(np.moveaxis(displacement[0].numpy(), 0, -1), isVector=True)
    expected = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(image))
    core = (slice(1, -1),) * len(spatial)  # at the border ITK halves the difference
    assert np.allclose(fields.jacobian_determinant(displacement)[0].numpy()[core], expected[core], atol=1e-5)


def test_jacobian_measures_count_what_the_mask_holds():
    displacement = torch.zeros(1, 2, 8, 10)
    displacement[..., 5:] = -3 * torch.arange(5.0)  # u_x = u_y = -3 (x - 5) for x >= 5
    everything = fields.jacobian_measures(displacement)
    determinant = fields.jacobian_determinant(displacement).double().numpy()
    assert everything.share_nonpositive == pytest.approx((determinant <= 0).mean())
    assert everything.std == pytest.approx(determinant.std())
    assert everything.std_log == pytest.approx(np.log(determinant.clip(1e-9)).std())
    left = torch.zeros(8, 10)
    left[:, :4] = 1
    calm = fields.jacobian_measures(displacement, left)
    assert (calm.share_nonpositive, calm.std, calm.std_log, calm.mean) == (0, 0, 0, 1)
    with pytest.raises(InputError, match="no voxel"):
        fields.jacobian_measures(displacement, left * 0)


@by_dimension
@pytest.mark.parametrize("stride", [1, 4, 5])
def test_exact_bspline_is_simpleitks_transform(spatial, stride):
    dimension = len(spatial)
    shape = fields.control_shape(spatial, stride)
    control = torch.from_numpy(np.random.default_rng(8).normal(size=(1, dimension, *shape)))
    dense = fields.bspline_exact(control, spatial, stride)
    mesh = [points - 3 for points in shape[::-1]]
    transform = sitk.BSplineTransform(dimension, 3)
    transform.SetTransformDomainMeshSize(mesh)
    transform.SetTransformDomainPhysicalDimensions([float(cells * stride) for cells in mesh])
    transform.SetTransformDomainOrigin([0.0] * dimension)
    transform.SetParameters(control[0].numpy().ravel().tolist())
    field = sitk.TransformToDisplacementField(transform, sitk.sitkVectorFloat64, spatial[::-1])
    known = (slice(None), *[slice(0, size - 1) for size in spatial])  # ITK leaves the last voxel of its domain outside
    expected = np.moveaxis(sitk.GetArrayFromImage(field), -1, 0)
    assert np.allclose(dense[0].numpy()[known], expected[known], atol=1e-10)


@by_dimension
def test_pooling_makes_nearly_the_same_spline(spatial):
    for stride, tolerance in ((3, 0.12), (4, 0.08), (6, 0.04)):
        shape = fields.control_shape(spatial, stride)
        control = torch.from_numpy(np.random.default_rng(9).normal(size=(1, len(spatial), *shape)))
        exact, pooled = (
            fields.bspline_exact(control, spatial, stride),
            fields.bspline_by_pooling(control, spatial, stride),
        )
        assert (exact - pooled).abs().max() < tolerance * control.abs().max()
    ones = torch.ones(1, len(spatial), *fields.control_shape(spatial, 4))
    for spline in (fields.bspline_exact, fields.bspline_by_pooling):
        assert torch.allclose(spline(ones, spatial, 4), torch.ones(()), atol=1e-6)


@by_dimension
def test_smoothing_is_average_pooling_and_pooling_a_held_control_grid_is_the_spline(spatial):
    pool = functional.avg_pool2d if len(spatial) == 2 else functional.avg_pool3d
    field = smooth_field(spatial)
    expected = pool(pool(field, 5, 1, 2, count_include_pad=False), 5, 1, 2, count_include_pad=False)
    assert torch.allclose(fields.smooth_by_pooling(field, 5, passes=2), expected, atol=1e-12)
    for stride in (3, 4):
        control = torch.from_numpy(
            np.random.default_rng(14).normal(size=(1, len(spatial), *fields.control_shape(spatial, stride)))
        )
        held = functional.interpolate(control, scale_factor=stride, mode="nearest")
        for _ in range(3):
            held = pool(held, stride, 1)
        held = held[(..., *[slice(1, size + 1) for size in spatial])]
        assert torch.allclose(fields.bspline_by_pooling(control, spatial, stride), held, atol=1e-12)


def test_bspline_takes_a_stride_for_each_axis_and_reproduces_ramps():
    spatial, stride = (9, 20), (4, 6)
    rows, columns = fields.control_shape(spatial, stride)
    ramp = ((torch.arange(columns, dtype=torch.float64) - 1) * 6).expand(1, 2, rows, columns)
    expected = torch.arange(20, dtype=torch.float64).expand(1, 2, 9, 20)
    assert torch.allclose(fields.bspline_exact(ramp, spatial, stride), expected, atol=1e-10)
    assert torch.allclose(fields.bspline_by_pooling(ramp, spatial, stride), expected, atol=1e-10)


@by_dimension
@pytest.mark.parametrize("align_corners", [False, True])
def test_a_resampled_affine_field_is_the_same_mapping(spatial, align_corners):
    dimension = len(spatial)
    finer = tuple(2 * size - 1 if align_corners else 2 * size for size in spatial)
    matrix, offset = np.random.default_rng(10).normal(0, 0.05, (dimension, dimension)), np.arange(1.0, dimension + 1)
    fine = fields.resample_displacement(linear_field(matrix, offset, spatial), finer, align_corners=align_corners)
    assert torch.allclose(inner(fine), inner(linear_field(matrix, 2 * offset, finer)), atol=1e-10)


@by_dimension
def test_points_go_where_the_field_says(spatial):
    dimension = len(spatial)
    generator = np.random.default_rng(11)
    matrix, offset = generator.normal(0, 0.05, (dimension, dimension)), generator.normal(size=dimension)
    points = torch.from_numpy(generator.uniform(0, np.array(spatial[::-1]) - 1, (1, 25, dimension)))
    centre = (np.array(spatial[::-1]) - 1) / 2
    expected = points[0].numpy() + (points[0].numpy() - centre) @ matrix.T + offset
    assert np.allclose(
        fields.points_through(linear_field(matrix, offset, spatial), points)[0].numpy(), expected, atol=1e-10
    )


@pytest.mark.parametrize("spatial", [(4, 5), (3, 4, 3)], ids=["2D", "3D"])
def test_derivatives_are_right(spatial):
    dimension = len(spatial)
    generator = torch.Generator().manual_seed(12)
    image = torch.rand(2, 1, *spatial, generator=generator, dtype=torch.float64).requires_grad_()
    field = (torch.rand(2, dimension, *spatial, generator=generator, dtype=torch.float64) * 0.8 + 0.1).requires_grad_()
    points = (torch.rand(2, 5, dimension, generator=generator, dtype=torch.float64) * 1.9).requires_grad_()
    control = torch.rand(
        1, dimension, *fields.control_shape(spatial, 2), generator=generator, dtype=torch.float64
    ).requires_grad_()
    check = functools.partial(torch.autograd.gradcheck, fast_mode=True)
    assert check(fields.warp, (image, field))
    assert check(lambda i, u: fields.warp(i, u, "cubic"), (image, field))
    assert check(fields.compose, (field, (field.detach() * 0.7).requires_grad_()))
    assert check(lambda v: fields.integrate_velocity(v, 3), (field,))
    assert check(fields.jacobian_determinant, (field,))
    assert check(fields.points_through, (field, points))
    assert check(lambda c: fields.bspline_exact(c, spatial, 2), (control,))
    assert check(lambda c: fields.bspline_by_pooling(c, spatial, 2), (control,))


def test_what_was_cached_in_inference_mode_serves_a_derivative_later():
    spatial = (11, 13)
    control = torch.rand(1, 2, *fields.control_shape(spatial, 3))
    with torch.inference_mode():
        fields.warp(torch.rand(1, 1, *spatial), fields.bspline_exact(control, spatial, 3), "cubic")
    control.requires_grad_()
    fields.warp(torch.rand(1, 1, *spatial), fields.bspline_exact(control, spatial, 3), "cubic").sum().backward()
    assert control.grad.abs().max() > 0


def test_an_axis_of_one_voxel_works():
    image, displacement = torch.rand(1, 1, 1, 5, 6), torch.full((1, 3, 1, 5, 6), 0.5)
    flat = fields.warp(image[:, :, 0], displacement[:, :2, 0])
    assert torch.allclose(fields.warp(image, displacement)[:, :, 0], flat)
    assert torch.allclose(fields.jacobian_determinant(displacement), torch.ones(()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fields.warp(torch.rand(1, 1, 5, 5), torch.rand(1, 3, 5, 5, 5)), r"\(1, 1, 5, 5\).*\(1, 3, 5, 5, 5\)"),
        (lambda: fields.warp(torch.rand(1, 1, 5, 5), torch.rand(1, 3, 5, 5)), r"got \(1, 3, 5, 5\)"),
        (lambda: fields.warp(torch.rand(1, 1, 5, 5), torch.rand(1, 2, 5, 5), "quintic"), "quintic"),
        (lambda: fields.warp(torch.rand(1, 1, 5, 5), torch.zeros(1, 2, 5, 5, dtype=torch.long)), "floating point"),
        *[
            (
                lambda mode=mode: fields.warp(torch.rand(1, 1, 5, 5), torch.full((1, 2, 5, 5), torch.nan), mode),
                "displacement: 50 of 50",
            )
            for mode in ("linear", "nearest", "cubic")
        ],
        (lambda: fields.integrate_velocity(torch.full((1, 3, 5, 5, 5), torch.nan)), "NaN"),
        (lambda: fields.compose(torch.rand(1, 2, 5, 5), torch.rand(1, 2, 5, 6)), r"\(1, 2, 5, 5\).*\(1, 2, 5, 6\)"),
        (lambda: fields.integrate_velocity(torch.rand(1, 2, 5, 5), -1), "-1"),
        (lambda: fields.bspline_exact(torch.rand(1, 2, 5, 5), (20, 20), 4), r"\(8, 8\).*\(5, 5\)"),
        (lambda: fields.bspline_exact(torch.rand(1, 2, 5, 5), (20, 20), 0), "stride"),
        (lambda: fields.smooth_by_pooling(torch.rand(1, 2, 5, 5), 4), "odd"),
        (lambda: fields.resample_displacement(torch.rand(1, 2, 5, 5), (5, 5, 5)), r"\(5, 5, 5\)"),
        (lambda: fields.points_through(torch.rand(1, 2, 5, 5), torch.rand(1, 4, 3)), r"\(1, 4, 3\)"),
        (lambda: fields.check_finite(torch.tensor([1.0, float("nan")]), "velocity"), "velocity: 1 of 2"),
    ],
)
def test_bad_input_is_one_line(call, message):
    with pytest.raises(InputError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@by_dimension
def test_the_gpu_computes_the_same(spatial):
    image, displacement = random_image(spatial, dtype=torch.float32), smooth_field(spatial, dtype=torch.float32)
    control = torch.rand(1, len(spatial), *fields.control_shape(spatial, 4))
    points = torch.rand(1, 9, len(spatial)) * 8
    calls = [
        *[lambda i, u, c, p, mode=mode: fields.warp(i, u, mode) for mode in ("linear", "nearest", "cubic")],
        lambda i, u, c, p: fields.warp(i, u * 9, padding="zeros"),
        lambda i, u, c, p: fields.integrate_velocity(u),
        lambda i, u, c, p: fields.invert(u).displacement,
        lambda i, u, c, p: fields.jacobian_determinant(u),
        lambda i, u, c, p: fields.bspline_exact(c, spatial, 4),
        lambda i, u, c, p: fields.points_through(u, p),
    ]
    arguments = (image, displacement, control, points)
    for call in calls:
        there = call(*[one.cuda() for one in arguments])
        assert torch.allclose(there.cpu(), call(*arguments), atol=1e-4)
    half = fields.warp(image.cuda().half(), displacement.cuda())
    assert (half.float().cpu() - fields.warp(image, displacement)).abs().max() < 5e-3
