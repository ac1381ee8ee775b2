"""The region in which two images of one scan differ is the region that moves."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.registration.changing_region import changing_region, same_scan

SHAPE = (6, 96, 112)


def pair(heart_px, everywhere_px, seed=3):
    """A textured scan and itself moved in-plane: by `heart_px` in a disc, by `everywhere_px` elsewhere, with noise."""
    rng = np.random.default_rng(seed)
    image = gaussian_filter(rng.normal(size=SHAPE), (0.5, 3, 3))
    image = image / image.std() + 4
    rows, columns = np.mgrid[: SHAPE[1], : SHAPE[2]]
    disc = np.exp(-(((rows - 50) / 12) ** 2 + ((columns - 60) / 12) ** 2))
    shift = everywhere_px + (heart_px - everywhere_px) * disc
    index = [np.broadcast_to(axis, SHAPE).astype(float) for axis in np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]]
    moving = map_coordinates(image, [index[0], index[1] + shift, index[2] - shift / 2], order=3, mode="nearest")
    noisy = [one + rng.normal(0, 0.05, SHAPE) for one in (image, moving)]
    return [Volume(one.astype(np.float32), (1.5, 1.5, 8.0), (0.0, 0.0, 0.0), np.eye(3)) for one in noisy]


def test_a_beating_heart_in_a_resting_chest_is_cut_out():
    fixed, moving = pair(heart_px=4, everywhere_px=0)
    assert same_scan(fixed, moving)
    region = changing_region(fixed, moving)
    assert region is not None
    assert region[1].start < 50 < region[1].stop
    assert region[2].start < 60 < region[2].stop


@pytest.mark.parametrize("everywhere_px", [0.5, 1])
def test_a_chest_that_moves_too_is_not_cut_away(everywhere_px):
    fixed, moving = pair(heart_px=5, everywhere_px=everywhere_px)
    assert same_scan(fixed, moving)
    assert changing_region(fixed, moving) is None
