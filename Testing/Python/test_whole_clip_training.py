"""`train echotracker` and `train pipspp`: one trainer and the clips that SpeckNet learns from, weights for `track`."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from trajectory_samples import write_set
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.data.clip_batches import BatchClip, ClipBatchSettings, segment_frames
from UltrasoundMotionLib.lab.training.data.trajectory_clips import read_trajectory_clips
from UltrasoundMotionLib.lab.training.objectives.echotracker import EchoTrackerObjective
from UltrasoundMotionLib.lab.training.objectives.pipspp import PipsPlusPlusObjective
from UltrasoundMotionLib.lab.training.objectives.whole_clip import WholeClipObjective
from UltrasoundMotionLib.weights import read_card, write_card

OBJECTIVES = {"echotracker": EchoTrackerObjective, "pipspp": PipsPlusPlusObjective}


@pytest.fixture
def real_frames(tmp_path):
    """A folder of two noisy PNGs."""
    folder = tmp_path / "frames"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(2):
        Image.fromarray(rng.integers(40, 255, (90, 110)).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def line(name, out, *more):
    words = ["train", name, "--out", str(out), "--steps", "2", "--phantoms", "0", "--quiet", "--device", "cpu"]
    return [*words, "--frames", "4", "--points", "8", "--image-side", "64", *more]


@pytest.mark.training
@pytest.mark.parametrize("name", OBJECTIVES)
def test_two_steps_leave_weights_that_track(name, real_frames, tmp_path):
    out = tmp_path / "run"
    assert main(line(name, out, "--data", str(real_frames), "--validate-every", "0")) == 0
    card = read_card(out / f"{name}.json")
    assert card.configuration["image_size"] == [64, 64]
    assert card.trained_on == (f"real frames warped by analytic motion: {real_frames}",)
    before = OBJECTIVES[name](64)
    assert set(before.weights()) == set(load_file(out / f"{name}.safetensors"))
    points, tracks = tmp_path / "points.csv", tmp_path / "tracks.csv"
    points.write_text("label,x,y\na,60,50\nb,80,70\n")
    track = ["track", str(real_frames), "--points", str(points), "--out", str(tracks), "--model", name, "--quiet"]
    assert main([*track, "--weights", str(out / f"{name}.safetensors"), "--device", "cpu"]) == 0
    assert len(tracks.read_text().splitlines()) == 5
    write_card(out / f"{name}.json", replace(card, licence="MIT"))  # as that of an imported checkpoint
    further = line(name, tmp_path / "further", "--data", str(real_frames), "--validate-every", "0")
    assert main([*further, "--start-from", str(out / f"{name}.safetensors")]) == 0
    learnt = read_card(tmp_path / "further" / f"{name}.json")
    assert learnt.licence == "MIT" and learnt.trained_on[1].startswith(f"begun with the weights {name}, real frames")


@pytest.mark.training
def test_own_trajectories_are_learnt_from_and_held_out_patients_measured(tmp_path):
    folder = write_set(tmp_path / "set")
    out = tmp_path / "run"
    given = ["--trajectories", str(folder), "--held-out-share", "0.3", "--validate-every", "0"]
    assert main(line("echotracker", out, *given)) == 0
    own = read_trajectory_clips([folder], 0.3, seed=1)
    assert read_card(out / "echotracker.json").trained_on == (own.summary,)
    figures = EchoTrackerObjective(64).eval().validate(own.held_out)
    assert set(figures) == {"set_delta_avg_percent", "set_median_trajectory_error_px"}


class Given(WholeClipObjective):
    """An objective whose network's trajectories are given."""

    name = "given"

    def __init__(self, found):
        super().__init__(torch.nn.Linear(1, 1), len(found))
        self.found, self.seen = found, []

    def follow(self, images, points):
        self.seen.append((images, points))
        return [one + 0 * self.network.weight.sum() for one in self.found]


def batch_clip(visible):
    points = torch.arange(12.0).reshape(3, 2, 2)
    return BatchClip(torch.full((3, 1, 16, 16), 0.75), points, torch.tensor(visible), 1)


def test_the_loss_weighs_later_steps_more_and_visible_frames_alone():
    clip = batch_clip([[True, False], [True, True], [False, True]])
    truth = clip.points[:, :1]
    shift = torch.tensor([[[0.0, 0.0]], [[2.0, 4.0]], [[100.0, 100.0]]])  # hidden on the last frame
    objective = Given([truth + 2 * shift, truth + shift])
    losses = objective.losses([clip], 0)
    assert losses["l1_px"].item() == pytest.approx(1.5)  # means of 0 and 3
    assert losses["total"].item() == pytest.approx((0.8 * 3.0 + 1.5) / 2)
    images, points = objective.seen[0]
    assert points.tolist() == [[0.0, 1.0]] and images.unique().tolist() == [0.5]


def test_a_clip_without_a_visible_point_gives_a_gradient_of_zero():
    objective = Given([])
    losses = objective.losses([batch_clip([[False, False], [True, True], [True, True]])], 0)
    losses["total"].backward()
    assert losses["total"] == 0 and objective.network.weight.grad.abs().sum() == 0 and not objective.seen


def test_frames_of_whole_clips_follow_each_other_evenly():
    settings = ClipBatchSettings(frames=5, regular_times=True)
    for seed in range(40):
        chosen = segment_frames(37, settings, np.random.default_rng(seed))
        steps = np.diff(chosen)
        assert len(chosen) == 5 and len(set(steps.tolist())) == 1 and 1 <= abs(steps[0]) <= 6
        assert chosen.min() >= 0 and chosen.max() < 37
    assert len(segment_frames(3, settings, np.random.default_rng(0))) == 3
    assert ClipBatchSettings() == ClipBatchSettings(regular_times=False)


@pytest.mark.parametrize(
    ("more", "said"), [(["--image-side", "100"], "--image-side"), (["--warped-share", "2"], "--warped-share")]
)
def test_what_cannot_be_trained_is_said_in_one_line(more, said, tmp_path, capsys):
    assert main([*line("echotracker", tmp_path / "run", "--validate-every", "0"), *more]) == 2
    assert said in capsys.readouterr().err.strip().splitlines()[-1]


def test_weights_to_start_from_are_those_of_the_network():
    with pytest.raises(InputError, match="none of the 1 weights to start from is of the network EchoTracker"):
        EchoTrackerObjective(64).start_from({"layer.weight": torch.zeros(2)})
