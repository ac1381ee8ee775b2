"""Landmark trackers by correlation filters, against closed-form motion, brute force and OpenCV."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.registry import find_tracker
from UltrasoundMotionLib.tracking.trackers.correlation_filters.correlation_filter import gaussian_correlation
from UltrasoundMotionLib.tracking.trackers.correlation_filters.kcf import KcfConfig, KcfTracker
from UltrasoundMotionLib.tracking.trackers.correlation_filters.lct import LctConfig, LctTracker
from UltrasoundMotionLib.tracking.windows.windows import crop_windows

CPU = torch.device("cpu")


def speckle(size: int, seed: int = 0, grain: float = 2.0) -> np.ndarray:
    """A texture of grey levels around 100."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((size, size)), grain, mode="wrap")
    return (100 + 40 * noise / noise.std()).astype(np.float32)


def moved(texture: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The texture moved by (x, y) pixels, exactly (in the Fourier domain, wrapped around)."""
    return np.fft.ifft2(ndimage.fourier_shift(np.fft.fft2(texture), shift[::-1])).real.astype(np.float32)


def test_kernel_is_that_of_every_shift():
    first, second = torch.randn(2, 2, 3, 8, 6, generator=torch.Generator().manual_seed(1)).double()
    fast = torch.fft.irfft2(gaussian_correlation(torch.fft.rfft2(first), torch.fft.rfft2(second), 0.9, 6), s=(8, 6))
    for down in range(8):
        for right in range(6):
            distance = (first - torch.roll(second, (down, right), dims=(2, 3))).square().sum(dim=(1, 2, 3)) / first[
                0
            ].numel()
            torch.testing.assert_close(fast[:, down, right], torch.exp(-distance / 0.81))


def test_windows_sample_the_image_and_what_lies_outside():
    image = torch.tensor(np.add.outer(10 * np.arange(9.0), np.arange(12.0)), dtype=torch.float32)  # 10 y + x
    inside, outside = crop_windows(image, torch.tensor([[4.5, 4.0], [0.0, 0.0]]), torch.tensor([0.5, 1.0]), 3)
    assert np.allclose(inside, np.add.outer([35.0, 40.0, 45.0], [4.0, 4.5, 5.0]))
    assert np.allclose(outside[0], [0, 0, 1]) and np.allclose(outside[:, 0], [0, 0, 10])
    padded = crop_windows(image, torch.tensor([[-9.0, -9.0]]), torch.ones(1), 3, outside="mean")
    assert np.allclose(padded, image.mean())


@pytest.mark.parametrize("name", ["kcf", "lct"])
def test_follows_a_known_motion(name):
    texture, points = speckle(128), np.array([[40.0, 50.0], [80.25, 70.5], [60.0, 90.0]])
    tracker = find_tracker(name).make("cpu")
    tracker.start(texture, points)
    errors = []
    for frame in range(1, 41):
        shift = np.array([9 * np.sin(frame / 6), 4 * np.sin(frame / 9)])
        found = tracker.update(moved(texture, shift))
        errors.append(np.linalg.norm(found.positions_px - points - shift, axis=1))
        assert found.visible.all() and (found.confidence > 0.5).all()
    assert (
        np.mean(errors) < 0.25 and np.max(errors) < 0.35
    )  # a filter that learns every frame drifts by a fraction of a pixel


def test_agrees_with_opencv_kcf():
    pytest.importorskip("cv2")
    from UltrasoundMotionLib.lab.benchmarks.peers.opencv_boxes import KcfPerPoint

    texture, points = speckle(128, seed=3), np.array([[64.0, 60.0]])
    ours, theirs = KcfTracker(KcfConfig(), CPU), KcfPerPoint()
    ours.start(texture, points)
    theirs.start(texture, points)
    for frame in range(1, 15):
        shift = np.array([frame * 1.5, -frame])
        image = moved(texture, shift)
        there = ours.update(image).positions_px, theirs.update(image).positions_px
    assert (
        np.linalg.norm(there[0] - points - shift) < 0.5 and np.linalg.norm(there[1] - points - shift) < 3
    )  # theirs in whole pixels, lagging


def test_lct_finds_a_landmark_again_that_jumped_and_without_its_detector_it_does_not():
    texture, points, jump = (
        speckle(128, seed=5),
        np.array([[50.0, 60.0]]),
        np.array([33.0, 0.0]),
    )  # beyond half of the window
    grey = LctConfig(
        features="grey",
        kernel_sigma=0.2,
        context_rate=0.2,
        padding=1.5,
        size_count=1,
        detect_below=0.6,
        adopt_above=0.7,
    )
    reached = {}
    for reach_px in (60.0, 0.0):
        tracker = LctTracker(replace(grey, reach_px=reach_px), CPU)
        tracker.start(texture, points)
        for _ in range(12):
            tracker.update(texture)
        for _ in range(4):
            found = tracker.update(moved(texture, jump))
        reached[reach_px] = np.linalg.norm(found.positions_px - points - jump)
    assert reached[60.0] < 1 and reached[0.0] > 20


def test_lct_follows_a_changing_size():
    texture = speckle(160, seed=7, grain=3.0)
    config = LctConfig(
        features="grey", kernel_sigma=0.2, context_rate=0.2, target_rate=0.1, padding=1.5, size_count=7, size_step=1.02
    )
    tracker, centre = LctTracker(config, CPU), np.array([80.0, 80.0])
    tracker.start(texture, centre[None])
    for frame in range(1, 21):
        zoom = 1.01**frame
        grid = (np.indices(texture.shape) - centre[:, None, None]) / zoom + centre[:, None, None]
        found = tracker.update(ndimage.map_coordinates(texture, grid, order=3, mode="wrap").astype(np.float32))
    assert np.linalg.norm(found.positions_px - centre) < 1
    assert float(tracker._sizes[0]) == pytest.approx(zoom, rel=0.06)


def test_a_held_landmark_stays_and_nothing_is_learnt_from_it():
    texture, points = speckle(96, seed=2), np.array([[40.0, 40.0], [60.0, 50.0]])
    tracker = find_tracker("kcf").make("cpu", settings={"lost_below": -1.0, "learn_alike": -1.0})  # learns anything
    tracker.start(texture, points)
    other = speckle(96, seed=8)
    for _ in range(10):
        tracker.hold(np.array([True, False]), np.array([[42.0, 40.0], [0.0, 0.0]]))
        found = tracker.update(other)
        assert np.allclose(found.positions_px[0], [42, 40], atol=1e-4) and not found.visible[0]
    found = tracker.update(texture)
    assert np.linalg.norm(found.positions_px[0] - points[0]) < 0.4  # still known, where it was and not where it was put
    assert found.confidence[0] > 0.9 > found.confidence[1] + 0.2  # the other one has been learnt over


def test_bad_settings_and_frames_are_refused():
    with pytest.raises(InputError, match="features must be one of grey, gradients, got colour"):
        KcfConfig(features="colour")
    tracker = find_tracker("lct").make("cpu")
    tracker.start(speckle(96), np.array([[0.0, 0.0], [95.0, 95.0]]))  # on the border
    assert np.all(np.isfinite(tracker.update(speckle(96)).positions_px))
    with pytest.raises(InputError, match="the frame is 80 x 80 pixels, the first one was 96 x 96"):
        tracker.update(speckle(80))
