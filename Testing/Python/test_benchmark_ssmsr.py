"""The experiments of Zhu et al. on small drawn data in the layout of the real ones."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.ndimage import gaussian_filter, map_coordinates

from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.lab import registration_datasets
from UltrasoundMotionLib.lab.benchmarks.peers.ants import bspline_syn
from UltrasoundMotionLib.lab.benchmarks.ssmsr.atlases import most_similar_when_registered
from UltrasoundMotionLib.lab.benchmarks.ssmsr.blood_region import blood_contours, region_of
from UltrasoundMotionLib.lab.benchmarks.ssmsr.echo_folder import choose_test_patients, read_echo_folder
from UltrasoundMotionLib.lab.benchmarks.ssmsr.published import SSMSR, SSR, TABLE_1, TABLE_2, VOXELMORPH
from UltrasoundMotionLib.lab.benchmarks.ssmsr.segmentation import SegmentationOptions, split_subjects
from UltrasoundMotionLib.lab.benchmarks.ssmsr.tracking import TrackingOptions, run_tracking
from UltrasoundMotionLib.registration import register
from UltrasoundMotionLib.registration.methods.multiscale import optimisation
from UltrasoundMotionLib.registration.methods.multiscale.weights import write_weights
from UltrasoundMotionLib.registration.methods.voxelmorph.unet import ResidualUNet

torch.set_num_threads(1)

SHAPE = (16, 18, 14)


@pytest.fixture
def hippocampi(tmp_path, monkeypatch):
    """Ten drawn subjects with labels 1 and 2, on a grid far smaller than the hippocampi's."""
    monkeypatch.setattr(registration_datasets, "HIPPOCAMPUS_SHAPE", (16, 20, 16))
    folder = tmp_path / "Task04"
    random = np.random.default_rng(5)
    for place in ("images", "labels"):
        (folder / place).mkdir(parents=True)
    for number in (1, 2, 3, 4, 5, 6, 7, 8, 310, 311):
        labels = np.zeros(SHAPE, np.uint8)
        top, left = random.integers(3, 6, 2)
        labels[4:8, top : top + 6, left : left + 5] = 1
        labels[8:12, top : top + 6, left : left + 5] = 2
        image = gaussian_filter(200.0 * labels + 40 * random.normal(size=SHAPE), 1.0).astype(np.float32)
        for place, array in (("images", image), ("labels", labels)):
            sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / place / f"hippocampus_{number:03d}.nii.gz"))
    return folder


def test_a_fifth_of_the_subjects_is_tested_and_no_subject_twice(hippocampi):
    training, test = split_subjects(hippocampi, SegmentationOptions())
    assert (len(training), len(test)) == (8, 2)
    assert not set(training) & set(test)
    assert split_subjects(hippocampi, SegmentationOptions()) == (training, test)
    training, test = split_subjects(hippocampi, SegmentationOptions(part="validation", subjects=3))
    assert training == ("hippocampus_001", "hippocampus_002", "hippocampus_003")
    assert test == ("hippocampus_310", "hippocampus_311")


def test_the_atlas_is_the_most_similar_after_registration(hippocampi, tmp_path):
    """A network that moves everything by three voxels makes the image that lies three voxels aside the most similar."""
    network = ResidualUNet(3)
    torch.nn.init.zeros_(network.field.weight)
    network.field.bias.data = torch.tensor([3.0, 0.0, 0.0])
    write_weights(tmp_path / "shift.safetensors", [network.state_dict()])
    one = registration_datasets.read_hippocampus(hippocampi, "hippocampus_001")
    near, aside = (
        registration_datasets.LabelledImage(
            type(one.image)(np.roll(one.image.array, shift, 2), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3)), one.labels
        )
        for shift in (1, 3)
    )
    found = most_similar_when_registered("fixed", one, {"near": near, "aside": aside}, tmp_path / "shift.safetensors")
    assert found.atlas == "aside"
    assert found.nlcc > 0.7


@pytest.mark.training
def test_table_1_is_made_by_one_command_and_goes_on_where_it_ended(hippocampi, tmp_path, capsys):
    out, report = tmp_path / "run", tmp_path / "t.json"
    command = ["benchmark", "ssmsr-segmentation", "--data", str(hippocampi), "--out", str(out), "--part", "validation"]
    command += ["--steps", "2", "--training-steps", "2", "--json", str(report), "--device", "cpu"]
    names = ["unregistered", VOXELMORPH, "NeurReg", SSR, "SSMSR (1/2)", SSMSR, "ours:demons"]
    assert main([*command, "--methods", *names]) == 0
    assert "skipped" not in capsys.readouterr().out
    methods = {one["method"]: one["pairs"] for one in json.loads(report.read_text())["methods"]}
    assert list(methods) == names
    assert len({pair["pair"] for pairs in methods.values() for pair in pairs}) == 2  # the same atlases for all
    for name in names:
        assert len(methods[name]) == 2
        assert 0 < methods[name][0]["dice"]["head"] <= 1
    before = (out / "rows.jsonl").read_text()
    assert main([*command, "--methods", *names]) == 0
    assert (out / "rows.jsonl").read_text() == before
    table = capsys.readouterr().out
    assert f"{TABLE_1[SSMSR][2]:.2f}" in table
    subjects = [registration_datasets.read_hippocampus(hippocampi, f"hippocampus_{number}") for number in (310, 311)]
    fixed, moving = (one.image for one in subjects)
    found = register(fixed, moving, method="ssmsr", weights=out / "ssmsr-2" / "ssmsr-2.json", settings={"steps": 1})
    assert found.method == "ssmsr"
    assert main([*command[:-2], "--methods", SSMSR, "--against", "greedy"]) == 2
    assert "greedy" in capsys.readouterr().err


def test_a_peer_that_is_not_installed_is_a_row(hippocampi, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    command = ["benchmark", "ssmsr-segmentation", "--data", str(hippocampi), "--out", str(tmp_path / "run")]
    command += ["--training-steps", "1", "--images", "1", "--methods", "NiftyReg", "--device", "cpu"]
    assert main(command) == 0
    assert "skipped: comparing with NiftyReg needs reg_f3d, reg_transform" in capsys.readouterr().out


def drawn_clip(frame_count=4, shape=(48, 56), step=(1.0, -0.5), seed=0):
    """Speckle that moves by `step` (x, y) pixels a frame, (T, H, W) uint8."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(shape[0] + 30, shape[1] + 30)), 1.5)
    rows, columns = np.indices(shape) + 15.0
    frames = [
        map_coordinates(noise, [rows - number * step[1], columns - number * step[0]], order=3)
        for number in range(frame_count)
    ]
    return np.clip(120 + 250 * np.stack(frames), 10, 240).astype(np.uint8)


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def disc(shape, centre, radius):
    rows, columns = np.indices(shape)
    return (columns - centre[0]) ** 2 + (rows - centre[1]) ** 2 <= radius**2


@pytest.fixture
def echoes(tmp_path):
    """Four patients with a clip each, and masks of the blood at frames 0 and 3."""
    folder = tmp_path / "echo"
    for number in range(4):
        place = folder / f"p{number}"
        place.mkdir(parents=True)
        clip = drawn_clip(seed=number)
        sitk.WriteImage(sitk.GetImageFromArray(clip), str(place / "clip.nrrd"))
        (place / "notes.txt").write_text("not a clip")
        for frame, radius in ((0, 16), (3, 10)):
            mask = sitk.GetImageFromArray(255 * disc(clip.shape[1:], (28, 24), radius).astype(np.uint8))
            sitk.WriteImage(mask, str(place / f"clip.blood-{frame}.png"))
    return folder


def test_the_region_of_the_blood_goes_evenly_from_mask_to_mask():
    shape = (80, 90)
    rows, columns = np.indices(shape)
    wide = (((columns - 45) / 30) ** 2 + ((rows - 40) / 18) ** 2) <= 1  # an ellipse: the circle must be drawn to it
    masks = {0: wide, 4: disc(shape, (45, 40), 12)}
    contours = blood_contours(masks, 7)
    assert contours.shape == (7, 100, 2)
    for frame, mask in masks.items():
        region = region_of(contours[frame], shape)
        assert dice(region, mask) > 0.95
    np.testing.assert_allclose(contours[2], (contours[0] + contours[4]) / 2, atol=1e-9)
    np.testing.assert_array_equal(contours[6], contours[4])
    areas = [region_of(one, shape).sum() for one in contours]
    assert areas[0] > areas[1] > areas[2] > areas[3] > areas[4] == areas[6]
    with pytest.raises(InputError, match="two frames or more"):
        blood_contours({0: wide}, 7)
    with pytest.raises(InputError, match="the clip has 0 to 3"):
        blood_contours(masks, 4)
    with pytest.raises(InputError, match="an inside and an outside"):
        blood_contours({0: wide, 1: np.zeros(shape)}, 7)


def test_a_pair_of_frames_is_the_papers(echoes):
    """The frame is fixed, the one before it moves; images of blood are 0 outside of their own region."""
    clip = read_echo_folder(echoes, "myocardium")["p1"][0]
    frames = drawn_clip(seed=1) / 255.0
    assert list(clip.pair_numbers) == [1, 2, 3]
    pair = clip.pair(2)
    np.testing.assert_allclose(pair.fixed[0, 0], frames[2], atol=0.02)
    np.testing.assert_allclose(pair.moving[0, 0], frames[1], atol=0.02)
    assert bool((pair.fixed_mask == 1).all())  # nothing is darker than 0.005 or brighter than 0.995
    blood = read_echo_folder(echoes, "blood", frame_limit=2)["p1"][0]
    assert list(blood.pair_numbers) == [1]
    pair = blood.pair(1)
    for image, mask in ((pair.fixed, pair.fixed_mask), (pair.moving, pair.moving_mask)):
        assert bool((image[mask == 0] == 0).all())
        assert bool((image[mask > 0] > 0).all())
    assert float(pair.fixed_mask.sum()) < float(pair.moving_mask.sum())


def test_three_patients_are_tested_and_wrong_folders_are_refused(echoes, tmp_path):
    patients = read_echo_folder(echoes, "myocardium")
    assert list(patients) == ["p0", "p1", "p2", "p3"]
    chosen = choose_test_patients(patients, (), 1)
    assert len(set(chosen)) == 3
    assert choose_test_patients(patients, (), 1) == chosen
    assert choose_test_patients(patients, ("p2",), 1) == ["p2"]
    with pytest.raises(InputError, match="p9"):
        choose_test_patients(patients, ("p9",), 1)
    with pytest.raises(InputError, match="a folder for each patient"):
        read_echo_folder(tmp_path / "nowhere", "myocardium")
    (echoes / "p3" / "clip.blood-0.png").unlink()
    with pytest.raises(InputError, match=r"clip\.nrrd: has 1 masks of blood"):
        read_echo_folder(echoes, "blood")


@pytest.mark.training
@pytest.mark.parametrize("tissue", ["myocardium", "blood"])
def test_table_2_is_made_by_one_command(echoes, tmp_path, capsys, tissue):
    out, report = tmp_path / "run", tmp_path / "t.json"
    command = ["benchmark", "ssmsr-tracking", "--data", str(echoes), "--out", str(out), "--tissue", tissue]
    command += ["--test-patients", "p0", "--steps", "30", "--training-steps", "30", "--json", str(report)]
    command += ["--device", "cpu", "--pictures", str(tmp_path / "pictures"), "--methods"]
    names = ["no motion", VOXELMORPH, SSR, "SSMSR (1/8)", "SSMSR (1/4)", "SSMSR (1/2)", SSMSR]
    assert main([*command, *names]) == 0
    assert f"{TABLE_2[tissue][SSMSR][1]:.4f}" in capsys.readouterr().out
    content = json.loads(report.read_text())
    assert (content["test_clips"], content["training_clips"]) == (1, 3)
    nlcc = {row["method"]: [one["nlcc"] for one in row["frames"]] for row in content["rows"]}
    assert list(nlcc) == names
    assert all(len(values) == 3 for values in nlcc.values())  # every frame that has one before it
    assert np.mean(nlcc[SSMSR]) > np.mean(nlcc["no motion"])
    (picture,) = (tmp_path / "pictures").iterdir()
    assert picture.name.startswith(f"{tissue}-p0-clip-frame-")
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(picture))).std() > 10
    kept = list((out / tissue / "fields").rglob("*.npy"))
    assert len(kept) == len(names)
    assert {np.load(one).shape for one in kept} == {(2, 48, 56)}
    before = (out / "rows.jsonl").read_text()
    assert main([*command, *names]) == 0
    assert (out / "rows.jsonl").read_text() == before


def test_one_network_is_optimised_for_a_whole_clip(echoes, tmp_path, monkeypatch):
    seen = []

    def optimise(pairs, settings, report, *, on_scale):
        seen.append((len(pairs), settings.steps, [bool(pair.fixed_mask.any()) for pair in pairs]))
        for scale in settings.scales_in(2):
            on_scale(scale, tuple(torch.zeros(1, 2, *pair.fixed.shape[2:]) for pair in pairs))

    monkeypatch.setattr(optimisation, "optimise_scales", optimise)
    options = TrackingOptions(test_patients=("p0", "p1", "p2", "p3"))
    result = run_tracking(echoes, tmp_path, [VOXELMORPH, SSR, SSMSR], options)
    assert seen == [(3, 3500, [True] * 3)] * 8  # four clips by SSR and by SSMSR, with the tissue's mask
    assert [len(row.frames) for row in result.rows] == [12, 12]
    assert "none is left to train on" in result.missing[VOXELMORPH]
    with pytest.raises(InputError, match="greedy"):
        run_tracking(echoes, tmp_path, ["greedy"], options)


@pytest.mark.slow
def test_ants_by_the_papers_settings_finds_a_known_motion():
    pytest.importorskip("ants", reason="needs the extra benchmark")
    frames = drawn_clip(frame_count=2, step=(2.0, -1.0)).astype(np.float32)
    moving, fixed = (Volume(one, (1.0, 1.0), (0.0, 0.0), np.eye(2), "frame") for one in frames)
    mask = Volume(np.ones(frames[0].shape, np.uint8), (1.0, 1.0), (0.0, 0.0), np.eye(2), "mask")
    found = bspline_syn(fixed, moving, mask).displacement_mm[12:-12, 12:-12]
    np.testing.assert_allclose(found.reshape(-1, 2).mean(axis=0), [-2.0, 1.0], atol=0.2)
