"""`train specknet` and `benchmark motion-bias`, from the command line."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from trajectory_samples import write_set
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.lab.benchmarks.motion_bias import polar_motion
from UltrasoundMotionLib.lab.training.data.trajectory_clips import read_trajectory_clips
from UltrasoundMotionLib.lab.training.log import read_log
from UltrasoundMotionLib.lab.training.objectives.specknet import SpeckNetObjective
from UltrasoundMotionLib.tracking.trackers.specknet import SPECKNET
from UltrasoundMotionLib.tracking.trackers.specknet.network import SpeckNet
from UltrasoundMotionLib.weights import load_network, read_card


@pytest.fixture
def real_frames(tmp_path):
    """A folder of two noisy PNGs."""
    folder = tmp_path / "frames"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(2):
        Image.fromarray(rng.integers(40, 255, (120, 140)).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.mark.training
def test_two_steps_leave_weights_and_a_log(real_frames, tmp_path, capsys) -> None:
    out = tmp_path / "run"
    line = [
        "train",
        "specknet",
        "--out",
        str(out),
        "--steps",
        "2",
        "--phantoms",
        "0",
        "--data",
        str(real_frames),
        "--full-part",
        "0",
    ]
    line += ["--validate-every", "0", "--device", "cpu", "--quiet"]
    assert main(line) == 0
    SpeckNet().load_state_dict(load_file(out / "specknet.safetensors"))
    assert str(out / "specknet.safetensors") in capsys.readouterr().out
    curves = read_log(out / "log.csv")
    assert curves["loss_total"][:, 0].tolist() == [2]
    assert not any(name.startswith("validation") for name in curves)
    assert (out / "log.png").stat().st_size > 5000
    again = tmp_path / "further"
    assert main([*line[:3], str(again), *line[4:], "--start-from", str(out / "specknet.safetensors")]) == 0
    card = read_card(out / "specknet.json")
    assert card.architecture == "SpeckNet" and card.configuration["channels"] == [32, 64, 96, 128]
    assert card.command == (
        f"ultrasound-motion train specknet --out OUT --steps 2 --seed 1 --validate-every 0 --data {real_frames} "
        "--phantoms 0 --full-part 0"
    )
    assert card.trained_on == (f"real frames warped by analytic motion: {real_frames}",)


@pytest.mark.training
def test_trained_weights_are_used_by_track(real_frames, tmp_path) -> None:
    line = ["train", "specknet", "--out", str(tmp_path / "run"), "--steps", "1", "--phantoms", "0", "--quiet"]
    line += ["--data", str(real_frames), "--full-part", "0", "--validate-every", "0", "--device", "cpu"]
    assert main(line) == 0
    network = load_network(tmp_path / "run" / "specknet.json", SPECKNET).network
    trained = load_file(tmp_path / "run" / "specknet.safetensors")
    assert all(torch.equal(value, trained[name]) for name, value in network.state_dict().items())
    points, tracks = tmp_path / "points.csv", tmp_path / "tracks.csv"
    points.write_text("label,x,y\na,60,50\nb,80,70\n")
    track = ["track", str(real_frames), "--points", str(points), "--out", str(tracks), "--model", "specknet-published"]
    assert main([*track, "--weights", str(tmp_path / "run" / "specknet.safetensors"), "--device", "cpu"]) == 0
    assert len(tracks.read_text().splitlines()) == 5


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--seed", "9000"], "9000"),
        (["--full-part", "2"], "--full-part"),
        (["--steps", "0"], "steps"),
        ([], "nothing to learn from"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(more, said, tmp_path, capsys) -> None:
    line = [
        "train",
        "specknet",
        "--out",
        str(tmp_path / "run"),
        "--phantoms",
        "0",
        "--validate-every",
        "0",
        "--device",
        "cpu",
        *more,
    ]
    assert main(line) == 2
    assert said in capsys.readouterr().err.strip().splitlines()[-1]


def test_polar_motion_is_as_the_paper_writes_it() -> None:
    trajectories = np.array([[[10.0, 10.0]], [[10.0, 13.0]], [[6.0, 10.0]]])  # three down, four to the left
    radius, angle = polar_motion(trajectories, 0)
    assert radius[:, 0].tolist() == [0, 3, 4]
    assert angle[1, 0] == pytest.approx(np.pi / 2)
    assert angle[2, 0] == pytest.approx(0)


@pytest.mark.training
def test_augmentation_takes_the_bias_away(tmp_path, capsys) -> None:
    assert (
        main(
            [
                "benchmark",
                "motion-bias",
                "--count",
                "16",
                "--out",
                str(tmp_path / "bias.png"),
                "--json",
                str(tmp_path / "bias.json"),
            ]
        )
        == 0
    )
    assert "72 %" in capsys.readouterr().out
    measured = json.loads((tmp_path / "bias.json").read_text())
    assert measured["before"][0]["one_way"] > 0.6
    assert all(one["one_way"] < 0.45 for one in measured["after"])
    assert Image.open(tmp_path / "bias.png").size[0] > 1000


@pytest.mark.training
def test_own_trajectories_are_learnt_from_and_their_held_out_patients_measured(tmp_path, capsys) -> None:
    trajectory_folder = write_set(tmp_path / "set")
    out = tmp_path / "run"
    line = ["train", "specknet", "--out", str(out), "--steps", "2", "--phantoms", "0", "--quiet", "--device", "cpu"]
    line += ["--trajectories", str(trajectory_folder), "--held-out-share", "0.3", "--full-part", "0"]
    own = read_trajectory_clips([trajectory_folder], 0.3, seed=1)
    held_out = {case.truth.labels for case in own.held_out}
    assert len(own.clips) + len(own.held_out) == 4 and len(held_out) == 1
    assert main([*line, "--validate-every", "0"]) == 0
    (text,) = read_card(out / "specknet.json").trained_on
    assert text == own.summary and "patients held out) of set" in text
    figures = SpeckNetObjective().validate(own.held_out)
    assert set(figures) == {"set_delta_avg_percent", "set_median_trajectory_error_px"}
    again = [*line, "--validate-every", "0", "--resume"]
    again[again.index("0.3")] = "0.6"
    assert main(again) == 2 and "digest" in capsys.readouterr().err
