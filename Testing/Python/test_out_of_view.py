"""A landmark that leaves the image is not visible there, and is found again when it comes back."""

import numpy as np
import pytest
from scipy import ndimage

from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.tracking.registry import find_tracker
from UltrasoundMotionLib.tracking.run import run_tracker

SIZE, STEP_PX, OUT, AWAY = 160, 5, 18, 10
POINTS = np.array([[26.0, 60.0], [40.0, 110.0], [120.0, 80.0]])


def panned_clip(seed=4):
    """A texture that pans to the left until two of the points are out of view, stays, and comes back."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(SIZE, 3 * SIZE)), 2.0)
    noise = (noise - noise.min()) / np.ptp(noise) * 220 + 20
    way = np.concatenate([np.arange(OUT), np.full(AWAY, OUT), np.arange(OUT, -1, -1), np.zeros(4, dtype=int)]) * STEP_PX
    frames = np.stack([noise[:, SIZE + shift : 2 * SIZE + shift] for shift in way.tolist()])
    frames = np.clip(frames + rng.normal(0, 3, frames.shape), 0, 255)
    return ImageSequence(frames.astype(np.uint8)), POINTS - np.stack([way, 0 * way], axis=1)[:, None]


@pytest.mark.parametrize("model", ["kcf", "lct"])
def test_correlation_filters_lose_a_landmark_out_of_view_and_find_it_again(model):
    sequence, truth = panned_clip()
    tracker = find_tracker(model).make("cpu")
    found = [tracker.start(sequence.frame(0), POINTS)]
    found += [tracker.update(sequence.frame(index)) for index in range(1, len(sequence))]
    visible = np.stack([one.visible for one in found])
    error = np.linalg.norm(np.stack([one.positions_px for one in found]) - truth, axis=2)
    out = truth[..., 0] < -4
    assert out[:, :2].sum() > 40 and not out[:, 2].any()
    assert visible[out].mean() <= 0.1
    assert visible[-4:].all() and error[-4:].max() < 2
    assert visible[:, 2].mean() > 0.9 and error[:, 2].max() < 2


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("kcf", "lct")]


@pytest.mark.parametrize("model", ["lucas-kanade", "block-matching", *SLOW])
def test_points_out_of_view_are_not_visible(model):
    sequence, truth = panned_clip()
    tracks = run_tracker(sequence, lambda: find_tracker(model).make("cpu"), POINTS, model=model)
    assert tracks.visible[truth[..., 0] < -4].mean() <= 0.1
    assert tracks.visible[-4:].mean() > 0.9
    assert np.linalg.norm(tracks.positions_px[-4:] - truth[-4:], axis=2)[tracks.visible[-4:]].max() < 3
