"""Carried labels compared with the class map of the fixed image, slice by slice, on drawn hearts."""

import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.cohort.measures import measure_case
from UltrasoundMotionLib.fields import ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.images.volume_files import read_volume, write_volume
from UltrasoundMotionLib.jobs.capabilities import register as register_job
from UltrasoundMotionLib.jobs.plain_geometry import plain_geometry
from UltrasoundMotionLib.lab.benchmarks.label_doubts import CARRIED, DRAWN, measure_label_doubts
from UltrasoundMotionLib.lab.registration_datasets import LabelledImage, RegistrationPair
from UltrasoundMotionLib.registration import register
from UltrasoundMotionLib.registration.label_doubts import ClassMaps, compare_with_labels, compare_with_maps
from UltrasoundMotionLib.registration.learned.model_domain import CARDIAC_CINE
from UltrasoundMotionLib.registration.learned.network_choice import DomainNetwork

SLICES, SIZE = 7, 40
RV, LV = 1, 3
NAMES = {1: "RV", 2: "myocardium", 3: "LV"}


def volume(array, spacing=(2.0, 2.0, 10.0)):
    return Volume(np.asarray(array), spacing, (0.0,) * 3, np.eye(3))


def heart(without=()):
    """(D, H, W) labels of a heart: two ventricles and a wall in every slice but the RV in those `without` it."""
    y, x = np.mgrid[:SIZE, :SIZE]
    labels = np.zeros((SLICES, SIZE, SIZE), np.uint8)
    labels[:, (x - 24) ** 2 + (y - 20) ** 2 < 10**2] = 2
    labels[:, (x - 24) ** 2 + (y - 20) ** 2 < 6**2] = LV
    crescent = ((x - 14) ** 2 + (y - 20) ** 2 < 9**2) & (labels[0] == 0)
    labels[np.ix_([one for one in range(SLICES) if one not in without], *map(np.arange, (SIZE, SIZE)))] += (
        crescent * np.uint8(RV)
    )
    return labels


def shares(labels):
    """(1, 3, D, H, W) probabilities that a network might give for labels."""
    return torch.from_numpy(0.9 * np.stack([labels == value for value in NAMES])[None].astype(np.float32))


def maps_of(fixed, moving, known=None):
    known = np.ones(fixed.shape) if known is None else known
    grid = ImageGrid.of(volume(fixed))
    return ClassMaps(NAMES, shares(fixed), shares(moving), torch.from_numpy(known.astype(np.float32))[None, None], grid)


def test_a_label_carried_into_slices_where_the_network_sees_none_is_named():
    moving = volume(heart())
    found = compare_with_maps(moving, moving, None, maps_of(heart(without=(5, 6)), heart()))
    assert {value: (one.name, one.axis, one.only_carried, one.only_seen) for value, one in found.doubts.items()} == {
        1: ("RV", "k", (5, 6), ()),
        2: ("myocardium", "k", (), ()),
        3: ("LV", "k", (), ()),
    }
    assert found.notes == (
        "label 1 (RV) is carried into slices k = 5 and 6 (from 0), where the network sees hardly any: check it there",
    )
    confidence = found.confidence.array
    assert confidence[0][moving.array[0] == RV] == pytest.approx(0.9)
    assert confidence[6][moving.array[6] == RV] == pytest.approx(0.0)
    assert confidence[6, 0, 0] == 1 and not np.isnan(confidence).any()


def test_a_label_that_the_network_sees_and_that_is_not_carried_is_named():
    moving = volume(heart(without=(6,)))
    found = compare_with_maps(moving, moving, None, maps_of(heart(), moving.array))
    assert found.notes == (
        "label 1 (RV) is hardly carried into slice k = 6 (from 0), where the network sees it: check it there",
    )
    assert found.doubts[1].only_seen == (6,)
    assert found.confidence.array[6][heart()[6] == RV] == pytest.approx(0.1)


def test_labels_are_known_by_where_they_lie_not_by_their_number():
    """As in other data sets: 1 is the left ventricle, 7 the right one, 20 something that no class is of."""
    moving = np.zeros_like(heart())
    for own, other in ((LV, 1), (RV, 7)):
        moving[heart() == own] = other
    moving[:, :4] = 20
    found = compare_with_maps(volume(moving), volume(moving), None, maps_of(heart(without=(0,)), heart()))
    assert {value: one.name for value, one in found.doubts.items()} == {1: "LV", 7: "RV"}
    assert found.notes == (
        "label 7 (RV) is carried into slice k = 0 (from 0), where the network sees hardly any: check it there",
        "label 20 could not be compared with what the network sees: in the moving image it matches none of RV,"
        " myocardium, LV",
    )
    confidence = found.confidence.array
    assert np.isnan(confidence[moving == 20]).all() and np.isnan(confidence[moving == 0]).all()
    assert (confidence[moving == 1] == np.float32(0.9)).all()


def test_nothing_is_said_of_slices_that_the_network_was_not_given():
    known = np.ones((SLICES, SIZE, SIZE))
    known[5:] = 0
    moving = volume(heart())
    found = compare_with_maps(moving, moving, None, maps_of(heart(without=(4, 5, 6)), heart(), known))
    assert found.doubts[1].only_carried == (4,)
    assert np.isnan(found.confidence.array[5:]).all() and not np.isnan(found.confidence.array[:5]).any()


def test_slices_lie_along_the_thick_axis_and_other_images_are_compared_as_a_whole():
    turned = volume(np.ascontiguousarray(heart().transpose(1, 2, 0)), (10.0, 2.0, 2.0))
    fixed = volume(np.ascontiguousarray(heart(without=(6,)).transpose(1, 2, 0)), (10.0, 2.0, 2.0))
    doubt = compare_with_labels(turned, turned, fixed).doubts[1]
    assert (doubt.axis, doubt.only_carried, doubt.compared_with) == ("i", (6,), "fixed labels")
    cubes = replace(turned, spacing_mm=(2.0,) * 3)
    assert not compare_with_labels(cubes, cubes, replace(fixed, spacing_mm=(2.0,) * 3)).notes
    grid = ImageGrid.of(cubes)
    there, missing = (shares(heart(without).transpose(1, 2, 0)) for without in ((), range(SLICES)))
    found = compare_with_maps(cubes, cubes, None, ClassMaps(NAMES, missing, there, torch.ones_like(there[:, :1]), grid))
    assert (found.doubts[1].axis, found.doubts[1].only_carried) == ("", (0,))
    assert found.notes == (
        "label 1 (RV) is carried into the fixed image, where the network sees hardly any: check it there",
    )


def test_labels_of_the_fixed_image_are_compared_by_their_number():
    moving = volume(heart())
    found = compare_with_labels(moving, moving, volume(heart(without=(0, 3, 6))))
    assert found.notes == (
        "label 1 is carried into slices k = 0, 3 and 6 (from 0), where the fixed labels have hardly any: check it"
        " there",
    )
    assert compare_with_labels(moving, moving, volume(10 + heart())).doubts == {}
    gone = compare_with_labels(volume(0 * heart()), moving, volume(heart(without=range(1, SLICES))))
    assert gone.doubts[1].only_seen == (0,)


@pytest.fixture
def drawn_maps(monkeypatch):
    """The method anatomy-guided with a network that draws a heart without RV in two slices of the fixed image, and with
    a refinement that leaves the images where they are.
    """
    learned = "UltrasoundMotionLib.registration.learned"
    network = DomainNetwork("drawn", None, CARDIAC_CINE)
    drawn = shares(heart(without=(5, 6))), shares(heart())
    monkeypatch.setattr(f"{learned}.orientation.oriented_network", lambda pair, *_: (pair, network))
    monkeypatch.setattr(f"{learned}.anatomy_maps.class_maps", lambda *_: drawn)
    monkeypatch.setattr(
        f"{learned}.guided_refinement.refined",
        lambda pair, *_, **__: torch.zeros(1, 3, *pair.fixed.shape[2:]),
    )


def images():
    noise = np.random.default_rng(0).random((SLICES, SIZE, SIZE))
    return [volume((50 * heart() + one * noise).astype(np.float32)) for one in (1, 2)]


@pytest.mark.usefixtures("drawn_maps")
def test_a_registration_says_where_carried_labels_are_in_doubt_unless_the_users_labels_guide():
    fixed, moving = images()
    given = {"moving_labels": volume(heart()), "method": "anatomy-guided", "initial_transform": None, "device": "cpu"}
    found = register(fixed, moving, **given)
    assert found.measures.label_doubts[1].only_carried == (5, 6)
    assert any("label 1 (RV) is carried into slices k = 5 and 6" in note for note in found.notes)
    assert found.label_confidence.array.shape == fixed.array.shape
    measured = register(fixed, moving, **given, fixed_labels=volume(heart()))
    assert measured.measures.label_doubts == found.measures.label_doubts
    guided = register(fixed, moving, **given, fixed_labels=volume(heart(without=(0,))), guide_labels="fixed")
    assert guided.measures.label_doubts[1].only_carried == (0,) and guided.label_confidence is None
    assert any("label 1 is carried into slice k = 0 (from 0), where the fixed labels" in one for one in guided.notes)
    given.pop("moving_labels")
    assert register(fixed, moving, **given).measures.label_doubts == {}

    # through a job, whose measures are JSON and whose volumes are files
    named = ("warped", "warped_labels", "label_confidence")
    plain = {
        "grid": plain_geometry(found.displacement.grid),
        "volumes": {name: plain_geometry(getattr(found, name)) for name in named},
        "measures": asdict(found.measures),
        **{name: getattr(found, name) for name in ("method", "notes", "interrupted")},
    }
    arrays = {name: getattr(found, name).array for name in named}
    arrays["displacement_mm"] = found.displacement.displacement_mm
    back = register_job.result(None, SimpleNamespace(read=arrays.__getitem__), json.loads(json.dumps(plain)))
    assert back.measures.label_doubts == found.measures.label_doubts
    assert back.label_confidence.array is arrays["label_confidence"]


@pytest.mark.usefixtures("drawn_maps")
def test_the_command_line_reports_doubts_and_writes_the_confidence(tmp_path, capsys):
    files = {name: tmp_path / f"{name}.nrrd" for name in ("fixed", "moving", "labels", "u", "out", "c")}
    for name, one in zip(("fixed", "moving", "labels"), (*images(), volume(heart())), strict=True):
        write_volume(files[name], one)
    words = ["register", files["fixed"], files["moving"], "--out-displacement", files["u"], "--initial", "none"]
    words += ["--moving-labels", files["labels"], "--out-labels", files["out"], "--report", tmp_path / "report.json"]
    words += ["--method", "anatomy-guided", "--out-confidence", files["c"]]
    words = [str(word) for word in words]
    assert main(words) == 0
    said = "label 1 (RV) is carried into slices k = 5 and 6 (from 0), where the network sees hardly any"
    assert f"note: {said}" in capsys.readouterr().out
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["label_doubts"]["1"] == {
        "name": "RV",
        "compared_with": "network",
        "axis": "k",
        "only_carried": [5, 6],
        "only_seen": [],
    }
    _, _, doubts = measure_case("register", tmp_path)
    assert "label 1: to be checked in 2 slices" in doubts
    confidence, labels = read_volume(files["c"]).array, read_volume(files["out"]).array
    assert (confidence[5:][labels[5:] == RV] == 0).all() and (confidence[:5][labels[:5] == RV] > 0.8).all()
    for more in (["--no-refine"], ["--guide-labels", "fixed", "--fixed-labels", str(files["labels"])]):
        assert main([*words, *more]) == 2
        assert "--out-confidence: needs the class map of FIXED" in capsys.readouterr().err
    assert main([*words[:-1], str(tmp_path / "c.nii.gz")]) == 2
    assert "c.nii.gz: holds NaN where nothing is known" in capsys.readouterr().err
    with_another = heart()
    with_another[0, :3, :3] = 9
    write_volume(files["labels"], volume(with_another))
    assert main(words) == 0
    assert "label 9 could not be compared" in capsys.readouterr().out
    confidence = sitk.GetArrayFromImage(sitk.ReadImage(str(files["c"])))
    assert np.isnan(confidence[0, 1, 1]) and (confidence[:5][labels[:5] == RV] > 0.8).all()


def test_named_slices_are_counted_against_those_that_an_expert_draws_otherwise():
    """The expert draws no RV in slices 4 and 5, the network sees none in 5 and 6."""
    image, moving = volume(heart().astype(np.float32)), volume(heart())
    pair = RegistrationPair("heart", LabelledImage(image, volume(heart(without=(4, 5)))), LabelledImage(image, moving))
    doubts = compare_with_maps(moving, moving, None, maps_of(heart(without=(5, 6)), heart())).doubts
    found = SimpleNamespace(warped_labels=moving, measures=SimpleNamespace(label_doubts=doubts))
    result = measure_label_doubts([pair, pair], lambda *_, **__: found)
    rows = {(row.label, row.kind): (row.wrong, row.pairs, row.named, row.false_alarms) for row in result.rows}
    assert rows.pop(("RV", CARRIED)) == (4, 2, 2, 2)
    assert rows.pop(("RV", DRAWN)) == (0, 0, 0, 0) and set(rows.values()) == {(0, 0, 0, 0)}
    assert "false alarms" in result.table()
