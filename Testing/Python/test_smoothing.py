"""Blur and sampling on NumPy alone agree with SciPy's."""

import numpy as np
import pytest
from scipy import ndimage

from UltrasoundMotionLib.images.smoothing import gaussian_blur, sample_bilinear


@pytest.mark.parametrize("shape", [(64, 48), (7, 31), (1, 5)])
@pytest.mark.parametrize("sigma", [0.4, 1.0, 6.0])
def test_the_blur_is_that_of_scipy(shape, sigma):
    image = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    blurred = gaussian_blur(image, sigma)
    assert blurred.dtype == np.float32
    np.testing.assert_allclose(blurred, ndimage.gaussian_filter(image, sigma), atol=1e-3)


def test_samples_are_those_of_scipy_beyond_the_border_too():
    generator = np.random.default_rng(1)
    image = generator.uniform(0, 255, (20, 33))
    x, y = generator.uniform(-9, 40, (2, 3, 50))
    expected = ndimage.map_coordinates(image, np.stack((y, x)), order=1, mode="nearest")
    np.testing.assert_allclose(sample_bilinear(image, x, y), expected, atol=1e-9)
