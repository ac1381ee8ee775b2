"""The usual place of a point out of sight, to which it goes back."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.tracking.matching.settings import UsualPlaceSettings
from UltrasoundMotionLib.tracking.matching.usual_place import UsualPlace


def test_out_of_sight_a_point_goes_back_and_is_ever_less_sure():
    place = UsualPlace(np.array([[10.0, 10.0], [50.0, 50.0]]), UsualPlaceSettings(), 2.0)
    points, sure = np.array([[20.0, 10.0], [51.0, 50.0]]), np.tile(0.1 * np.eye(2), (2, 1, 1))
    seen = np.array([False, True])
    later, covariance = place.after(points, sure, seen)
    np.testing.assert_allclose(later, [[19.0, 10.0], [51.0, 50.0]])
    np.testing.assert_allclose(covariance[0], 4.1 * np.eye(2))
    np.testing.assert_allclose(covariance[1], sure[1])
    for _ in range(200):
        later, covariance = place.after(later, covariance, seen)
    assert np.linalg.norm(later[0] - [10.0, 10.0]) < 0.1
    np.testing.assert_allclose(covariance[0], 24.0**2 * np.eye(2), atol=1e-9)
