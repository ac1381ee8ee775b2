"""Registration against known deformations, on any geometry, and with bad input."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.ndimage import gaussian_filter, shift

from known_deformations import bump_field, texture
from UltrasoundMotionLib.errors import Cancelled, InputError
from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.registration import DemonsConfig, InstanceConfig, available_methods, register
from UltrasoundMotionLib.registration.methods.instance.velocity import leaving

torch.set_num_threads(1)

QUICK = InstanceConfig(iterations=(20, 20, 15))
BRIEF = InstanceConfig(iterations=(4, 4, 3))  # where only what is the same matters


def oblique():
    """A rotation about a skewed axis."""
    transform = sitk.VersorTransform((0.6, 0.3, 0.74), 0.5)
    return np.reshape(transform.GetMatrix(), (3, 3))


def pair_with_truth(shape, spacing, direction, amplitude_mm, width_mm):
    """Fixed = moving through the true field; their grids differ by half a voxel."""
    dimension = len(shape)
    moving = Volume(texture(shape), spacing, (5.0, -20.0, 30.0)[:dimension], direction)
    shifted = tuple(moving.origin_mm + direction @ (0.5 * np.array(spacing)))
    grid = ImageGrid(tuple(size - 1 for size in shape), spacing, shifted, direction)
    truth = bump_field(grid, amplitude_mm, width_mm)
    return truth.warp(moving, mode="cubic"), moving, truth


def inner_error_mm(found, truth, margin=4):
    """Mean length of the difference, away from the border."""
    inner = tuple(slice(margin, -margin) for _ in range(found.grid.dimension))
    return float(np.linalg.norm(found.displacement_mm - truth.displacement_mm, axis=-1)[inner].mean())


@pytest.mark.parametrize(
    ("shape", "spacing", "direction", "amplitude", "width"),
    [
        ((28, 30, 32), (1.0, 1.0, 1.0), np.eye(3), (1.5, -2.0, 1.0), 7.0),
        ((20, 32, 36), (0.7, 0.9, 1.6), oblique(), (1.2, -1.5, 1.0), 6.0),
        ((64, 72), (0.5, 0.8), np.array([[0.8, -0.6], [0.6, 0.8]]), (1.5, -2.0), 8.0),
    ],
    ids=["isotropic", "oblique-anisotropic", "2d"],
)
def test_instance_finds_an_analytic_deformation(shape, spacing, direction, amplitude, width):
    fixed, moving, truth = pair_with_truth(shape, spacing, direction, amplitude, width)
    result = register(fixed, moving, config=QUICK)
    still = DisplacementField.zero(truth.grid)
    assert result.displacement.grid.matches(truth.grid)
    assert inner_error_mm(result.displacement, truth) < 0.2 * inner_error_mm(still, truth)
    assert result.measures.lncc > max(0.9, result.measures.lncc_before)
    assert result.measures.jacobian.share_nonpositive == 0
    # what is reported belongs together: the warped image is what ITK makes of the field
    by_itk = sitk.Resample(
        moving.to_sitk(),
        fixed.to_sitk(),
        result.displacement.to_sitk_transform(),
        sitk.sitkLinear,
        float(moving.array.min()),
    )
    np.testing.assert_allclose(result.warped.array, sitk.GetArrayFromImage(by_itk), atol=1e-5)


def test_thick_slices_are_registered_within_themselves_and_across():
    fixed, moving, truth = pair_with_truth((9, 48, 48), (1.4, 1.4, 8.0), np.eye(3), (4.0, -5.0, 0.0), 14.0)
    result = register(fixed, moving, config=QUICK)
    assert inner_error_mm(result.displacement, truth, margin=1) < 0.3 * inner_error_mm(
        DisplacementField.zero(truth.grid), truth, margin=1
    )


def test_leaving_the_image_is_the_mean_squared_way_beyond_its_outermost_voxels():
    displacement = torch.zeros(1, 2, 4, 5)
    displacement[0, 0, 1, 0] = -2.0  # two columns before the first
    displacement[0, 1, 3, 2] = 0.5  # half a row behind the last
    displacement[0, 0, 2, 1] = 3.0  # to the last column: inside
    assert float(leaving(displacement)) == pytest.approx((2.0**2 + 0.5**2) / 20)


def test_within_one_scan_no_point_is_taken_from_beyond_the_slices():
    """The moving image has moved by most of a slice out of the stack: what would bring it back lies outside."""
    grid = ImageGrid((9, 40, 40), (1.4, 1.4, 8.0), (0.0, 0.0, 0.0), np.eye(3))
    high = Volume(gaussian_filter(texture((17, 40, 40)), (2.0, 0, 0)), (1.4, 1.4, 4.0), (0.0, 0.0, -4.0), np.eye(3))
    fixed = DisplacementField.zero(grid).warp(high)
    moving = DisplacementField(np.broadcast_to([0.0, 0.0, 4.0], (*grid.shape, 3)).copy(), grid).warp(high)
    beyond = []
    for weight in (0.0, 10.0):
        config = replace(InstanceConfig.for_same_scan(), iterations=(20, 20, 15), staying_inside=weight)
        reached = register(fixed, moving, config=config, initial_transform=None).displacement.to_voxels()
        beyond.append(float(leaving(reached)))
    assert beyond[1] < 0.3 * beyond[0]


def test_demons_brings_images_closer():
    fixed, moving, truth = pair_with_truth((28, 30, 32), (1.0, 1.0, 1.0), np.eye(3), (1.5, -2.0, 1.0), 7.0)
    result = register(fixed, moving, method="demons", config=DemonsConfig(iterations=(30, 30, 30)))
    assert inner_error_mm(result.displacement, truth) < 0.5 * inner_error_mm(DisplacementField.zero(truth.grid), truth)


def test_a_deterministic_field_does_not_depend_on_the_number_of_threads(monkeypatch):
    fixed, moving, _ = pair_with_truth((18, 22, 20), (1.0, 1.2, 1.5), np.eye(3), (1.5, -1.0, 0.5), 6.0)
    before = torch.get_num_threads()
    try:
        fields = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found = register(fixed, moving, config=BRIEF, deterministic=True)
            assert (found.measures.threads, torch.get_num_threads()) == (1, threads)
            fields.append(found.displacement.displacement_mm)
        np.testing.assert_array_equal(*fields)
        monkeypatch.setattr("UltrasoundMotionLib.device._idle_cores", lambda: 0.3)
        demons = {"method": "demons", "config": DemonsConfig(iterations=(2, 2, 2))}
        assert register(fixed, moving, **demons).measures.threads == 1  # the other cores are busy
        two = register(fixed, moving, **demons, threads=2)
        assert two.measures.threads == 2
        assert "computed on 2 threads" in " ".join(two.notes)
    finally:
        torch.set_num_threads(before)


def test_labels_are_carried_and_measured():
    fixed, moving, truth = pair_with_truth((28, 30, 32), (1.0, 1.0, 1.0), np.eye(3), (2.0, -2.0, 2.0), 7.0)
    position = np.indices(moving.array.shape)
    ball = (((position - np.array([14, 15, 16])[:, None, None, None]) ** 2).sum(axis=0) < 49).astype(np.uint8) * 3
    moving_labels = Volume(ball, moving.spacing_mm, moving.origin_mm, moving.direction)
    fixed_labels = truth.warp(moving_labels, mode="nearest")
    given = {"fixed_labels": fixed_labels.to_sitk(), "moving_labels": moving_labels}
    result = register(fixed.to_sitk(), moving.to_sitk(), **given, config=QUICK)
    measured = result.measures.labels[3]
    overlap = 2 * np.logical_and(result.warped_labels.array == 3, fixed_labels.array == 3).sum()
    assert measured.dice == pytest.approx(
        overlap / ((result.warped_labels.array == 3).sum() + (fixed_labels.array == 3).sum())
    )
    assert measured.dice > 0.93 > measured.dice_before
    assert measured.hd95_mm <= 1.5
    fields = [register(fixed, moving, **labels, config=BRIEF).displacement.displacement_mm for labels in ({}, given)]
    assert np.abs(fields[0]).max() > 0.5
    np.testing.assert_array_equal(*fields)  # labels never steer


def test_images_far_apart_get_a_rigid_start_and_the_field_holds_it():
    array = texture((30, 32, 34))
    far = sitk.Euler3DTransform((0, 0, 0), 0.1, -0.05, 0.15, (200.0, -100.0, 50.0))
    window = gaussian_filter(np.pad(np.ones((18, 20, 22)), 6), 2.0).astype(np.float32)  # dark around, as scans are
    fixed = Volume(array * window, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3))
    moved = np.reshape(far.GetMatrix(), (3, 3))
    moving = Volume(fixed.array, fixed.spacing_mm, far.TransformPoint((0.0, 0.0, 0.0)), moved)
    with pytest.raises(InputError, match="do not overlap"):
        register(fixed, moving, initial_transform=None)
    result = register(fixed, moving, config=InstanceConfig(iterations=(10, 10, 5)))
    assert any("rigid start" in note for note in result.notes)
    truth = DisplacementField.from_sitk_transform(far, result.displacement.grid)
    assert inner_error_mm(result.displacement, truth, margin=8) < 0.5
    given = register(fixed, moving, initial_transform=far, config=InstanceConfig(iterations=(5, 5, 5)))
    assert inner_error_mm(given.displacement, truth, margin=8) < 0.1


def test_flat_padding_changes_nothing_inside():
    fixed, moving, _ = pair_with_truth((24, 24, 24), (1.0, 1.0, 1.0), np.eye(3), (1.0, 1.0, 1.0), 6.0)
    moving = DisplacementField.zero(ImageGrid.of(fixed)).warp(moving)
    padded = [
        Volume(np.pad(v.array, 8), v.spacing_mm, tuple(np.array(v.origin_mm) - 8), v.direction) for v in (fixed, moving)
    ]
    everywhere = Volume(
        np.ones(padded[0].array.shape, np.uint8), padded[0].spacing_mm, padded[0].origin_mm, padded[0].direction
    )
    result = register(*padded, fixed_mask=everywhere, config=BRIEF)
    assert result.displacement.grid.shape == (39, 39, 39)
    inside = result.displacement.displacement_mm
    assert np.linalg.norm(inside[5, 20, 20]) > 0
    np.testing.assert_array_equal(
        inside[0, 20, 20], inside[5, 20, 20]
    )  # beyond the content the border's displacement continues


@pytest.mark.slow
def test_masks_keep_what_lies_outside_them_from_counting():
    fixed, moving, truth = pair_with_truth((24, 32, 32), (1.0, 1.0, 1.0), np.eye(3), (0.0, 2.0, 0.0), 7.0)
    spoiled = fixed.array.copy()
    spoiled[:, :, 24:] = texture(spoiled[:, :, 24:].shape, seed=9)
    inside = np.ones(fixed.array.shape, np.uint8)
    inside[:, :, 24:] = 0
    mask = Volume(inside, fixed.spacing_mm, fixed.origin_mm, fixed.direction)
    spoiled = Volume(spoiled, fixed.spacing_mm, fixed.origin_mm, fixed.direction)
    near = (slice(6, 18), slice(8, 24), slice(17, 23))
    errors = []
    for one in (mask, None):
        found = register(spoiled, moving, fixed_mask=one, config=QUICK).displacement
        errors.append(np.linalg.norm(found.displacement_mm - truth.displacement_mm, axis=-1)[near].mean())
    assert errors[0] < errors[1]


def test_a_stopped_call_keeps_the_best_field_only_when_asked():
    fixed, moving, _ = pair_with_truth((24, 24, 24), (1.0, 1.0, 1.0), np.eye(3), (1.5, 1.5, 1.5), 6.0)

    def stop_at_thirty(done, total, message):
        if done == 30:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        register(fixed, moving, config=QUICK, progress=stop_at_thirty)
    kept = register(fixed, moving, config=QUICK, progress=stop_at_thirty, keep_partial=True)
    assert kept.interrupted
    assert kept.measures.lncc > kept.measures.lncc_before + 0.05


def test_a_grid_too_large_for_memory_is_made_coarser_and_said_so(monkeypatch):
    fixed, moving, truth = pair_with_truth((28, 30, 32), (1.0, 1.0, 1.0), np.eye(3), (1.5, -2.0, 1.0), 7.0)
    monkeypatch.setattr(
        "UltrasoundMotionLib.registration.register_images.most_voxels", lambda device, bytes_per_voxel: 12000
    )
    result = register(fixed, moving, config=QUICK)
    assert any("too large for memory" in note for note in result.notes)
    assert result.displacement.grid.matches(truth.grid)
    assert inner_error_mm(result.displacement, truth) < 0.4 * inner_error_mm(DisplacementField.zero(truth.grid), truth)


def test_running_out_of_gpu_memory_falls_back(monkeypatch):
    """A device that is always full, without one at hand."""
    from UltrasoundMotionLib.registration.methods.instance import run_instance
    from UltrasoundMotionLib.registration.registry import RegistrationMethod

    calls = []

    def run(setup):
        calls.append(setup.pair.fixed.numel())
        if len(calls) < 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run_instance(setup)

    fixed, moving, _truth = pair_with_truth((20, 20, 20), (1.0, 1.0, 1.0), np.eye(3), (1.0, 1.0, 1.0), 6.0)
    full = RegistrationMethod("instance", "always full", run, settings=InstanceConfig)
    monkeypatch.setattr("UltrasoundMotionLib.registration.register_images.find_method", lambda name: full)
    result = register(fixed, moving, config=InstanceConfig(iterations=(2, 2, 2)))
    assert calls[1] < calls[0]
    assert "continued on the CPU" in result.notes
    assert result.measures.device == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("shape", [(24, 26, 28), (64, 72)], ids=["3D", "2D"])
def test_the_gpu_finds_the_same_field(shape):
    dimension = len(shape)
    fixed, moving, _truth = pair_with_truth(
        shape, (1.0,) * dimension, np.eye(dimension), (1.5, -2.0, 1.0)[:dimension], 7.0
    )
    there, here = (register(fixed, moving, device=device, config=QUICK) for device in ("cuda", "cpu"))
    assert there.measures.device == "cuda"
    np.testing.assert_allclose(there.displacement.displacement_mm, here.displacement.displacement_mm, atol=0.05)
    assert there.measures.lncc == pytest.approx(here.measures.lncc, abs=1e-3)


GOOD = Volume(texture((12, 12, 12)), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3))
FLAT = Volume(np.ones((12, 12, 12), np.float32), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3))
HOLED = Volume(
    np.where(np.arange(1728).reshape(12, 12, 12) == 5, np.nan, GOOD.array),
    GOOD.spacing_mm,
    GOOD.origin_mm,
    GOOD.direction,
)
PLANE = Volume(texture((12, 12)), (1.0, 1.0), (0.0, 0.0), np.eye(2))
FAR = Volume(GOOD.array, GOOD.spacing_mm, (500.0, 0.0, 0.0), GOOD.direction)
SMALLER = Volume(np.ones((6, 6, 6), np.uint8), GOOD.spacing_mm, GOOD.origin_mm, GOOD.direction)


def label_map(value):
    return Volume(np.full((12, 12, 12), value, np.float32), GOOD.spacing_mm, GOOD.origin_mm, GOOD.direction)


@pytest.mark.parametrize(
    ("fixed", "moving", "options", "says"),
    [
        (GOOD, PLANE, {}, "fixed is 3D and moving 2D"),
        (FLAT, GOOD, {}, "fixed: every voxel is 1.0"),
        (GOOD, HOLED, {}, "moving: 1 of 1728 voxels are NaN or infinite"),
        (GOOD, FAR, {"initial_transform": None}, "fixed and moving do not overlap"),
        (GOOD, GOOD, {"method": "magic"}, "no registration method named magic"),
        (GOOD, GOOD, {"config": DemonsConfig()}, "instance takes InstanceSettings"),
        (GOOD, GOOD, {"device": "cuda:99" if not torch.cuda.is_available() else "tpu"}, "is not available"),
        (GOOD, GOOD, {"moving_labels": SMALLER}, "moving_labels: must lie on the grid of moving"),
        (GOOD, GOOD, {"moving_labels": label_map(1.5)}, "labels must be whole numbers"),
        (GOOD, GOOD, {"moving_labels": label_map(1), "fixed_labels": label_map(2)}, "no label in common"),
        (GOOD, GOOD, {"fixed_mask": label_map(0)}, "fixed_mask: no voxel is above 0"),
        (GOOD, GOOD, {"initial_transform": "sideways"}, "initial_transform: expected"),
        (GOOD, GOOD, {"initial_transform": sitk.Transform(2, sitk.sitkIdentity)}, "the initial transform is 2D"),
        (GOOD, "image.nrrd", {}, "image.nrrd: no such file"),
    ],
)
def test_bad_input_is_one_clear_line(fixed, moving, options, says):
    with pytest.raises(InputError, match=says) as caught:
        register(fixed, moving, **options)
    assert "\n" not in str(caught.value)


def test_every_method_has_a_summary_and_defaults():
    names = [method.name for method in available_methods()]
    assert {"instance", "demons"} <= set(names)
    for method in available_methods():
        assert method.summary
        method.settings_from()


@pytest.mark.parametrize(
    "wrong", [{"scales": (2, 1)}, {"learning_rate": 0.0}, {"iterations": (0, 0, 0)}, {"smoothness": -1.0}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(InputError, match="instance"):
        InstanceConfig(**wrong)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("slices", [1, 2])
def test_demons_registers_one_slice_or_two_stored_as_a_volume(axis, slices):
    """ITK's filter gives NaN along an axis of one voxel."""
    fixed = gaussian_filter(np.random.default_rng(0).normal(size=(40, 44)), 3)
    fixed = ((fixed - fixed.min()) / np.ptp(fixed) * 200).astype("f4")
    pair = (np.stack([one] * slices, axis=axis) for one in (fixed, shift(fixed, (0, -2), mode="nearest")))
    volumes = (Volume(one, (0.5,) * 3, (0.0,) * 3, np.eye(3)) for one in pair)
    found = register(*volumes, method="demons").displacement.displacement_mm
    expected = np.zeros(3)
    expected[0 if axis != 2 else 1] = -1.0
    np.testing.assert_allclose(found.reshape(-1, 3).mean(axis=0), expected, atol=0.05)
