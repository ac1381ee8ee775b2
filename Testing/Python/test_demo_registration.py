"""`demo --registration` and the simulated heart that it registers."""

import json

import numpy as np
import pytest

from UltrasoundMotionLib.cli import demo_registration
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.images.volume_files import read_volume
from UltrasoundMotionLib.registration import register
from UltrasoundMotionLib.simulation import short_axis_heart
from UltrasoundMotionLib.simulation.short_axis_heart import LV, MYOCARDIUM, RV, ShortAxisHeart, simulate_short_axis
from UltrasoundMotionLib.weights import shipped_cards

MEDIUM = ShortAxisHeart(size=(8, 96, 88), spacing_mm=(2.7, 2.7, 10.0))
COARSE = ShortAxisHeart(size=(6, 80, 72), spacing_mm=(3.2, 3.2, 13.5))


@pytest.mark.slow
def test_the_simulated_heart_contracts_as_a_heart_does():
    pair = simulate_short_axis(MEDIUM, seed=3)
    voxel_ml = np.prod(pair.fixed.spacing_mm) / 1000
    label_maps = (pair.fixed_labels, pair.moving_labels)
    diastole, systole = (
        {label: voxel_ml * np.sum(one.array == label) for label in (RV, MYOCARDIUM, LV)} for one in label_maps
    )
    assert 0.5 < 1 - systole[LV] / diastole[LV] < 0.75, "ejection fraction"
    assert systole[MYOCARDIUM] == pytest.approx(diastole[MYOCARDIUM], rel=0.1), "the wall keeps its volume"
    assert systole[RV] < 0.8 * diastole[RV]
    first = [int(np.flatnonzero((one.array == LV).any(axis=(1, 2)))[0]) for one in label_maps]
    assert first[1] == first[0] + 1, "the base comes down by a slice"
    blood, wall = (np.median(pair.fixed.array[pair.fixed_labels.array == label]) for label in (LV, MYOCARDIUM))
    assert blood > 2 * wall
    again = simulate_short_axis(MEDIUM, seed=3)
    np.testing.assert_array_equal(again.moving.array, pair.moving.array)
    assert np.abs(simulate_short_axis(MEDIUM, seed=4).fixed.array.astype(int) - pair.fixed.array).max() > 100


@pytest.mark.slow
def test_the_demo_runs_without_weights_and_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo_registration, "WEIGHTS", ("not-there",))
    monkeypatch.setattr(short_axis_heart, "ShortAxisHeart", lambda: COARSE)
    assert main(["demo", "--registration", "--out", str(tmp_path / "demo")]) == 0
    said = capsys.readouterr().out
    assert "not-there are not installed, so instance was used" in said
    report = json.loads((tmp_path / "demo" / "heart-report.json").read_text())
    assert report["method"] == "instance"
    before, after = (np.mean([one[name] for one in report["labels"].values()]) for name in ("dice_before", "dice"))
    assert after > before + 0.15
    fixed, warped = (
        read_volume(tmp_path / "demo" / name).array for name in ("heart-ed-labels.nii.gz", "heart-warped-labels.nii.gz")
    )
    lv = fixed == LV, warped == LV
    assert 2 * np.sum(lv[0] & lv[1]) / (lv[0].sum() + lv[1].sum()) == pytest.approx(
        report["labels"][str(LV)]["dice"], abs=1e-6
    )


@pytest.mark.slow
def test_the_trained_method_helps_on_the_demo_s_pair():
    if not {path.stem for path in shipped_cards()} & set(demo_registration.WEIGHTS):
        pytest.skip(f"none of the weights {', '.join(demo_registration.WEIGHTS)} is installed")
    pair = simulate_short_axis(seed=demo_registration.SEED)
    found = register(
        pair.fixed,
        pair.moving,
        method=demo_registration.TRAINED,
        fixed_labels=pair.fixed_labels,
        moving_labels=pair.moving_labels,
        device="cpu",
    )
    assert all(one.dice > one.dice_before + 0.25 for one in found.measures.labels.values()), found.measures.labels
    assert found.measures.jacobian.share_nonpositive < 1e-3
    assert any("licence" in note for note in found.notes)
