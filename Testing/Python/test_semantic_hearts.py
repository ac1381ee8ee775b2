"""Table 2 of the semantically guided paper on a small folder in ACDC's layout, and the parts that it is made of."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import compose, jacobian_measures, warp
from UltrasoundMotionLib.images import Volume, write_volume
from UltrasoundMotionLib.lab import registration_datasets
from UltrasoundMotionLib.lab.benchmarks.semantic_hearts.lcc_demons import LccDemonsSettings, lcc_demons
from UltrasoundMotionLib.lab.benchmarks.semantic_hearts.splits import split_patients
from UltrasoundMotionLib.lab.training.data import registration_subjects
from UltrasoundMotionLib.lab.training.data.epoch_pairs import EpochPairs
from UltrasoundMotionLib.lab.training.data.registration_pairs import LabelledArrays, TrainingSubject
from UltrasoundMotionLib.lab.training.published_semantic import published_settings
from UltrasoundMotionLib.lab.training.schedule import schedule_of
from UltrasoundMotionLib.registration.gaussian_smoothing import smooth
from UltrasoundMotionLib.registration.learned import model_domain
from UltrasoundMotionLib.registration.methods.semantic import TWO_STEP
from UltrasoundMotionLib.weights import load_network, read_card

SHAPE = (16, 32, 32)


def draw_heart(radius: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A left ventricle in its myocardium beside a right ventricle, in 10 slices of 40 x 40 pixels."""
    y, x = np.mgrid[:40, :40] - 20.0
    distance = np.hypot(x, y)
    plane = np.zeros((40, 40), np.uint8)
    plane[np.hypot(x - 9, y) < 6] = 1
    plane[distance < radius + 3] = 2
    plane[distance < radius] = 3
    labels = np.zeros((10, 40, 40), np.uint8)
    labels[2:8] = plane
    noise = np.random.default_rng(seed).normal(size=labels.shape)
    return (50 + 40 * labels + 3 * noise).astype(np.float32), labels


def write_patient(folder: Path, number: int) -> Path:
    """Writes a patient as ACDC has it."""
    place = folder / f"patient{number:03d}"
    place.mkdir(parents=True)
    (place / "Info.cfg").write_text("ED: 1\nES: 7\nGroup: NOR\nNbFrame: 12\n")
    for frame, radius in ((1, 6.0), (7, 4.0)):
        for ending, array in zip(("", "_gt"), draw_heart(radius, number), strict=True):
            volume = Volume(array, (1.56, 1.56, 2.5), (0.0,) * 3, np.eye(3), "image")
            write_volume(place / f"{place.name}_frame{frame:02d}{ending}.nii.gz", volume)
    return place


@pytest.fixture
def small_grid(monkeypatch):
    """The paper's grid with fewer voxels."""
    domain = replace(model_domain.CARDIAC_CINE_PUBLISHED, shape=SHAPE)
    monkeypatch.setattr(model_domain, "CARDIAC_CINE_PUBLISHED", domain)
    monkeypatch.setattr(registration_subjects, "CARDIAC_CINE_PUBLISHED", domain)
    monkeypatch.setattr(registration_datasets, "ACDC_PAPER_SHAPE", SHAPE)


def command(data: Path, out: Path, *words: str) -> list[str]:
    given = ["--data", str(data), "--out", str(out), "--epochs", "1", "--batch", "2", "--threads", "1"]
    return ["benchmark", "semantic-hearts", *given, *words]


@pytest.mark.training
def test_the_command_trains_measures_and_keeps(small_grid, tmp_path, capsys):
    data, out, table = tmp_path / "acdc", tmp_path / "out", tmp_path / "table.json"
    for number in (1, 2, 3, 15, 16):
        write_patient(data, number)
    assert main(command(data, out, "--json", str(table))) == 0
    printed = capsys.readouterr().out
    assert "1 epochs of 3 patients from seed 1; 2 patients measured" in printed
    assert "Krebs et al." in printed and "the paper quotes 0.715" in printed
    content = json.loads(table.read_text())
    rows = {row["variant"]: row for row in content["rows"]}
    assert list(rows) == ["no registration", "lcc-demons", "voxelmorph", "semantic-published"]
    radii = [np.hypot(*(np.mgrid[:40, :40] - 20.0)) < radius for radius in (6, 4)]
    overlap = 2 * (radii[0] & radii[1]).sum() / (radii[0].sum() + radii[1].sum())
    assert rows["no registration"]["dice"]["LV"] == pytest.approx(overlap, abs=1e-6)
    assert rows["lcc-demons"]["dice"]["LV"] > overlap + 0.05
    assert rows["lcc-demons"]["negatives"] == 0
    assert rows["semantic-published"]["parameters"] > 2e6 and rows["semantic-published"]["training_seconds"] > 0
    card = read_card(out / "semantic-published" / "semantic-published-cardiac.json")
    assert card.trained_on[0].endswith("3 patients") and "semantic-hearts" in card.command
    assert card.configuration["loss"]["full_resolution"] and card.configuration["network"]["statistics"] == "learnt"
    load_network(out / "semantic-published" / "semantic-published-cardiac.json", TWO_STEP)
    for name in ("voxelmorph", "semantic-published"):  # what has its row is not trained again
        (out / name / "state.pt").unlink()
    assert main(command(data, out, "--json", str(table))) == 0
    assert json.loads(table.read_text())["rows"][1:] == content["rows"][1:]
    assert not (out / "voxelmorph" / "state.pt").exists()
    capsys.readouterr()
    assert main(command(data, out, "--seed", "2", "--methods", "lcc-demons", "--against", "lcc-demons")) == 2
    assert "is of a run with other settings" in capsys.readouterr().err


def test_the_paper_s_split_is_70_and_30_with_every_diagnosis_in_both():
    names = [f"patient{number:03d}" for number in range(1, 101)]
    learnt, measured = split_patients(names, "paper")
    assert (len(learnt), len(measured)) == (70, 30) and not set(learnt) & set(measured)
    groups = [(int(name[7:]) - 1) // 20 for name in measured]
    assert [groups.count(group) for group in range(5)] == [6] * 5
    assert [len(part) for part in split_patients(names, "validation")] == [50, 5]
    with pytest.raises(InputError, match="among the last six of a group of twenty; give all 100"):
        split_patients(names[:14], "paper")
    with pytest.raises(InputError, match="patientX: not named as ACDC's patients are"):
        split_patients(["patientX"], "paper")


def refused(capsys, *words: str) -> str:
    """Returns the one line that a refused command writes."""
    assert main(list(words)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_bad_data_is_one_line(small_grid, tmp_path, capsys):
    data = tmp_path / "acdc"
    write_patient(data, 1)
    place = write_patient(data, 15)
    words = command(data, tmp_path / "out", "--methods", "lcc-demons", "--against", "lcc-demons")
    truth = place / "patient015_frame07_gt.nii.gz"
    whole = truth.read_bytes()
    truth.unlink()
    assert "patient015_frame07_gt.nii.gz" in refused(capsys, *words)
    truth.write_bytes(whole[: len(whole) // 2])
    assert "patient015_frame07_gt.nii.gz" in refused(capsys, *words)
    _, labels = draw_heart(4.0, 0)
    labels[labels == 3] = 7
    write_volume(truth, Volume(labels, (1.56, 1.56, 2.5), (0.0,) * 3, np.eye(3), "image"))
    assert "patient015: label 7 is none of cardiac-published's, 1 RV, 2 myocardium, 3 LV" in refused(capsys, *words)
    (place / "Info.cfg").write_text("ED: 1\n")
    assert "Info.cfg: no line ES" in refused(capsys, *words)
    assert "no patient*/Info.cfg" in refused(capsys, *command(tmp_path / "nothing", tmp_path / "out"))


def test_lcc_demons_finds_a_motion_whatever_the_gain_and_the_other_way_round():
    texture = smooth(torch.rand(1, 1, 48, 56, generator=torch.Generator().manual_seed(0)), [2.5, 2.5])
    moving = (texture - texture.min()) / (texture.max() - texture.min()) + 0.2
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(56.0), indexing="ij")
    bump = torch.exp(-((x - 28) ** 2 + (y - 24) ** 2) / 300)
    true = torch.stack([2.5 * torch.sin(y / 9) * bump, 2 * bump])[None]
    fixed = warp(moving, true)
    found = lcc_demons(fixed, moving, (1.0, 1.0))
    middle = (..., slice(8, -8), slice(8, -8))
    error = (found - true)[middle].norm(dim=1).mean()
    assert error < 0.5 * true[middle].norm(dim=1).mean()
    assert jacobian_measures(found).minimum > 0
    assert (lcc_demons(3 * fixed, moving, (1.0, 1.0)) - found).abs().max() < 1e-4
    back = lcc_demons(moving, fixed, (1.0, 1.0))
    assert compose(found, back)[middle].norm(dim=1).mean() < 0.02
    assert lcc_demons(moving, moving, (1.0, 1.0)).abs().max() < 1e-4
    with pytest.raises(InputError, match="images of one shape are needed"):
        lcc_demons(fixed, moving[..., 1:], (1.0, 1.0))
    with pytest.raises(InputError, match="trade_off above 0"):
        LccDemonsSettings(trade_off=0.0)


def subjects(count: int, phases: int) -> list[TrainingSubject]:
    """Subjects whose images are their numbers, plus a half in later phases."""
    return [
        TrainingSubject(
            f"{number}",
            tuple(
                LabelledArrays(np.full((8, 8), number + phase / 2, np.float16), np.eye(8, dtype=np.uint8))
                for phase in range(phases)
            ),
        )
        for number in range(count)
    ]


def test_every_subject_is_seen_once_an_epoch():
    pairs = EpochPairs(subjects(5, phases=2), size=2, affine=0.0, seed=3)
    assert pairs.epoch_steps == 3
    epochs = [[pairs.draw(3 * epoch + step).fixed[:, 0, 0, 0].tolist() for step in range(3)] for epoch in range(2)]
    assert [len(one) for one in epochs[0]] == [2, 2, 1]
    assert [sorted(value for step in epoch for value in step) for epoch in epochs] == [[0, 1, 2, 3, 4]] * 2 and epochs[
        0
    ] != epochs[1]
    batch = pairs.draw(4)
    assert torch.equal(batch.moving, batch.fixed + 0.5)
    again = EpochPairs(subjects(5, phases=2), size=2, affine=0.0, seed=3).draw(4)
    assert torch.equal(again.fixed, batch.fixed)
    random = EpochPairs(subjects(5, phases=1), size=5, affine=0.0, seed=3).draw(0)
    assert sorted(random.moving[:, 0, 0, 0].tolist()) == [0, 1, 2, 3, 4]
    assert not torch.equal(random.moving, random.fixed)
    turned = EpochPairs(subjects(2, phases=2), size=2, affine=0.05, seed=3).draw(0)
    assert torch.equal(turned.fixed_labels, turned.moving_labels)  # both images of a pair have one map
    assert not torch.equal(turned.fixed_labels[0], torch.eye(8, dtype=torch.long))
    for wrong in ([], subjects(1, phases=1), [*subjects(1, phases=2), *subjects(1, phases=1)]):
        with pytest.raises(InputError, match="pairs in epochs need subjects"):
            EpochPairs(wrong, size=1, affine=0.0, seed=1)


def test_the_learning_rate_falls_after_every_epoch_as_the_authors_code_has_it():
    settings = published_settings(epochs=300, epoch_steps=14, seed=1)
    assert settings.steps == 4200
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=settings.learning_rate)
    schedule = schedule_of(optimizer, settings)
    rates = []
    for _ in range(29):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates[:14] == [0.001] * 14
    assert rates[14] == pytest.approx(0.00097) and rates[28] == pytest.approx(0.001 * 0.97**2)
    with pytest.raises(InputError, match="decay must lie above 0"):
        replace(settings, decay=0.0)
