"""TAPIR, BootsTAPIR and LocoTrack: the numbers of the official code, and whole-clip trackers with imported weights.

The weights here are made by a formula and follow nothing; only the way of the numbers is tested. The `-tiny` files are
of the official code too, with narrower and fewer layers.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch

import golden_networks
from UltrasoundMotionLib import write_sequence
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.settings import from_plain
from UltrasoundMotionLib.tracking import available_trackers, find_tracker, track_points
from UltrasoundMotionLib.tracking.network_blocks.heatmap_peak import heatmap_peak
from UltrasoundMotionLib.tracking.network_blocks.track_features import correlate_along_tracks, sample_query_features
from UltrasoundMotionLib.tracking.trackers.locotrack.network import LocoTrack, LocoTrackConfig
from UltrasoundMotionLib.tracking.trackers.tapir.network import Tapir, TapirConfig
from UltrasoundMotionLib.weights import find_card, read_card

TAPIRS = ("tapir", "bootstapir")
LOCOTRACKS = ("locotrack-small", "locotrack-base")
NAMES = (*TAPIRS, *LOCOTRACKS)
ONE_OF_EACH = [
    name if name in ("tapir", "locotrack-small") else pytest.param(name, marks=pytest.mark.slow) for name in NAMES
]
OFFICIAL = {
    "tapir": ("TAPIR", "tapir_checkpoint_panning.pt", "https://github.com/google-deepmind/tapnet"),
    "bootstapir": ("BootsTAPIR", "bootstapir_checkpoint_v2.pt", "https://github.com/google-deepmind/tapnet"),
    "locotrack-small": ("LocoTrack-S", "locotrack_small.ckpt", "https://github.com/cvlab-kaist/locotrack"),
    "locotrack-base": ("LocoTrack-B", "locotrack_base.ckpt", "https://github.com/cvlab-kaist/locotrack"),
}


@lru_cache(maxsize=8)
def official_tensors(stored, dtype=torch.float32):
    return golden_networks.official_weights(golden_networks.golden(stored)["tensors"], dtype=dtype)


def network(stored, dtype=torch.float64, side=None):
    name = stored.removesuffix("-tiny")
    tensors, configuration = find_tracker(name).network.official.convert(official_tensors(stored, dtype))
    kind, config = (Tapir, TapirConfig) if name in TAPIRS else (LocoTrack, LocoTrackConfig)
    side = side or golden_networks.golden(stored)["side"]
    made = kind(replace(from_plain(config, configuration), input_size=side)).to(dtype).eval()
    made.load_state_dict(tensors, strict=True)
    return made


def inputs(stored, size, dtype):
    content = golden_networks.golden(stored)
    frames = golden_networks.images(content["frames"], size, size, dtype) / 127.5 - 1
    points = golden_networks.points(content["points"], size, size, dtype)
    query_frames = (torch.arange(len(points)) * 2) % len(frames)
    return frames, points, query_frames, content["outputs"][str(size)]


def expected(outputs, key, like):
    return torch.tensor(outputs[key], dtype=torch.float64).reshape(like.shape)


def check(estimate, outputs, atol):
    for key, found in (("tracks", estimate.points), ("occlusion", estimate.occlusion), ("distance", estimate.distance)):
        torch.testing.assert_close(found.double(), expected(outputs, key, found), rtol=atol, atol=atol)


def features_agree(made, stored, step):
    frames, _, _, outputs = inputs(stored, golden_networks.golden(stored)["side"], torch.float64)
    if isinstance(made, Tapir):
        maps = made.features(frames, tuple(frames.shape[-2:]))
        fine, coarse, finest = maps.fine, maps.coarse, None
    else:
        fine, coarse, finest = made.features(frames)
    wanted = [("fine", fine[2, ::step, ::5, ::5]), ("coarse", coarse[1, ::step, ::3, ::3])]
    if finest is not None:
        wanted.append(("finest", finest[2, ::8, ::9, ::9]))
    for key, part in wanted:
        found = part.permute(1, 2, 0)
        torch.testing.assert_close(found, expected(outputs, key, found), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_the_numbers_are_the_official_ones(name):
    stored = f"{name}-tiny"
    made = network(stored)
    features_agree(made, stored, 4)
    frames, points, query_frames, outputs = inputs(stored, 64, torch.float64)
    steps = []
    estimate = made(frames, points, query_frames, on_step=lambda: steps.append(1))
    check(estimate, outputs, 1e-9)
    assert len(steps) == len(frames) + made.config.iterations
    check(made(frames.expand(-1, 3, -1, -1), points, query_frames), outputs, 1e-9)
    first = made.__class__(replace(made.config, iterations=0)).double()
    first.load_state_dict(made.state_dict())
    found = first(frames, points, query_frames).points
    torch.testing.assert_close(found, expected(outputs, "first", found), rtol=0, atol=1e-9)
    own = found[torch.arange(len(points)), query_frames]
    torch.testing.assert_close(own, points, rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_single_precision_stays_at_the_official_numbers(name):
    stored = f"{name}-tiny"
    frames, points, query_frames, outputs = inputs(stored, 64, torch.float32)
    # few channels average out less rounding: the published sizes stay within 1e-5, see below
    check(network(stored, torch.float32)(frames, points, query_frames), outputs, 1e-5 if name in TAPIRS else 3e-5)


@pytest.mark.parametrize("name", TAPIRS)
@torch.inference_mode()
def test_refinement_at_two_resolutions_is_the_official_one(name):
    stored = f"{name}-tiny"
    frames, points, query_frames, outputs = inputs(stored, 128, torch.float64)
    check(network(stored)(frames, points, query_frames, [(64, 64), (128, 128)]), outputs, 1e-9)


@pytest.mark.slow  # at the published sizes
@pytest.mark.parametrize("name", ["bootstapir", "locotrack-small"])
@torch.inference_mode()
def test_the_numbers_at_the_published_sizes(name):
    made = network(name)
    assert made.config == replace(
        TapirConfig(extra_convolutions=5, pyramid_levels=1) if name in TAPIRS else LocoTrackConfig(), input_size=64
    )
    features_agree(made, name, 16)
    frames, points, query_frames, outputs = inputs(name, 64, torch.float64)
    check(made(frames, points, query_frames), outputs, 1e-9)
    check(made.float()(frames.float(), points.float(), query_frames), outputs, 1e-5)


@pytest.mark.parametrize("name", ["tapir", "locotrack-small"])
@torch.inference_mode()
def test_chunks_change_nothing(name, monkeypatch):
    stored = f"{name}-tiny"
    made = network(stored)
    frames, points, query_frames, outputs = inputs(stored, 64, torch.float64)
    sizes = "UltrasoundMotionLib.tracking.network_blocks.chunk_sizes"
    monkeypatch.setattr(f"{sizes}._CACHE_BYTES", 1)
    check(made(frames, points, query_frames), outputs, 1e-9)
    monkeypatch.setattr(f"{sizes}._CACHE_BYTES", 256 << 20)
    network_file = f"UltrasoundMotionLib.tracking.trackers.{'tapir' if name == 'tapir' else 'locotrack'}.network"
    monkeypatch.setattr(f"{network_file}.frames_at_once", lambda device: 3)
    check(made(frames, points, query_frames), outputs, 1e-9)


@pytest.mark.parametrize("name", [pytest.param("bootstapir", marks=pytest.mark.slow), "locotrack-base"])
def test_gradients_reach_the_weights(name):
    made = network(f"{name}-tiny", torch.float32)
    frames, points, query_frames, _ = inputs(f"{name}-tiny", 64, torch.float32)
    found = made(frames, points, query_frames)
    (found.points.square().mean() + found.occlusion.square().mean() + found.distance.square().mean()).backward()
    unused = [name for name, value in made.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0]
    assert unused == []


def test_the_peak_is_the_mean_around_the_highest_cell():
    logits = torch.full((2, 9, 12), -50.0, dtype=torch.float64)
    logits[0, 4, 6], logits[0, 4, 7] = 2.0, 2.0
    logits[0, 0, 0] = 1.9  # beyond the radius
    logits[1, 0, 11], logits[1, 1, 11] = 0.0, np.log(0.25)
    found = heatmap_peak(logits, 5.0)
    torch.testing.assert_close(found, torch.tensor([[6.5, 4.0], [11.0, 0.2]], dtype=torch.float64))


def test_features_are_taken_on_each_points_own_frame():
    maps = torch.arange(3.0)[:, None, None, None].expand(3, 2, 4, 4).contiguous()
    frames = torch.tensor([2, 0, 1, 2])
    found = sample_query_features(maps, torch.full((4, 2), 7.0), frames, 4, radius=1)
    assert found.shape == (4, 9, 2)
    torch.testing.assert_close(found[:, 4, 0], frames.float())


def test_correlation_along_tracks_is_that_of_single_frames():
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn(3, 5, 8, 8, generator=generator, dtype=torch.float64)
    tracks = 32 * torch.rand(2, 3, 2, generator=generator, dtype=torch.float64)
    templates = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    found = correlate_along_tracks(maps, tracks, templates, 4, 1)
    assert found.shape == (2, 3, 3, 3, 4)
    for point in range(2):
        for frame in range(3):
            query = sample_query_features(maps, tracks[point, frame][None], torch.tensor([frame]), 4)[0, 0]
            inside = ((tracks[point, frame] > 1.5) & (tracks[point, frame] < 29.5)).all()
            if inside:
                torch.testing.assert_close(found[point, frame, 1, 1], templates[point, frame] @ query)


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("ULTRASOUND_MOTION_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def write_checkpoint(path, name, tensors=None):
    """Writes a checkpoint as the projects do: a plain state dict, or Lightning's with its other states."""
    tensors = tensors or official_tensors(f"{name}-tiny")
    if name in TAPIRS:
        torch.save(tensors, path)
    else:
        states = [{"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1e-3}]}]
        torch.save(
            {
                "epoch": 1,
                "pytorch-lightning_version": "2.3.3",
                "state_dict": {f"model.{key}": value for key, value in tensors.items()},
                "optimizer_states": states,
                "hyper_parameters": {"model_kwargs": {"model_size": "small"}},
            },
            path,
        )


def clip(frame_count=4, height=60, width=80):
    frames = golden_networks.images(frame_count, height, width)[:, 0].numpy()
    return ImageSequence(np.clip(frames, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_an_imported_checkpoint_follows_points_from_any_frame(name, models, tmp_path, capsys):
    project, file, source = OFFICIAL[name]
    assert name not in {entry.name for entry in available_trackers()}
    assert f"({file}, {source}, licence Apache-2.0)" in find_tracker(name).how_to_install
    write_checkpoint(tmp_path / file, name)
    assert main(["models", "import", str(tmp_path / file), "--as", name]) == 0
    told = capsys.readouterr().out
    assert "licence Apache-2.0: Any use, commercial use included" in told and source in told and project in told
    card = read_card(find_card(name))
    assert card.architecture == project and card.licence == "Apache-2.0"
    sequence, points = clip(), np.array([[20.0, 30.0], [61.5, 12.25], [40.0, 55.0]])
    steps = []
    found = track_points(
        sequence,
        points,
        model=name,
        device="cpu",
        query_frame=2,
        hide_graphics=False,
        progress=lambda done, total, message: steps.append(message),
    )
    np.testing.assert_array_equal(found.positions_px[2], points)
    assert found.visible[2].all() and found.notes == ()
    parts = [message.rpartition(", ")[2] for message in steps]
    assert parts.count("features") == 4 and parts.count("refinement") == 4
    frames = torch.tensor(np.stack([sequence.frame(index) for index in range(4)]))[:, None].float()
    images = torch.nn.functional.interpolate(frames, (256, 256), mode="bilinear") / 127.5 - 1
    scale = torch.tensor([256 / 80, 256 / 60])
    inside = ((torch.tensor(points) + 0.5) * scale - 0.5).float()
    made = network(f"{name}-tiny", torch.float32, side=256)
    with torch.inference_mode():
        wanted = made(images, inside, torch.tensor([2, 2, 2]))
    positions = ((wanted.points + 0.5) / scale - 0.5).transpose(0, 1).numpy()
    confidence = ((1 - wanted.occlusion.sigmoid()) * (1 - wanted.distance.sigmoid())).t().numpy()
    seen = np.all((positions >= -0.5) & (positions <= [79.5, 59.5]), axis=2)
    others = [0, 1, 3]
    np.testing.assert_allclose(found.positions_px[others][seen[others]], positions[others][seen[others]], atol=1e-3)
    # the network's own confidence, which `track_points` weighs with what the pictures show
    stack = np.stack([sequence.frame(index) for index in range(4)]).astype(np.float32)
    own = find_tracker(name).make("cpu").track(stack, points, np.array([2, 2, 2]))
    np.testing.assert_allclose(own.positions_px, found.positions_px, atol=1e-3)
    np.testing.assert_allclose(own.confidence[others], np.where(seen, confidence, 0)[others], atol=1e-5)
    np.testing.assert_array_equal(own.visible[others], (seen & (confidence > 0.5))[others])
    assert own.visible[2].all()


@pytest.mark.parametrize("name", ["tapir", pytest.param("locotrack-small", marks=pytest.mark.slow)])
def test_the_command_line_runs_it_in_windows(name, models, tmp_path, monkeypatch):
    write_checkpoint(tmp_path / "official.pt", name)
    assert main(["models", "import", str(tmp_path / "official.pt"), "--as", name]) == 0
    monkeypatch.setattr(
        "UltrasoundMotionLib.tracking.network_blocks.estimate_tracker.EstimateTracker.frames_at_most", 3
    )
    write_sequence(tmp_path / "clip.seq.nrrd", clip(5))
    (tmp_path / "points.csv").write_text("label,x,y\na,20,30\nb,60,12\n")
    words = ["track", str(tmp_path / "clip.seq.nrrd"), "--points", str(tmp_path / "points.csv"), "--device", "cpu"]
    words += ["--out", str(tmp_path / "out.csv"), "--model", name, "--query-frame", "1"]
    assert main([*words, "--quiet"]) == 0
    rows = [line.split(",") for line in (tmp_path / "out.csv").read_text().splitlines()[1:]]
    assert len(rows) == 10
    given = {row[2]: (float(row[3]), float(row[4])) for row in rows if row[0] == "1"}
    assert given == {"a": (20.0, 30.0), "b": (60.0, 12.0)}


def test_refinement_at_higher_resolution_is_a_setting(models, tmp_path):
    write_checkpoint(tmp_path / "official.pt", "tapir")
    assert main(["models", "import", str(tmp_path / "official.pt"), "--as", "tapir"]) == 0
    points = [[20.0, 30.0]]
    usual, finer = (
        track_points(clip(2), points, model="tapir", device="cpu", hide_graphics=False, settings=settings)
        for settings in (None, {"refinement_scale": 2})
    )
    assert not np.allclose(usual.positions_px[1], finer.positions_px[1], atol=1e-3)
    with pytest.raises(InputError, match="expected one of 1, 2, 4, got 3"):
        find_tracker("tapir").settings_from({"refinement_scale": 3})


def test_clips_of_more_than_8_bits_are_seen_from_black_to_white(models, tmp_path):
    write_checkpoint(tmp_path / "official.pt", "locotrack-small")
    assert main(["models", "import", str(tmp_path / "official.pt"), "--as", "locotrack-small"]) == 0
    bytes_clip = clip(3)
    frames = np.stack([bytes_clip.frame(index) for index in range(3)]).astype(np.float32)
    frames[0, 0, :2] = 0, 255
    deep = ImageSequence(frames * 16)
    same = ImageSequence(frames.astype(np.uint8))
    found = [
        track_points(one, [[20.0, 30.0]], model="locotrack-small", device="cpu", hide_graphics=False)
        for one in (deep, same)
    ]
    np.testing.assert_allclose(found[0].positions_px, found[1].positions_px, atol=1e-3)


def refusal(path, name, capsys):
    assert main(["models", "import", str(path), "--as", name]) == 2
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("name", NAMES)
def test_checkpoints_of_the_sister_network_are_refused(name, models, tmp_path, capsys):
    sisters = TAPIRS if name in TAPIRS else LOCOTRACKS
    other = sisters[1 - sisters.index(name)]
    write_checkpoint(tmp_path / "file.pt", other)
    told = refusal(tmp_path / "file.pt", name, capsys)
    assert OFFICIAL[other][0] in told or f"--as {other}" in told
    assert not models.exists()


@pytest.mark.parametrize("name", TAPIRS)
def test_pickled_jax_checkpoints_are_refused_with_the_name_of_the_right_file(name, models, tmp_path, capsys):
    np.save(tmp_path / "checkpoint.npy", {"params": {"tapir/~/linear": {"w": np.zeros((2, 2))}}, "state": {}})
    told = refusal(tmp_path / "checkpoint.npy", name, capsys)
    assert "holds a pickle, which could run code" in told and OFFICIAL[name][1] in told


def test_online_networks_are_refused(models, tmp_path, capsys):
    tensors = {
        key: value * torch.tensor([0.2, 0.4, 1.0]) if key.endswith("mlp1_up.weight") else value
        for key, value in official_tensors("bootstapir-tiny").items()
    }
    write_checkpoint(tmp_path / "file.pt", "bootstapir", tensors)
    told = refusal(tmp_path / "file.pt", "bootstapir", capsys)
    assert "look back only, as those of the online (causal) networks do" in told


class Harmless:
    """An object of a class, as a file of Lightning may hold one."""


def test_a_lightning_file_with_objects_is_refused_and_says_what_to_expect(models, tmp_path, capsys):
    torch.save({"state_dict": official_tensors("locotrack-small-tiny"), "callbacks": Harmless()}, tmp_path / "a.ckpt")
    told = refusal(tmp_path / "a.ckpt", "locotrack-small", capsys)
    assert "no checkpoint of tensors alone" in told and "locotrack_small.ckpt" in told


@pytest.mark.parametrize("name", NAMES)
def test_damaged_and_incomplete_checkpoints_are_refused(name, models, tmp_path, capsys):
    path = tmp_path / "file.pt"
    tensors = dict(official_tensors(f"{name}-tiny"))
    tensors.pop("torch_pips_mixer.linear_1.bias" if name in TAPIRS else "occ_linear.bias")
    write_checkpoint(path, name, tensors)
    told = refusal(path, name, capsys)
    assert "another version, or a part of it is missing" in told and "bias is missing" in told
    write_checkpoint(path, name)
    path.write_bytes(path.read_bytes()[:20000])
    told = refusal(path, name, capsys)
    assert "damaged or truncated" in told and OFFICIAL[name][1] in told
    torch.save({"layer.weight": torch.zeros(3)}, path)
    told = refusal(path, name, capsys)
    assert f"is no checkpoint of {OFFICIAL[name][0]}" in told and not models.exists()
