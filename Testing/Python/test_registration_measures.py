"""Measures of a registration where it matters: inside labels, a mask, the foreground."""

import numpy as np
import pytest

from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.registration.checked_input import CheckedImages
from UltrasoundMotionLib.registration.measuring import measure
from UltrasoundMotionLib.registration.working_pair import make_working_pair

SIZE = 40


def volume(array):
    return Volume(array, (1.0, 1.0), (0.0, 0.0), np.eye(2), "image")


def measured(labels=None, mask=None):
    """A field that folds inside a disk, and rests in the background around it."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    disk = (x - 20) ** 2 + (y - 20) ** 2 < 8**2
    image = volume((100 * disk + 5 * np.sin(x)).astype(np.float32))
    shown = {"labels": disk, "mask": disk}
    images = CheckedImages(
        image,
        image,
        volume(shown["mask"].astype(np.uint8)) if mask else None,
        None,
        volume(shown["labels"].astype(np.uint8)) if labels else None,
        None,
    )
    u = np.zeros((SIZE, SIZE, 2))
    u[..., 0] = np.where(disk, -1.5 * (x - 20), 0.0)
    field = DisplacementField(u, ImageGrid.of(image))
    pair = make_working_pair(images, images.grid, None)
    return measure(pair, field.to_voxels(), field, images, None)


@pytest.mark.parametrize(
    ("given", "where"), [({"labels": True}, "labels"), ({"mask": True}, "mask"), ({}, "foreground")]
)
def test_what_folds_inside_the_anatomy_is_not_diluted_by_the_background(given, where):
    found = measured(**given)
    assert found.inside == where and found.jacobian_inside is not None
    assert found.jacobian.share_nonpositive < 0.15 and found.jacobian_inside.share_nonpositive > 0.8
