"""Training of landmark networks: windows against where things are, losses against their formulas, runs that go on as if
they had never stopped.
"""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.data.landmark_batches import LandmarkBatches
from UltrasoundMotionLib.lab.training.data.landmark_sources import (
    ClustSource,
    FrameTriple,
    LandmarkSource,
    clust_sources,
    leave_out,
)
from UltrasoundMotionLib.lab.training.data.triple_batches import LandmarkBatchSettings
from UltrasoundMotionLib.lab.training.landmark_recipe import LANDMARK_SETTINGS
from UltrasoundMotionLib.lab.training.objectives.landmarks import leave_out_table, window_errors
from UltrasoundMotionLib.lab.training.objectives.siamfc import (
    SiamFcLoss,
    SiamFcObjective,
    balanced_logistic,
    score_labels,
)
from UltrasoundMotionLib.lab.training.objectives.siamrpn import SiamRpnObjective, landmark_boxes
from UltrasoundMotionLib.lab.training.trainer import train
from UltrasoundMotionLib.tracking.registry import find_tracker
from UltrasoundMotionLib.tracking.trackers.siamese.network import EmbeddingConfig
from UltrasoundMotionLib.tracking.trackers.siamese.siamfc_network import SiamFcNetworkConfig
from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn_network import SiamRpnNetworkConfig
from UltrasoundMotionLib.weights import ModelCard

CPU = torch.device("cpu")
TINY = EmbeddingConfig((4, 8, 8, 8, 8))
CARD = ModelCard("siamrpn", "SiamRpnNetwork", {}, "t", (), "c", 1, "", {}, "m", "l")


class Blobs(LandmarkSource):
    """Frames of 128 px with a bright blob at each of a few points that move."""

    def __init__(self, name="blobs-1", hidden=False):
        self.name, self.hidden = name, hidden

    def draw(self, rng):
        places = np.array([[45.0, 50.0], [80.0, 75.0]])
        points = np.stack([places + rng.uniform(-6, 6, (1, 2)) for _ in range(3)]).astype(np.float32)
        y, x = np.mgrid[:128, :128]
        squared = (x - points[..., 0, None, None]) ** 2 + (y - points[..., 1, None, None]) ** 2
        frames = 200 * np.exp(-0.5 * squared / 2.5**2).sum(axis=1) + 20
        visible = np.ones((3, 2), dtype=bool)
        visible[2, 1] = not self.hidden
        return FrameTriple(frames, points, visible)


def brightest(windows):
    """(B, 2) x and y of the highest sample."""
    flat = windows.flatten(1).argmax(dim=1)
    return torch.stack([flat % windows.shape[-1], flat // windows.shape[-1]], dim=1).float()


def near(windows, places):
    """Grey values of windows (B, 1, S, S) at places (B, 2), the samples nearest."""
    columns, rows = places.round().long().T
    return windows[torch.arange(len(windows)), 0, rows, columns]


@pytest.mark.parametrize("size", [1.0, 1.3])
def test_windows_show_the_landmark_where_the_batch_says(size):
    config = LandmarkBatchSettings(images=None, longest_offset=40, largest_size=size)
    batches = LandmarkBatches([Blobs()], config, 1)
    for step in range(4):
        batch = batches.draw(step)
        assert batch.exemplar.shape == (16, 1, 127, 127) and batch.instance.shape == (16, 1, 255, 255)
        assert (brightest(batch.exemplar) - 63).abs().max() <= 4  # another blob may stand higher by a little
        assert batch.visible.all() and (batch.target - 127).abs().max() <= 40 + 1e-3
        assert near(batch.exemplar, torch.full((16, 2), 63.0)).min() > 0.8
        assert near(batch.instance, batch.target).min() > 0.7
    assert (batch.size.max() > 1) == (size > 1)


def test_a_step_is_drawn_from_the_seed_and_its_number():
    config = LandmarkBatchSettings(triples=1)
    one, two, other = (LandmarkBatches([Blobs(hidden=True)], config, seed) for seed in (1, 1, 2))
    one.draw(0)
    assert torch.equal(one.draw(5).instance, two.draw(5).instance)
    assert not torch.equal(one.draw(5).instance, other.draw(5).instance)
    assert not one.draw(5).visible.all()  # a quarter at most is hidden
    with pytest.raises(InputError, match="nothing to learn from"):
        LandmarkBatches([], config, 1)


def clust_folder(folder, lines="1 30 40\n9 33.5 40\n12 36 41\n", frames=12):
    from PIL import Image

    (folder / "Data").mkdir(parents=True)
    (folder / "Annotation").mkdir()
    for number in range(1, frames + 1):
        pixels = np.random.default_rng(number).integers(0, 200, (80, 90), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "Data" / f"{number:05d}.png")
    (folder / "Annotation" / f"{folder.name}_1.txt").write_text(lines)
    return folder


def test_clust_folders_teach_from_their_annotated_frames_alone(tmp_path):
    source = ClustSource(clust_folder(tmp_path / "ETH-01-1"))
    for seed in range(12):
        drawn = source.draw(np.random.default_rng(seed))
        assert drawn.visible[[0, 2], 0].all() and {float(x) for x in drawn.points_px[[0, 2], 0, 0]} <= {
            30.0,
            33.5,
            36.0,
        }
        assert np.isnan(drawn.points_px[1, 0]).all() == (not drawn.visible[1, 0])
    clust_folder(tmp_path / "CIL-01")
    sources = clust_sources(tmp_path)
    kept, held = leave_out(sources, "ETH")
    assert ([one.name for one in kept], [one.name for one in held]) == (["CIL-01"], ["ETH-01-1"])
    with pytest.raises(
        InputError, match="leaving out MED1 leaves 2 of 2 sequences to learn from; their groups are CIL, ETH-01"
    ):
        leave_out(sources, "MED1")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("5 30 40\n3 30 40\n", "line 2: frame 3 comes after frame 5"),
        ("1 30 40\n99 30 40\n", "frame 99 is annotated, the sequence has 12 frames"),
        ("4 30 40\n", "no landmark is annotated in two frames"),
    ],
)
def test_bad_annotations_are_named(tmp_path, capsys, lines, message):
    folder = clust_folder(tmp_path / "ETH-02", lines)
    assert (
        main(["train", "siamfc", "--clust", str(folder), "--phantoms", "0", "--out", str(tmp_path / "out"), "--quiet"])
        == 2
    )
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").glob("*.safetensors"))


def test_the_losses_are_their_formulas():
    target, visible = torch.tensor([[127.0, 135.0], [127.0, 127.0]]), torch.tensor([True, False])
    disc = score_labels(target, visible, SiamFcLoss(radius=16.0))
    assert (
        int(disc[0].sum()) == 13 and disc[0, 9, 8] == 1 and not disc[1].any()
    )  # cells 8 apart within 16 of one of them
    soft = score_labels(target, visible, SiamFcLoss())
    assert soft[0].argmax() == 9 * 17 + 8 and soft[0, 9, 9] == pytest.approx(np.exp(-0.5))
    scores = torch.randn(2, 17, 17, generator=torch.Generator().manual_seed(1))
    y, v = disc[0].numpy() * 2 - 1, scores.numpy()
    each = np.log1p(np.exp(-y * v[0]))
    first = 0.5 * each[y > 0].mean() + 0.5 * each[y < 0].mean()
    second = 0.5 * np.log1p(np.exp(v[1])).mean()
    assert float(balanced_logistic(scores, disc)) == pytest.approx((first + second) / 2, rel=1e-5)


def test_a_landmark_is_a_box_of_nominal_side():
    batch = LandmarkBatches([Blobs()], LandmarkBatchSettings(triples=1, largest_size=1.2), 3).draw(0)
    boxes = landmark_boxes(batch)
    torch.testing.assert_close(boxes[:, :2] + 127, batch.target)
    torch.testing.assert_close(boxes[:, 2], 63.5 * batch.size)
    assert torch.equal(boxes[:, 2], boxes[:, 3])


def objective(kind):
    torch.manual_seed(2)
    return (
        SiamFcObjective(network=SiamFcNetworkConfig(TINY))
        if kind == "siamfc"
        else SiamRpnObjective(network=SiamRpnNetworkConfig(TINY, 8))
    )


RUN = replace(LANDMARK_SETTINGS, steps=12, learning_rate=3e-3, log_every=3, save_every=4, validate_every=6)


def train_landmarks(folder, one, sources, *, config=RUN, groups=None, **options):
    batches = LandmarkBatches(sources, LandmarkBatchSettings(triples=2), config.seed)
    return train(folder, one, batches, config, cases=groups or (), **options)


@pytest.mark.training
@pytest.mark.parametrize("kind", ["siamfc", "siamrpn"])
def test_a_run_learns_and_goes_on_as_if_it_had_never_stopped(kind, tmp_path):
    sources, groups = [Blobs()], [("blobs", [Blobs()])]
    whole = objective(kind)
    card = replace(CARD, name=kind, architecture=whole.architecture, configuration=whole.configuration())
    found = train_landmarks(tmp_path / "whole", whole, sources, config=RUN, groups=groups, card=card)
    train_landmarks(tmp_path / "parts", objective(kind), sources, config=RUN, stop_after=5)
    parts = objective(kind)
    train_landmarks(tmp_path / "parts", parts, sources, config=RUN, resume=True)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(value, parts.state_dict()[name], rtol=1e-5, atol=1e-6)
    with (tmp_path / "whole" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["3", "6", "9", "12"]
    assert float(rows[-1]["loss_total"]) < float(rows[0]["loss_total"])
    assert float(rows[-1]["validation_blobs_mean_px"]) == found["blobs_mean_px"]
    (errors,) = window_errors(whole.eval(), groups)
    assert errors.group == "blobs" and len(errors.distances_px) == 96 and errors.measured() == found
    assert (tmp_path / "whole" / f"{kind}.safetensors").is_file() and '"validation_blobs_mean_px"' in (
        tmp_path / "whole" / f"{kind}.json"
    ).read_text()
    with pytest.raises(InputError, match="belongs to a run with other settings"):
        train_landmarks(tmp_path / "parts", objective(kind), sources, config=replace(RUN, steps=13), resume=True)
    if kind == "siamrpn":
        find_tracker("siamrpn").make(weights=tmp_path / "whole" / "siamrpn.json").start(
            np.random.default_rng(1).random((96, 96), dtype=np.float32), np.full((1, 2), 40.0)
        )


def test_siamrpn_starts_from_siamfcs_embedding(tmp_path):
    first, second = objective("siamfc"), objective("siamrpn")
    first.network.embedding[0].weight.data.fill_(0.25)
    second.start_from(first.weights())
    assert (second.network.embedding[0].weight == 0.25).all()
    with pytest.raises(InputError, match="none of the 1 weights to start from is of the network SiamRpnNetwork"):
        second.start_from({"stem": torch.zeros(3)})
    (tmp_path / "w.safetensors").write_text("nothing")
    with pytest.raises(InputError, match=r"w\.safetensors: holds no weights"):
        train_landmarks(tmp_path, second, [Blobs()], config=RUN, start_from=tmp_path / "w.safetensors")


def test_validation_is_in_pixels_of_a_frame_of_256_and_left_out_groups_are_a_table():
    class Knowing(SiamFcObjective):
        def locate(self, batch):
            return batch.target + torch.tensor([127 / 48, 0.0])  # a pixel to the right: 48 px are 127 samples

    errors = window_errors(Knowing(network=SiamFcNetworkConfig(TINY)), [("a", [Blobs()]), ("b", [Blobs("b-1")])], 1)
    assert [one.group for one in errors] == ["a", "b"]
    np.testing.assert_allclose(errors[0].distances_px, 1.0, atol=1e-4)
    assert errors[0].measured() == {"a_mean_px": 1.0, "a_median_px": 1.0, "a_percentile_95_px": 1.0}
    cells = leave_out_table([("a", *errors)], markdown=True).splitlines()[-1].split("|")[1:4]
    assert [cell.strip() for cell in cells] == ["a", "1.00", "0.00"]


@pytest.mark.training
def test_leave_one_out_is_one_command(tmp_path, capsys):
    for name in ("ETH-01-1", "CIL-01"):
        clust_folder(tmp_path / name)
    out = tmp_path / "out"
    arguments = ["--phantoms", "0", "--steps", "1", "--batch", "4", "--device", "cpu", "--threads", "1", "--quiet"]
    command = ["train", "siamfc", "--clust", str(tmp_path), "--out", str(out), "--leave-out", "ETH", *arguments]
    assert main(command) == 0
    table = capsys.readouterr().out
    assert "left out" in table and table.splitlines()[-1].startswith("ETH")
    assert (out / "without-ETH" / "siamfc.safetensors").is_file()
