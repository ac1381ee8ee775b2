"""Pairs as they come: cropped, shifted, turned, of two modalities, or of nothing in common; and fields that fold."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import DisplacementField, ImageGrid, jacobian_determinant
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.registration import InstanceSettings, RegisterRequest, register
from UltrasoundMotionLib.registration.checked_input import check_images
from UltrasoundMotionLib.registration.coarse_images import content_mask, transformed
from UltrasoundMotionLib.registration.fold_free import without_folds
from UltrasoundMotionLib.registration.learned import orientation
from UltrasoundMotionLib.registration.measuring import match_doubt
from UltrasoundMotionLib.registration.pair_decisions import decide_on_pair
from UltrasoundMotionLib.registration.pair_likeness import likeness_of
from UltrasoundMotionLib.registration.pair_start import PairJudge

QUICK = InstanceSettings(scales=(2,), iterations=(10,), control_strides=(1,))


def body(shape=(8, 60, 72), spacing=(2.0, 2.0, 8.0), seed=1, smooth=3):
    """A lopsided body of smooth texture on a dark ground that is not constant."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(-1, 1, size) for size in shape], indexing="ij")
    texture = gaussian_filter(rng.normal(size=shape), [0.5 if size < 12 else smooth for size in shape])
    texture /= texture.std()
    inside = (axes[-1] / 0.7) ** 2 + (axes[-2] / 0.5) ** 2 < 1
    ear = (axes[-1] - 0.55) ** 2 + (axes[-2] - 0.35) ** 2 < 0.05
    image = 0.1 * rng.random(shape) + inside * (3 + texture) + 3 * ear
    dimension = len(shape)
    return Volume(image.astype(np.float32), spacing[:dimension], (5.0, -3.0, 2.0)[:dimension], np.eye(dimension))


def turned(volume, rotation, shift=(0.0, 0.0, 0.0)):
    """The same content turned about the middle and moved, resampled, with constant corners; and where points went."""
    grid = ImageGrid.of(volume)
    middle, shift = grid.middle_mm, np.array(shift[: grid.dimension])
    points = grid.points_lps_mm()
    there = (points - middle - shift) @ rotation + middle  # inverse of x -> R (x - c) + c + s
    field = DisplacementField((there - points).astype(np.float32), grid)
    return field.warp(volume, outside_value=0.0), lambda point: (point - middle) @ rotation.T + middle + shift


def decided(fixed, moving, **options):
    return decide_on_pair(check_images(fixed, moving), RegisterRequest(**options))


def error_mm(found, fixed, true):
    points = ImageGrid.of(fixed).points_lps_mm().reshape(-1, fixed.array.ndim)[::17]
    start = points if found.start is None else transformed(points, found.start)
    return float(np.linalg.norm(start - true(points), axis=1).mean())


def test_a_cropped_image_is_of_one_scan_and_stays_where_its_header_puts_it():
    fixed = body()
    crop = replace(fixed, array=fixed.array[:, 8:-8, 8:-8], origin_mm=(21.0, 13.0, 2.0))
    found = decided(fixed, crop)
    assert found.one_scan and found.start is None
    assert found.content == (slice(0, 8), slice(8, 52), slice(8, 64))
    assert decided(crop, fixed).one_scan


def test_a_shifted_header_is_found_and_can_be_left():
    fixed = body()
    moving = replace(fixed, origin_mm=(8.0, -3.0, 2.0))
    found = decided(fixed, moving)
    assert found.one_scan
    assert error_mm(found, fixed, lambda points: points + np.array([3, 0, 0])) < 0.5
    assert "initial transform 'none'" in " ".join(found.notes)
    assert decided(fixed, moving, initial_transform="none").start is None


@pytest.mark.parametrize("degrees", [pytest.param(40, marks=pytest.mark.slow), 180])
def test_slices_turned_in_their_plane_are_found(degrees):
    fixed = body()
    moving, true = turned(fixed, Rotation.from_euler("z", degrees, degrees=True).as_matrix(), (4.0, -2.0, 0.0))
    found = decided(fixed, moving)
    assert error_mm(found, fixed, true) < 1.5
    assert found.one_scan and "a start with a rotation" in " ".join(found.notes)
    assert degrees == 180 or found.images.moving_mask is not None  # the corners are not compared


@pytest.mark.parametrize("single_slice", [False, True])
def test_two_dimensions_are_turned_too(single_slice):
    fixed = body((60, 72))
    moving, true = turned(fixed, Rotation.from_euler("z", 130, degrees=True).as_matrix()[:2, :2])
    assert error_mm(decided(fixed, moving), fixed, true) < 1.5
    if single_slice:
        as_volume = [
            replace(
                one, array=one.array[None], spacing_mm=(2.0, 2.0, 8.0), origin_mm=(5.0, -3.0, 2.0), direction=np.eye(3)
            )
            for one in (fixed, moving)
        ]
        found = decided(*as_volume)
        middle = ImageGrid.of(fixed).middle_mm
        assert np.allclose(found.start.TransformPoint((*middle, 2.0)), (*true(middle), 2.0), atol=1.5)


@pytest.mark.slow
def test_a_volume_turned_about_any_axis_is_found():
    fixed = body((18, 22, 26), (2.0, 2.0, 2.0))
    moving, true = turned(fixed, Rotation.from_rotvec(np.radians(100) * np.array([0.6, 0.0, 0.8])).as_matrix())
    assert error_mm(decided(fixed, moving), fixed, true) < 2


def test_folded_intensities_are_another_modality():
    fixed = body(smooth=8)
    scaled = (fixed.array - fixed.array.min()) / np.ptp(fixed.array)
    other = replace(fixed, array=np.abs(scaled - 0.3).astype(np.float32))
    assert decided(fixed, other).different_modality
    assert not decided(fixed, replace(fixed, array=(1 - scaled) ** 2)).different_modality
    assert not decided(fixed, other, modality="same").different_modality
    with pytest.raises(InputError, match="demons compares intensities"):
        register(fixed, other, method="demons")
    result = register(fixed, other, settings={"iterations": (2, 1, 1)})
    assert any("structures are compared" in note for note in result.notes)


def test_images_of_different_things_may_not_match():
    fixed, other = body(), body(seed=9)
    noise = gaussian_filter(np.random.default_rng(3).normal(size=fixed.array.shape), (0, 4, 4)).astype(np.float32)
    with_noise = register(fixed, replace(other, array=noise), settings=QUICK)
    assert any(note.startswith("these may not match") for note in with_noise.notes)
    same = register(fixed, fixed, settings=QUICK)
    assert not any("may not match" in note for note in same.notes)
    assert same.measures.alike > 0.99
    assert "0.90 as they lie and 0.75 registered" in match_doubt(0.9, 0.75, different_modality=False)


def test_the_whole_can_be_registered():
    rng = np.random.default_rng(0)
    fixed = body((8, 96, 112))
    moved = fixed.array.copy()
    moved[:, 40:56, 50:66] += rng.random((8, 16, 16)).astype(np.float32) * 3
    moving = replace(fixed, array=moved)
    assert decided(fixed, moving).region is not None
    assert "nine tenths of the tissue" in " ".join(decided(fixed, moving).notes)
    assert decided(fixed, moving, search_region="whole").region is None


def test_padding_is_told_from_dark_tissue():
    array = np.zeros((20, 20))
    array[5:15, 5:15] = 1 + np.random.default_rng(0).random((10, 10))
    array[9, 9] = 0
    known = content_mask(array)
    assert known[9, 9] and known.sum() == 100
    assert content_mask(np.ones((4, 4))).all()


def test_likeness_is_zero_where_nothing_meets():
    judge = PairJudge(body(), replace(body(), origin_mm=(900.0, 0.0, 0.0)))
    assert likeness_of(judge.fixed, judge.moving.seen_from(judge.fixed.grid)).correlation == 0


def test_a_field_that_folds_becomes_one_that_does_not():
    x = torch.arange(40.0)
    bump = -6 * torch.exp(-(((x - 20) / 3) ** 2)) * (x - 20).sign()
    field = torch.zeros(1, 2, 30, 40)
    field[0, 0] = bump
    assert float(jacobian_determinant(field).min()) < 0
    mended = without_folds(field, (1.0, 1.0))
    assert float(jacobian_determinant(mended).min()) > 0
    far = (x - 20).abs() > 12
    assert torch.allclose(mended[..., far], field[..., far], atol=0.2)


def test_register_mends_folds_unless_they_are_to_be_kept(monkeypatch):
    from UltrasoundMotionLib.registration.registry import METHODS, RegistrationMethod

    def fold(setup):
        field = torch.zeros(1, 2, *setup.pair.grid.shape)
        line = torch.arange(setup.pair.grid.shape[1]) - 36.0
        field[0, 0] = -6 * torch.exp(-((line / 3) ** 2)) * line.sign()
        return field

    method = RegistrationMethod("folding", "a field that folds", fold)
    monkeypatch.setattr("UltrasoundMotionLib.registration.register_images.find_method", lambda name: method)
    assert METHODS.all()
    images = body((60, 72)), body((60, 72))
    mended, kept = (register(*images, method="folding", keep_folds=keep) for keep in (False, True))
    assert mended.measures.jacobian.share_nonpositive == 0 < kept.measures.jacobian.share_nonpositive
    assert any("of the field folded" in note for note in mended.notes)
    assert not any("of the field folded" in note for note in kept.notes)


@pytest.mark.parametrize("in_plane", [True, False])
def test_the_orientation_that_a_network_knows_is_found(in_plane, monkeypatch):
    axis = np.array([0.0, 0.0, 1.0]) if in_plane else np.array([0.6, 0.0, 0.8])
    known = Rotation.from_rotvec(np.radians(140) * axis)

    class Network:
        def confidence(self, turn):
            away = (Rotation.from_matrix(turn) * known.inv()).magnitude()
            return 0.92 - 0.3 * min(1.0, float(np.degrees(away)) / 90) ** 2

    monkeypatch.setattr(orientation, "_axes", lambda *given: [axis] if in_plane else list(np.eye(3)))
    network = Network()
    turn, confidence = orientation._surest(network, in_plane, np.eye(3), network.confidence(np.eye(3)), 0.89)
    assert confidence > 0.9
    assert (Rotation.from_matrix(turn) * known.inv()).magnitude() < np.radians(30)
