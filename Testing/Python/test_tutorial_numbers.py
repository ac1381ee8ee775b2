"""The numbers that the tutorials give for the samples are those that the modules give."""

import re
from pathlib import Path

import numpy as np
import pytest

from slicer_stand_ins import slicer_application
from UltrasoundMotionLib.mrml.displacement_transforms import transform_points
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene

TUTORIALS = Path(__file__).resolve().parents[2] / "Docs" / "tutorials"

pytestmark = pytest.mark.slow


def page(name):
    return " ".join((TUTORIALS / f"{name}.md").read_text(encoding="utf-8").split())


@pytest.fixture
def application(sample_cache):
    with HeadlessScene() as scene, slicer_application(scene) as application:
        application.cachePath = str(sample_cache)
        yield application


def test_landmarks(application):
    module = application.load_module("LandmarkTracking")
    from UltrasoundMotionModuleLib.shared.sample_data import LIVER, loadSample

    sample, logic = loadSample(LIVER), module.LandmarkTrackingLogic()
    tracks, stored = logic.tracks(logic.track(sample.clip.proxy, sample.points).landmarks.proxy), LIVER.read()
    truth = stored.truth.positions_px[:, [stored.truth.labels.index(label) for label in tracks.labels]]
    error = np.linalg.norm((tracks.positions_px - truth) * stored.sequence.spacing_mm, axis=2)
    assert f"off by {np.median(error):.2f} mm in the median and {error.max():.2f} mm at most" in page("landmarks")


def test_strain(application):
    module = application.load_module("MyocardialTracking")
    from UltrasoundMotionModuleLib.myocardial_tracking.sample import loadHeart

    sample, logic = loadHeart(), module.MyocardialTrackingLogic()
    result = logic.strain(logic.track(sample.clip.proxy, sample.clicks)).result
    gls, deviation = result.measures.gls_percent, result.uncertainty.standard_deviation_percent
    assert f"it is \u2212{-gls:.1f} \u00b1 {deviation:.1f} %" in page("strain")


def test_registration(application):
    module = application.load_module("DeformableRegistration")
    from UltrasoundMotionModuleLib.deformable_registration.sample import loadSamplePair

    pair = loadSamplePair()
    result = module.DeformableRegistrationLogic().register(pair.fixed, pair.moving, applyTransform=True)
    carried = transform_points(result.transform, pair.moving_points_mm)
    before, after = (
        np.median(np.linalg.norm(points - pair.fixed_points_mm, axis=1)) for points in (pair.moving_points_mm, carried)
    )
    stated = re.search(r"from ([\d.]+) mm to ([\d.]+) mm", page("registration"))
    np.testing.assert_allclose([before, after], [float(one) for one in stated.groups()], atol=0.08)
