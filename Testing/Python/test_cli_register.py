"""`register` and `evaluate registration`: what they write and say, and that wrong input ends in one line and exit code
2.
"""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from command_line import assert_refused
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.evaluation.label_overlap_report import OverlapReport, measure_overlap
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.json_output import finite

SHIFT_MM = np.array([3.0, -2.0, 1.5])
DIRECTION = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


def image_of(shift_mm=(0, 0, 0), labels=False):
    """An ellipsoid with a core, in an oblique grid; shifted in LPS."""
    size, spacing = (26, 24, 20), (1.5, 1.6, 2.0)
    image = sitk.Image(size, sitk.sitkUInt8 if labels else sitk.sitkFloat32)
    image.SetSpacing(spacing)
    image.SetDirection(DIRECTION)
    image.SetOrigin((10.0, -5.0, 3.0))
    centre = np.array(image.TransformContinuousIndexToPhysicalPoint([(one - 1) / 2 for one in size])) + shift_mm
    index = np.stack(np.meshgrid(*(np.arange(one) for one in size), indexing="ij"), axis=-1).reshape(-1, 3)
    points = index * spacing @ np.reshape(DIRECTION, (3, 3)).T + image.GetOrigin()
    distance = np.linalg.norm((points - centre) / [1.0, 0.8, 1.1], axis=1).reshape(size).transpose(2, 1, 0)
    values = (
        (distance < 9).astype(np.uint8) + (distance < 5)
        if labels
        else np.tanh((9 - distance) / 2) + np.tanh((5 - distance) / 2)
    )
    result = sitk.GetImageFromArray(values.astype(np.uint8 if labels else np.float32))
    result.CopyInformation(image)
    return result


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Files of a fixed and a moving image with their labels: fixed(x) = moving(x + SHIFT_MM)."""
    folder = tmp_path_factory.mktemp("pair")
    for name, shift in (("fixed", (0, 0, 0)), ("moving", SHIFT_MM)):
        sitk.WriteImage(image_of(shift), str(folder / f"{name}.nii.gz"))
        sitk.WriteImage(image_of(shift, labels=True), str(folder / f"{name}_labels.nii.gz"))
    return folder


@pytest.mark.slow
def test_register_writes_everything(slicer_core, run, pair, tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    names = {"displacement": "u.nrrd", "warped": "w.nii.gz", "labels": "l.mha"}
    options = [word for name, file in names.items() for word in (f"--out-{name}", tmp_path / file)]
    options += [
        "--moving-labels",
        pair / "moving_labels.nii.gz",
        "--fixed-labels",
        pair / "fixed_labels.nii.gz",
        "--device",
        "cpu",
    ]
    options += ["--report", tmp_path / "r.json", "--picture", tmp_path / "p.png", "--scene", tmp_path / "s.mrb"]
    code, said, error = run("register", pair / "fixed.nii.gz", pair / "moving.nii.gz", *options)
    assert (code, error) == (0, "")
    for word in ("Registered moving onto fixed", "26 x 24 x 20", "instance", "Dice before", "u.nrrd", "Next:"):
        assert word in said

    field = sitk.ReadImage(str(tmp_path / "u.nrrd"))
    fixed = sitk.ReadImage(str(pair / "fixed.nii.gz"))
    np.testing.assert_allclose(field.GetOrigin(), fixed.GetOrigin(), atol=1e-5)
    np.testing.assert_allclose(field.GetDirection(), fixed.GetDirection(), atol=1e-5)
    transform = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    warped = sitk.Resample(sitk.ReadImage(str(pair / "moving.nii.gz")), fixed, transform)
    inside = sitk.GetArrayFromImage(sitk.ReadImage(str(pair / "fixed_labels.nii.gz"))) > 0
    truth, mine = sitk.GetArrayFromImage(fixed), sitk.GetArrayFromImage(warped)
    assert (
        np.abs(mine - truth)[inside].mean()
        < 0.1 * np.abs(sitk.GetArrayFromImage(sitk.ReadImage(str(pair / "moving.nii.gz"))) - truth)[inside].mean()
    )
    np.testing.assert_allclose(
        sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "w.nii.gz")))[inside], mine[inside], atol=1e-3
    )

    report = json.loads((tmp_path / "r.json").read_text(), parse_constant=lambda text: pytest.fail(f"{text} in JSON"))
    assert report["method"] == "instance"
    assert report["device"] == "cpu"
    assert report["similarity"]["lncc"] > report["similarity"]["lncc_before"]
    assert report["labels"]["1"]["dice"] > 0.85 > report["labels"]["1"]["dice_before"]
    assert report["jacobian"]["share_nonpositive"] == 0
    assert report["inside"] == "labels"
    assert 0 < report["jacobian_inside"]["std_log"] != report["jacobian"]["std_log"]
    for name in ("p.png", "s.mrb"):
        assert (tmp_path / name).stat().st_size > 5000

    json_path = tmp_path / "e.json"
    code, said, _ = run(
        *("evaluate", "registration", tmp_path / "l.mha", pair / "moving_labels.nii.gz", "--json", json_path),
        *("--fixed-labels", pair / "fixed_labels.nii.gz", pair / "fixed_labels.nii.gz"),
        *("--displacement", tmp_path / "u.nrrd", tmp_path / "u.nrrd"),
    )
    assert code == 0
    for word in ("Dice 1", "HD95 2 mm", "folded %", "mean", "std"):
        assert word in said
    pooled = json.loads(json_path.read_text())
    first, second = pooled["pairs"]
    assert first["dice"]["1"] == pytest.approx(report["labels"]["1"]["dice"])
    assert second["dice"]["1"] == pytest.approx(report["labels"]["1"]["dice_before"])
    assert pooled["pooled"]["dice"]["1"] == pytest.approx((first["dice"]["1"] + second["dice"]["1"]) / 2)


def test_demons_and_quiet(run, pair, tmp_path):
    options = ("--out-displacement", tmp_path / "u.mha", "--method", "demons", "--initial", "none", "--quiet")
    assert run("register", pair / "fixed.nii.gz", pair / "moving.nii.gz", *options) == (0, "", "")
    assert (tmp_path / "u.mha").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--method", "guess"], ["guess", "instance", "demons"]),
        (["--out-labels", "l.nrrd"], ["--out-labels needs --moving-labels"]),
        (["--moving-labels", "fixed_labels.nii.gz"], ["--moving-labels needs"]),
        (["--out-warped", "w.txt"], ["w.txt", ".nrrd"]),
        (["--out-warped", "nowhere/w.nrrd"], ["nowhere", "does not exist"]),
        (["--out-warped", "u.nrrd"], ["would overwrite the displacement file"]),
        (["--report", "fixed.nii.gz"], ["must end in .json"]),
        (["--device", "abacus"], ["abacus"]),
        (["--fixed-mask", "missing.nrrd"], ["missing.nrrd", "no such file"]),
    ],
)
def test_wrong_options_are_refused_before_the_run(run, pair, monkeypatch, options, words):
    monkeypatch.chdir(pair)
    before = sorted(pair.iterdir())
    assert_refused(run("register", "fixed.nii.gz", "moving.nii.gz", "--out-displacement", "u.nrrd", *options), *words)
    assert sorted(pair.iterdir()) == before


def test_images_that_cannot_be_registered_are_refused(run, pair, tmp_path):
    flat, empty = tmp_path / "flat.nrrd", tmp_path / "empty.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(np.random.default_rng(0).random((20, 22)).astype(np.float32)), str(flat))
    constant = image_of() * 0 + 7
    sitk.WriteImage(constant, str(empty))
    out = ("--out-displacement", tmp_path / "u.nrrd")
    assert_refused(run("register", pair / "fixed.nii.gz", flat, *out), "fixed is 3D and moving 2D")
    assert_refused(run("register", pair / "fixed.nii.gz", empty, *out), "moving", "nothing to register")
    assert_refused(run("register", flat, flat, "--out-displacement", tmp_path / "u.nii.gz"), "u.nii.gz", "use .nrrd")
    assert_refused(
        run("register", pair / "fixed.nii.gz", pair / "moving.nii.gz", *out, "--fixed-mask", flat), "fixed_mask"
    )
    assert not (tmp_path / "u.nrrd").exists()


def test_evaluate_refuses_what_does_not_fit(run, pair, tmp_path):
    labels = pair / "fixed_labels.nii.gz"
    assert_refused(run("evaluate", "registration", labels, labels, "--fixed-labels", labels), "2 files of labels but 1")
    cut = tmp_path / "cut.nrrd"
    sitk.WriteImage(sitk.ReadImage(str(labels))[2:], str(cut))
    assert_refused(run("evaluate", "registration", cut, "--fixed-labels", labels), "another grid")


def test_a_label_that_one_map_lacks_is_counted_and_json_stays_json():
    def volume(values):
        return Volume(np.array(values, dtype=np.uint8), (1.0, 2.0), (0.0, 0.0), np.eye(2))

    one = measure_overlap("a", volume([[1, 1, 2], [0, 0, 2]]), volume([[1, 1, 0], [0, 0, 0]]))
    assert one.dice == {1: 1.0, 2: 0.0}
    assert np.isinf(one.hd95_mm[2])
    two = measure_overlap("b", volume([[1, 1, 0], [0, 0, 0]]), volume([[1, 0, 0], [0, 0, 0]]))
    report = OverlapReport((one, two))
    assert report.mean_dice() == {1: pytest.approx((1 + 2 / 3) / 2), 2: 0.0}
    assert "inf" in report.table()
    content = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert content["pairs"][0]["hd95_mm"]["2"] is None
    assert finite({1: (float("nan"), 2)}) == {"1": [None, 2]}
    with pytest.raises(InputError, match="no label in common"):
        measure_overlap("c", volume([[1, 0, 0], [0, 0, 0]]), volume([[2, 0, 0], [0, 0, 0]]))
