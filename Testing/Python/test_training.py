"""Training of SpeckNet: what the clips say is true, the augmentations move frames and points alike, and a run is its
seed.
"""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import fft

from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.lab.training.data import phantom_clips
from UltrasoundMotionLib.lab.training.data.clip_batches import ClipBatches, ClipBatchSettings, segment_frames
from UltrasoundMotionLib.lab.training.data.image_augmentation import (
    _JPEG,
    HIDDEN_FACTOR,
    ImageProbabilities,
    change_frames,
    compress,
    shadow,
)
from UltrasoundMotionLib.lab.training.data.motion_augmentation import (
    NO_MOTION,
    MotionRanges,
    draw_affine,
    move_frames,
    move_points,
)
from UltrasoundMotionLib.lab.training.data.phantom_clips import (
    ClipFolder,
    check_training_seed,
    clips_in_background,
    phantom_clip,
    spread_in_time,
)
from UltrasoundMotionLib.lab.training.data.training_clip import TrainingClip, read_clip, write_clip
from UltrasoundMotionLib.lab.training.data.warped_clips import RealFrame, warped_clip
from UltrasoundMotionLib.lab.training.objectives.specknet import SpeckNetObjective
from UltrasoundMotionLib.lab.training.objectives.specknet_loss import (
    PUBLISHED_LOSS,
    SpeckNetLoss,
    clip_loss,
    log_likelihood,
)
from UltrasoundMotionLib.lab.training.recipes.specknet import SpeckNetRecipe
from UltrasoundMotionLib.lab.training.schedule import one_cycle
from UltrasoundMotionLib.lab.training.state import STATE_NAME
from UltrasoundMotionLib.lab.training.trainer import train
from UltrasoundMotionLib.simulation import phantom_set
from UltrasoundMotionLib.tracking.trackers.specknet.network import SpeckNetConfig

CPU = torch.device("cpu")


def smooth_frame(seed: int = 0, size: int = 200) -> RealFrame:
    rng = np.random.default_rng(seed)
    values = torch.as_tensor(rng.standard_normal((1, 1, size // 8, size // 8))).float()
    values = F.interpolate(values, (size, size), mode="bicubic")[0, 0].numpy()
    return RealFrame(np.clip(120 + 50 * values, 0, 255).astype(np.uint8), "smooth")


def blob(points: torch.Tensor, size: int) -> torch.Tensor:
    """(N, 1, size, size): a Gaussian at each of (N, 2) points."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return torch.exp(-((x - points[:, 0, None, None]) ** 2 + (y - points[:, 1, None, None]) ** 2) / (2 * 3.0**2))[
        :, None
    ]


def centroid(frames: torch.Tensor) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(frames.shape[2]), torch.arange(frames.shape[3]), indexing="ij")
    weight = frames[:, 0] / frames[:, 0].sum((1, 2), keepdim=True)
    return torch.stack([(weight * x).sum((1, 2)), (weight * y).sum((1, 2))], dim=1)


def test_frames_and_points_move_alike() -> None:
    points = torch.tensor([[50.0, 60.0], [62.5, 41.25], [45.0, 55.5]])
    moved_far = 0.0
    for seed in range(12):
        affine = draw_affine(MotionRanges(), 100, np.random.default_rng(seed))
        expected = move_points(points, affine)
        # A blob keeps its centroid under any affine map, as long as it stays inside.
        inside = ((expected > 15) & (expected < 85)).all(-1)
        found = centroid(move_frames(blob(points, 100), affine, (100, 100)))
        assert torch.allclose(found[inside], expected[inside], atol=0.05)
        moved_far = max(moved_far, float((expected - points).norm(dim=1).max()))
    assert moved_far > 20


def test_impartial_motion_is_as_the_paper_says() -> None:
    rng = np.random.default_rng(0)
    maps = np.stack([draw_affine(MotionRanges(), 512, rng) for _ in range(4000)])
    assert np.all(draw_affine(NO_MOTION, 512, rng) == [[1, 0, 0], [0, 1, 0]])
    flipped = np.linalg.det(maps[:, :, :2]) < 0
    assert abs(flipped.mean() - 0.5) < 0.03  # exactly one of two flips, each with p = 0.5
    rotations = np.stack(
        [draw_affine(MotionRanges(scale=(1, 1), translation=0, shear=0), 512, rng) for _ in range(2000)]
    )
    rotations = rotations[np.linalg.det(rotations[:, :, :2]) > 0]
    angles = np.rad2deg(np.arctan2(rotations[:, 1, 0], rotations[:, 0, 0]))
    # Rotated by up to 120 degrees in half of them; both flips together are half a turn more.
    assert abs(np.mean(np.isin(np.round(np.abs(angles), 6), (0, 180))) - 0.5) < 0.05
    unturned = draw_affine(MotionRanges(probability=0.0), 512, rng)
    assert np.array_equal(move_points(torch.tensor([[3.0, 4.0]]), unturned).numpy(), [[3, 4]])


def test_compression_is_quantised_cosine_transform() -> None:
    frame = torch.as_tensor(np.random.default_rng(1).random((1, 1, 16, 24))).float()
    table = np.array(_JPEG).reshape(8, 8) * 0.7 / 255
    expected = np.empty((16, 24))
    for row in (0, 8):
        for column in (0, 8, 16):
            block = fft.dctn(frame[0, 0, row : row + 8, column : column + 8].numpy().astype(np.float64), norm="ortho")
            expected[row : row + 8, column : column + 8] = fft.idctn(np.round(block / table) * table, norm="ortho")
    assert np.abs(compress(frame, 0.7)[0, 0].numpy() - expected).max() < 1e-4


def test_shadow_hides_what_it_darkens() -> None:
    frames = torch.ones(3, 1, 128, 128)
    y, x = torch.meshgrid(torch.arange(128), torch.arange(128), indexing="ij")
    points = torch.stack([x, y], dim=-1).view(1, -1, 2).expand(3, -1, -1).float()
    some = False
    for seed in range(6):
        dark, hidden = shadow(frames, points, np.random.default_rng(seed))
        assert torch.equal(hidden, dark.flatten(1) < HIDDEN_FACTOR)
        some |= bool(hidden.any())
    assert some


def test_images_change_with_probability_zero_and_one() -> None:
    frames, points = torch.rand(4, 1, 64, 64), torch.full((4, 3, 2), 30.0)
    never = ImageProbabilities(*[0.0] * 9)
    same, hidden = change_frames(frames, points, never, np.random.default_rng(0), torch.Generator().manual_seed(0))
    assert torch.equal(same, frames)
    assert not hidden.any()
    changed, _ = change_frames(
        frames, points, ImageProbabilities(*[1.0] * 9), np.random.default_rng(0), torch.Generator().manual_seed(0)
    )
    assert changed.shape == frames.shape
    assert torch.isfinite(changed).all()
    assert (changed - frames).abs().mean() > 0.02


def test_warped_texture_stays_on_its_trajectory() -> None:
    frames, points = warped_clip(smooth_frame(), 6, 60, np.random.default_rng(3), CPU)
    seen = F.grid_sample(frames, ((2 * points + 1) / frames.shape[3] - 1)[:, None], align_corners=False)[:, 0, 0]
    inside = ((points > 4) & (points < 251)).all(-1).all(0)
    assert inside.sum() > 20
    spread = (seen[:, inside] - seen[:1, inside]).abs()
    assert spread.max() < 0.04  # two bilinear samplings of a smooth texture that varies by 0.8
    assert (points - points[:1]).norm(dim=-1).max() > 3


@pytest.mark.slow
def test_phantom_clips_carry_exact_truth() -> None:
    case = spread_in_time(phantom_set("heart", "extreme", 1, 3)[0], 4)
    clip = phantom_clip(case, np.random.default_rng(0), point_count=90)
    simulated = case.simulate()
    own = simulated.truth.positions_px.shape[1]
    assert np.abs(clip.trajectories_px[:, :own] - simulated.truth.positions_px).max() < 1e-3  # float32
    assert np.array_equal(clip.visible[:, :own], simulated.truth.visible)
    again = simulated.trajectories_px(clip.trajectories_px[2, own : own + 60].astype(np.float64), 2)
    assert np.abs(again - clip.trajectories_px[:, own : own + 60]).max() < 0.02
    for seed in (100, 9000, 12345):
        with pytest.raises(InputError, match=str(seed)):
            check_training_seed(seed)


def test_segments_of_frames() -> None:
    rng = np.random.default_rng(0)
    config = ClipBatchSettings(frames=4)
    drawn = [segment_frames(20, config, rng) for _ in range(1500)]
    assert all(len(set(frames)) == 4 and frames.min() >= 0 and frames.max() < 20 for frames in drawn)
    backwards = np.mean([frames[0] > frames[-1] for frames in drawn])
    assert abs(backwards - 0.2) < 0.04
    assert all(np.all(np.diff(frames) > 0) or np.all(np.diff(frames) < 0) for frames in drawn)


def test_cross_entropy_is_lowest_at_the_truth_between_cells() -> None:
    """Its least value is the entropy of a truth spread over four cells whose mean is the truth (Gibbs' inequality)."""
    truth = np.array([[20.0, 33.0], [8.0, 50.0], [40.5, 12.25]])
    cells = (truth + 0.5) / 8 - 0.5
    volume = np.full((1, 3, 8, 8), -60.0)
    entropy = []
    for number, (x, y) in enumerate(cells):
        first_x, first_y = int(np.floor(x)), int(np.floor(y))
        weights = np.outer([1 - y % 1, y % 1], [1 - x % 1, x % 1])
        volume[0, number, first_y : first_y + 2, first_x : first_x + 2] = np.log(np.maximum(weights, 1e-26))
        entropy.append(-np.sum(weights[weights > 0] * np.log(weights[weights > 0])))
    volume, places = torch.as_tensor(volume), torch.as_tensor(truth)[None]
    assert np.allclose(-log_likelihood(volume, places)[0].numpy(), entropy, atol=1e-6)
    for seed in range(20):
        other = volume + torch.randn(volume.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        assert (-log_likelihood(other, places)[0].numpy() > entropy).all()


def test_only_cross_entropy_pulls_a_peak_over() -> None:
    """With the best cell far from the truth, the paper's loss has next to no gradient at the truth's cell; the
    cross-entropy has.
    """
    maps = tuple(
        F.normalize(torch.randn(2, 6, size, size, generator=torch.Generator().manual_seed(1)), dim=1)
        for size in (16, 16, 8)
    )
    points = torch.tensor([[[20.0, 20.0]], [[100.0, 100.0]]])
    gradients = {}
    for name, loss in (("published", PUBLISHED_LOSS), ("ours", SpeckNetLoss(l1_per_px=0.0))):
        own = tuple(values.clone().requires_grad_() for values in maps)
        clip_loss(
            own, points, torch.ones(2, 1, dtype=torch.bool), [0], config=SpeckNetConfig(), loss=loss
        ).total.backward()
        gradients[name] = float(own[0].grad[1, :, 12, 12].norm())
    assert gradients["published"] == 0
    assert gradients["ours"] > 1e-3


SMALL = replace(SpeckNetRecipe.defaults, steps=6, seed=5, log_every=2, save_every=2)
SMALL_BATCH = ClipBatchSettings(clips=2, frames=3, points=12, input_size=64, crops=((0.5, 48), (1.0, 64)))
SMALL_NETWORK = SpeckNetConfig(input_size=64, channels=(4, 4, 4, 4))


def train_specknet(folder, clips, frames, *, config, batch=SMALL_BATCH, network=SMALL_NETWORK, **options):
    torch.manual_seed(config.seed)
    objective = SpeckNetObjective(network)
    train(folder, objective, ClipBatches(clips, frames, batch, config.seed, config.steps), config, **options)
    return objective.network


@pytest.mark.slow
def test_same_seed_same_weights_and_resuming_changes_nothing(tmp_path) -> None:
    frames = [smooth_frame(seed) for seed in range(2)]
    whole = train_specknet(tmp_path / "whole", [], frames, config=SMALL).state_dict()
    again = train_specknet(tmp_path / "again", [], frames, config=SMALL).state_dict()
    train_specknet(tmp_path / "broken", [], frames, config=SMALL, stop_after=3)
    resumed = train_specknet(tmp_path / "broken", [], frames, config=SMALL, resume=True).state_dict()
    other = train_specknet(tmp_path / "other", [], frames, config=replace(SMALL, seed=6)).state_dict()
    assert all(torch.equal(whole[name], again[name]) and torch.equal(whole[name], resumed[name]) for name in whole)
    assert not torch.equal(whole["stem.weight"], other["stem.weight"])
    rows = (tmp_path / "whole" / "log.csv").read_text().splitlines()
    assert len(rows) == 4
    assert rows[0].startswith("step,seconds,learning_rate,loss")
    with pytest.raises(InputError, match="other settings"):
        train_specknet(tmp_path / "broken", [], frames, config=replace(SMALL, learning_rate=1e-3), resume=True)
    (tmp_path / "broken" / STATE_NAME).write_bytes(b"nothing")
    with pytest.raises(InputError, match="not the state"):
        train_specknet(tmp_path / "broken", [], frames, config=SMALL, resume=True)


def test_clip_files_and_sources(tmp_path) -> None:
    rng = np.random.default_rng(0)
    clip = TrainingClip(
        rng.integers(0, 255, (6, 64, 64)).astype(np.uint8),
        rng.uniform(5, 58, (6, 40, 2)).astype(np.float32),
        rng.random((6, 40)) < 0.8,
        "one",
    )
    write_clip(tmp_path / "one.npz", clip)
    back = read_clip(tmp_path / "one.npz")
    assert np.array_equal(back.frames, clip.frames)
    assert np.array_equal(back.visible, clip.visible)
    (tmp_path / "two.npz").write_text("no clip")
    with pytest.raises(InputError, match=r"two\.npz"):
        read_clip(tmp_path / "two.npz")
    source = ClipBatches([clip], [], replace(SMALL_BATCH, input_size=128, crops=((1.0, 64),)), 1, 10)
    first, second = source.draw(7), source.draw(7)
    assert all(
        torch.equal(a.frames, b.frames) and torch.equal(a.points, b.points) for a, b in zip(first, second, strict=True)
    )
    assert first[0].frames.shape == (3, 1, 64, 64)


def test_clips_are_waited_for(tmp_path, monkeypatch) -> None:
    clip = TrainingClip(np.zeros((2, 32, 32), np.uint8), np.zeros((2, 3, 2), np.float32), np.ones((2, 3), bool), "late")
    write_clip(tmp_path / "phantom-1-00000.npz", clip)
    with clips_in_background(tmp_path, 1, 1, 0) as clips:  # all there: no process is started
        assert clips[0].name == "late"
        assert len(clips) == 1
    clips = ClipFolder([tmp_path / "phantom-1-00001.npz"])
    writer = threading.Timer(0.3, write_clip, (tmp_path / "phantom-1-00001.npz", clip))
    writer.start()
    assert clips[0].frames.shape == (2, 32, 32)
    writer.join()
    monkeypatch.setattr(phantom_clips, "LONGEST_WAIT_S", 0.2)
    with pytest.raises(OutputError, match="00002"):
        _ = ClipFolder([tmp_path / "phantom-1-00002.npz"])[0]


@pytest.mark.training
def test_a_short_run_learns(tmp_path) -> None:
    """On one warped texture: within 150 steps the cross-entropy falls by a third."""
    config = replace(SMALL, steps=150, log_every=15, learning_rate=3e-3)
    network = SpeckNetConfig(input_size=128, channels=(8, 16, 16, 16))
    batch = replace(SMALL_BATCH, input_size=128, crops=((1.0, 128),))
    train_specknet(tmp_path, [], [smooth_frame()], config=config, batch=batch, network=network)
    rows = [line.split(",") for line in (tmp_path / "log.csv").read_text().splitlines()[1:]]
    assert float(rows[-1][5]) < 0.67 * float(rows[0][5])


def test_the_rate_rises_and_falls_also_where_the_rise_is_one_step():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = one_cycle(optimizer, 1e-2, 20, 0.05)
    rates = []
    for _ in range(20):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert max(rates) == pytest.approx(1e-2, rel=0.02)
    assert rates[-1] < 1e-4 * max(rates)


def test_bfloat16_is_not_imitated(monkeypatch):
    from UltrasoundMotionLib.lab.training import precision as module

    left, right = torch.rand(2, 8, 8)
    for there, wanted, kind in (
        (False, True, torch.float32),
        (True, True, torch.bfloat16),
        (True, False, torch.float32),
    ):
        monkeypatch.setattr(module, "has_bfloat16", lambda _, there=there: there)
        with module.mixed_precision("cpu", wanted):
            assert (left @ right).dtype == kind
