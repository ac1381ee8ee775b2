"""Contours from clicks and curves, their order, and what is refused."""

import numpy as np
import pytest

from strain_motions import beat, half_ellipse, ring, stretched, tracks_of
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.simulation.heart import FOUR_CHAMBER_SEGMENTS, TWO_CHAMBER_SEGMENTS
from UltrasoundMotionLib.strain import (
    WallContour,
    contour_from_clicks,
    contour_from_curve,
    longitudinal_strain,
    segment_model,
)

CLICKS = np.array([[75.0, 195.0], [118.0, 50.0], [166.0, 198.0]])


def spacings(points: np.ndarray) -> np.ndarray:
    return np.hypot(*np.diff(points, axis=0).T)


def test_clicks_make_an_evenly_spaced_wall_through_them():
    contour = contour_from_clicks(CLICKS, 61, view="A2C", frame=5, spacing_mm=(0.5, 0.5))
    points = contour.points_px
    np.testing.assert_allclose(points[[0, -1]], CLICKS[[0, 2]], atol=1e-9)
    assert np.hypot(*(points - CLICKS[1]).T).min() < 3  # the apex lies between two points
    assert abs(contour.apex_index - 30) <= 1
    assert np.ptp(spacings(points)) < 0.02 * spacings(points).mean()
    assert (contour.view, contour.frame, contour.notes) == ("A2C", 5, ())
    assert contour.length_mm == pytest.approx(0.5 * spacings(points).sum())
    chord = points[-1] - points[0]
    bulge = ((points - points[0]) @ chord / np.hypot(*chord)) / np.hypot(*chord)
    assert np.ptp(bulge) > 1  # wider than its base, as a ventricle is


@pytest.mark.parametrize("order", [(2, 1, 0), (1, 0, 2), (0, 2, 1)])
def test_clicks_in_any_order_make_the_same_wall(order):
    contour = contour_from_clicks(CLICKS[list(order)])
    np.testing.assert_allclose(contour.points_px, contour_from_clicks(CLICKS).points_px, atol=1e-6)
    assert bool(contour.notes) == (order[1] != 1)


def test_a_ventricle_on_its_side_starts_left_of_the_way_to_the_apex():
    """The apex points to the right: whoever looks there from the base has the image's top on the left."""
    clicks = np.array([[60.0, 160.0], [200.0, 120.0], [60.0, 80.0]])
    np.testing.assert_allclose(contour_from_clicks(clicks).points_px[0], [60, 80])


def test_drawn_curve():
    drawn = half_ellipse(9)
    contour = contour_from_curve(drawn[::-1], 49)
    np.testing.assert_allclose(
        contour.points_px, half_ellipse(49), atol=1.2
    )  # a spline through nine points of an ellipse
    assert "turned around" in contour.notes[0]
    assert contour.apex_index == 24
    assert np.ptp(spacings(contour.points_px)) < 0.02 * spacings(contour.points_px).mean()
    assert contour_from_curve(drawn, 49, apex_index=3).apex_index == pytest.approx(18, abs=1)


def test_drawn_ring():
    around = contour_from_curve(np.concatenate([ring(12)[::-1], ring(12)[-1:]]), 48, view="SAX")
    assert around.view == "SAX-mid"
    np.testing.assert_allclose(np.hypot(*(around.points_px - 128).T), 60, atol=0.2)
    np.testing.assert_allclose(around.points_px[0], ring(12)[-1], atol=1e-9)
    angle = np.unwrap(np.arctan2(*(around.points_px - 128).T[::-1]))
    assert np.all(np.diff(angle) < 0)  # counter-clockwise as seen: y points down


def test_spacing_counts_for_even_distances():
    contour = contour_from_clicks(CLICKS * [2.0, 1.0], 61, spacing_mm=(0.25, 0.5))
    step = spacings(contour.points_px * [0.25, 0.5])
    assert np.ptp(step) < 0.02 * step.mean()


CROSSING = half_ellipse(12)[[0, 1, 2, 8, 4, 5, 6, 7, 3, 9, 10, 11]]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (half_ellipse(5), "5 points are too few"),
        (CROSSING, "crosses itself after points"),
        (half_ellipse(12)[[0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9, 10, 11]], "points 4 and 5 collapse"),
        (np.where(np.arange(12)[:, None] == 3, np.nan, half_ellipse(12)), "point 3 is not finite"),
        (np.stack([np.linspace(0, 100, 12), np.linspace(0, 3, 12)], axis=1), "must run from base over apex to base"),
        (np.zeros((8, 3)), "must be"),
    ],
)
def test_contours_that_cannot_be_used(points, message):
    with pytest.raises(InputError, match=message):
        contour_from_curve(points)
    if points.shape[1] == 2 and np.isfinite(points).all():
        with pytest.raises(InputError, match=message):
            longitudinal_strain(tracks_of(np.broadcast_to(points, (20, *points.shape))))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: contour_from_clicks(CLICKS[:2]), "three finite points"),
        (lambda: contour_from_clicks(np.array([[0, 0], [10, 0], [20, 0.1]])), "on a line"),
        (lambda: contour_from_clicks(np.zeros((3, 2))), "on one spot"),
        (lambda: contour_from_clicks(CLICKS, 5), "count must be at least 6"),
        (lambda: contour_from_clicks(CLICKS, view="SAX"), "short-axis view"),
        (lambda: contour_from_curve(half_ellipse(9), apex_index=8), "apex_index must lie between 1 and 7"),
        (lambda: WallContour(half_ellipse(9), 0), "apex_index must lie between 1 and 7"),
        (lambda: segment_model("PSAX"), "view must be one of"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_segment_models():
    """Walls by view (Lang et al. 2015), left wall from the base up, then down the right one."""
    assert segment_model("a4c").names == (
        *("basal inferoseptal", "mid inferoseptal", "apical septal"),
        *("apical lateral", "mid anterolateral", "basal anterolateral"),
    )
    assert segment_model("A4C").names == FOUR_CHAMBER_SEGMENTS  # as the simulated hearts name them
    assert segment_model("A2C").names == TWO_CHAMBER_SEGMENTS
    assert segment_model("A2C").names[::5] == ("basal inferior", "basal anterior")
    assert segment_model("A3C").names[::5] == ("basal inferolateral", "basal anteroseptal")
    assert segment_model("APLAX").names_18[2:4] == ("apical inferolateral", "apical anteroseptal")
    shown = [number for view in ("A4C", "A2C", "APLAX") for number in segment_model(view).numbers_18]
    assert sorted(shown) == list(range(1, 19))
    assert segment_model("sax-base").names[0] == "basal anteroseptal"
    assert len(segment_model("SAX-apex").names) == 4


def test_strain_of_a_clicked_wall():
    """Clicks, points and strain fit each other: scaling the clicked wall by 0.85 is a strain of -15 percent."""
    contour = contour_from_clicks(CLICKS, spacing_mm=(0.4, 0.4))
    moved = stretched(contour.points_px, np.tile(1 - 0.15 * beat()[:, None], 48))
    strain = longitudinal_strain(
        tracks_of(moved, spacing_mm=contour.spacing_mm), view=contour.view, apex_index=contour.apex_index
    )
    assert strain.measures.gls_percent == pytest.approx(-15)
    np.testing.assert_allclose(strain.segmental_percent[16], -15)
