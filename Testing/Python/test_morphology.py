"""Morphology and nearest pixels with NumPy alone agree with SciPy's."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import ConvexHull, cKDTree

from UltrasoundMotionLib.images import morphology
from UltrasoundMotionLib.images.nearest_pixels import nearest_pixels

SHAPES = [(40, 57), (5, 30), (1, 12), (9, 1)]


def masks(shape):
    for seed, share in enumerate((0.03, 0.4, 0.6, 0.97)):
        yield np.random.default_rng(seed).uniform(size=shape) < share
    yield np.zeros(shape, dtype=bool)
    yield np.ones(shape, dtype=bool)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("iterations", [1, 3])
@pytest.mark.parametrize("name", ["binary_dilation", "binary_erosion", "binary_opening", "binary_closing"])
def test_crosses(shape, iterations, name):
    for mask in masks(shape):
        before = mask.copy()
        found = getattr(morphology, name)(mask, iterations=iterations)
        np.testing.assert_array_equal(found, getattr(ndimage, name)(mask, iterations=iterations))
        np.testing.assert_array_equal(mask, before)


@pytest.mark.parametrize("shape", SHAPES)
def test_rectangles(shape):
    for mask in masks(shape):
        opened = ndimage.binary_opening(mask, structure=np.ones((2, 2)))
        np.testing.assert_array_equal(morphology.open_squares(mask), opened)
        closed = ndimage.binary_closing(mask, structure=np.ones((3, 9)))
        np.testing.assert_array_equal(morphology.close_rectangles(mask, 3, 9), closed)


@pytest.mark.parametrize("shape", [(40, 57), (16, 30)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_grey_levels(shape, dtype):
    image = np.random.default_rng(0).uniform(0, 255, shape).astype(dtype)
    for size in (3, 7, 15):
        np.testing.assert_array_equal(morphology.grey_opening(image, size), ndimage.grey_opening(image, (size, size)))
        np.testing.assert_array_equal(morphology.grey_closing(image, size), ndimage.grey_closing(image, (size, size)))
        mean = ndimage.uniform_filter(image.astype(np.float64), size)
        np.testing.assert_allclose(morphology.uniform_filter(image, size), mean, rtol=1e-5)


@pytest.mark.parametrize("shape", [*SHAPES, (300, 400)])
def test_labels(shape):
    for mask in masks(shape):
        labels, count = morphology.label(mask)
        expected, expected_count = ndimage.label(mask)
        assert count == expected_count
        np.testing.assert_array_equal(labels, expected)


def test_a_spiral_is_one_piece():
    mask = np.zeros((61, 61), dtype=bool)
    for ring in range(0, 30, 2):
        mask[ring, ring : 61 - ring] = mask[60 - ring, ring : 61 - ring] = True
        mask[ring : 61 - ring, ring] = mask[ring : 61 - ring, 60 - ring] = True
        mask[ring + 1, ring] = False
        mask[ring + 1, ring + 1] = ring < 28
    expected, count = ndimage.label(mask)
    labels, found = morphology.label(mask)
    assert found == count
    np.testing.assert_array_equal(labels, expected)


def test_convex_hulls():
    generator = np.random.default_rng(4)
    for _ in range(20):
        mask = np.zeros((50, 70), dtype=bool)
        for row, column in generator.integers(0, [46, 66], (generator.integers(1, 6), 2)):
            mask[row : row + 2 + column % 3, column : column + 2 + row % 3] = True
        inside = np.ones(mask.shape, dtype=bool)
        rows, columns = np.mgrid[:50, :70]
        for row, column, offset in ConvexHull(np.argwhere(mask)).equations:
            inside &= row * rows + column * columns + offset <= 1e-6
        np.testing.assert_array_equal(morphology.convex_hull(mask), inside)
    single = np.zeros((4, 5), dtype=bool)
    single[2, 3] = True
    np.testing.assert_array_equal(morphology.convex_hull(single), single)


@pytest.mark.parametrize("share", [0.02, 0.6])
def test_nearest_pixels_are_scipys_also_deep_inside(share):
    among = np.random.default_rng(5).random((70, 90)) < share
    among[20:66, 20:66] = False  # 23 pixels deep, beyond the reach of the rings
    places = np.argwhere(~among)
    found, distances = nearest_pixels(places, among, 24)
    np.testing.assert_allclose(distances, cKDTree(np.argwhere(among)).query(places, k=24)[0], rtol=1e-12)
    np.testing.assert_allclose(distances, np.linalg.norm(found - places[:, None], axis=2), rtol=1e-12)
    assert among[found[..., 0], found[..., 1]].all()
    assert all(len(set(map(tuple, one))) == 24 for one in found)
