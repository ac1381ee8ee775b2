"""`benchmark registration-robustness`: fields of changed pairs are carried back to the pairs as they were."""

import json

import numpy as np
import pytest

from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.lab.benchmarks import registration_robustness
from UltrasoundMotionLib.lab.benchmarks.registration_robustness import CONDITIONS, PLAIN
from UltrasoundMotionLib.lab.registration_datasets import LabelledImage, RegistrationPair
from UltrasoundMotionLib.registration.coarse_images import sampled, transformed

SHAPE, SPACING = (20, 28, 24), (1.0, 1.5, 2.0)


def blob(centre_mm) -> Volume:
    grid = ImageGrid(SHAPE, SPACING, (5.0, -7.0, 3.0), np.eye(3))
    away = (grid.points_lps_mm() - np.array(grid.middle_mm) - centre_mm) / (8.0, 6.0, 7.0)
    return Volume(np.exp(-(away**2).sum(-1)).astype(np.float32), SPACING, grid.origin_mm, np.eye(3))


@pytest.mark.parametrize("condition", CONDITIONS)
def test_points_of_changed_images_are_known_in_the_images_as_they_were(condition):
    fixed, moving = blob((0, 0, 0)), blob((2.0, -1.0, 1.5))
    changed = CONDITIONS[condition](fixed, moving)
    for image, was, place in ((changed.fixed, changed.fixed_was, fixed), (changed.moving, changed.moving_was, moving)):
        points = ImageGrid.of(image).points_lps_mm()
        where = points if was is None else transformed(points, was)
        expected, inside = sampled(place.array, np.ones(place.array.shape, bool), ImageGrid.of(place), where)
        assert np.abs(image.array - expected)[inside & (expected > 0.3)].max() < 0.04
    exact = ImageGrid.of(changed.fixed).points_lps_mm()
    end = exact if changed.fixed_was is None else transformed(exact, changed.fixed_was)
    end = end if changed.moving_was is None else transformed(end, changed.moving_was.GetInverse())
    field = DisplacementField((end - exact).astype(np.float32), ImageGrid.of(changed.fixed))
    middle = np.s_[6:-6, 8:-8, 7:-7]
    assert np.abs(changed.as_it_was(field, ImageGrid.of(fixed)).displacement_mm[middle]).max() < 1e-3


def test_a_pair_that_is_found_again_loses_nothing(monkeypatch, tmp_path, capsys):
    image = blob((0, 0, 0))
    labels = Volume((image.array > 0.4).astype(np.uint8), image.spacing_mm, image.origin_mm, np.eye(3))
    pair = RegistrationPair("one", LabelledImage(image, labels), LabelledImage(image, labels))
    monkeypatch.setattr(registration_robustness, "protocol_pairs", lambda *arguments: [pair])
    out = tmp_path / "out.json"
    words = ["benchmark", "registration-robustness", "acdc", "--data", str(tmp_path), "--methods", "demons"]
    assert main([*words, "--conditions", PLAIN, "shift", "half-resolution", "--json", str(out)]) == 0
    dice = {row["condition"]: row["rows"][0]["dice"] for row in json.loads(out.read_text())["rows"]}
    assert dice[PLAIN] > 0.999 and dice["shift"] > 0.97 and dice["half-resolution"] > 0.97
