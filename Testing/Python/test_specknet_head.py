"""SpeckNet's temporal head: streams what it gives for whole clips, learns, and serves the fused tracker."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.data.clip_batches import ClipBatches, ClipBatchSettings
from UltrasoundMotionLib.lab.training.data.head_batches import HeadBatches, draw_estimates
from UltrasoundMotionLib.lab.training.data.pseudo_labels import agreeing_clip, pseudo_label_clips
from UltrasoundMotionLib.lab.training.objectives.specknet_head import SpeckNetHeadObjective, _window_target
from UltrasoundMotionLib.lab.training.settings import TrainingSettings
from UltrasoundMotionLib.lab.training.trainer import train
from UltrasoundMotionLib.tracking import PointTracks
from UltrasoundMotionLib.tracking.matching.settings import LongShortSettings
from UltrasoundMotionLib.tracking.registry import TrackerSetup
from UltrasoundMotionLib.tracking.trackers import specknet
from UltrasoundMotionLib.tracking.trackers.specknet.network import SpeckNet, SpeckNetConfig, TemporalHeadConfig
from UltrasoundMotionLib.tracking.trackers.specknet.temporal_head import HeadState, TemporalHead, build_specknet

SMALL = SpeckNetConfig(
    input_size=128, channels=(8, 12, 12, 16), head=TemporalHeadConfig(radius=2, window=4, width=32, layers=2, heads=4)
)


def _head():
    torch.manual_seed(0)
    head = TemporalHead(TemporalHeadConfig(window=4, width=32))
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return head.eval()


def _clip(frames=10, points=5):
    generator = torch.Generator().manual_seed(1)
    volumes = tuple(2 * torch.rand(frames, points, side, side, generator=generator) - 1 for side in (32, 32, 16))
    places = 60 + 100 * torch.rand(1, points, 2, generator=generator)
    return volumes, places + 6 * torch.randn(frames, points, 2, generator=generator).cumsum(0)


def test_default_head_has_a_third_of_a_million_weights_at_most():
    assert 0.15e6 < sum(parameter.numel() for parameter in TemporalHead().parameters()) < 0.33e6


@torch.no_grad()
def test_a_stream_gives_what_the_whole_clip_gives():
    head, (volumes, estimates) = _head(), _clip()
    costs = head.costs(volumes, estimates)
    whole = head(costs[None], estimates[None], estimates[:1])
    state = HeadState(len(head.layers))
    for frame in range(len(estimates)):
        answer = head.step(costs[frame], estimates[frame], estimates[0], state)
        for name, value in vars(answer).items():
            torch.testing.assert_close(value, getattr(whole, name)[0, frame], atol=1e-4, rtol=1e-4)
    assert all(past.shape[1] == head.config.window for past in state.past)  # memory is bounded


@torch.no_grad()
def test_the_head_sees_no_later_frame_and_no_order_of_points():
    head, (volumes, estimates) = _head(), _clip()
    costs = head.costs(volumes, estimates)
    whole = head(costs[None], estimates[None], estimates[:1])
    later = costs.clone()
    later[6:] = 0.3
    changed = head(later[None], estimates[None], estimates[:1])
    torch.testing.assert_close(changed.offset[:, :6], whole.offset[:, :6])
    assert (changed.offset[:, 6:] - whole.offset[:, 6:]).abs().max() > 0.01
    order = torch.tensor([3, 0, 4, 1, 2])
    shuffled = head(costs[None][:, :, order], estimates[None][:, :, order], estimates[:1, order])
    torch.testing.assert_close(shuffled.offset, whole.offset[:, :, order], atol=1e-4, rtol=1e-4)


def test_costs_are_the_cosines_around_the_estimate():
    head = TemporalHead(TemporalHeadConfig(radius=1))
    volume = torch.arange(32.0 * 32).view(1, 1, 32, 32)
    coarse = torch.arange(16.0 * 16).view(1, 1, 16, 16)
    estimate = torch.tensor([[[8 * 10 + 3.5, 8 * 20 + 3.5]]])  # the middle of the cell of column 10, row 20
    costs = head.costs((volume, volume, coarse), estimate)
    row = [32 * 19 + 9, 32 * 19 + 10, 32 * 19 + 11]
    assert costs[0, 0, 0].tolist() == pytest.approx([*row, *(v + 32 for v in row), *(v + 64 for v in row)])
    assert float(costs[0, 0, 2, 4]) == pytest.approx(16 * 9.75 + 4.75)


def test_window_target_is_bilinear():
    target = _window_target(torch.tensor([[1.25, -1.0], [0.0, 0.0]]), 7).view(2, 7, 7)
    assert float(target[0, 2, 4]) == pytest.approx(0.75)
    assert float(target[0, 2, 5]) == pytest.approx(0.25)
    assert float(target[1, 3, 3]) == 1
    torch.testing.assert_close(target.sum((1, 2)), torch.ones(2))


def test_running_estimates_begin_exact_and_stay_within_the_window():
    points = torch.rand(12, 20, 2) * 200
    estimates = draw_estimates(points, np.random.default_rng(0))
    torch.testing.assert_close(estimates[0], points[0])
    assert (estimates - points).abs().max() <= 23.01
    assert (estimates - points)[1:].norm(dim=-1).mean() > 0.5
    torch.testing.assert_close(estimates, draw_estimates(points, np.random.default_rng(0)), rtol=0, atol=0)


def _training(folder, steps=40, **options):
    torch.manual_seed(0)
    objective = SpeckNetHeadObjective(SMALL)
    clips = ClipBatches(
        [],
        [],
        ClipBatchSettings(
            clips=1, frames=6, points=12, input_size=128, crops=((1.0, 128),), pulse_share=0.5, texture_share=0.5
        ),
        4,
        10,
    )
    batches = HeadBatches(clips, objective.encode, pool=3, count=2, seed=4)
    settings = TrainingSettings(steps=steps, learning_rate=3e-3, seed=4)
    with torch.no_grad():
        first = objective.validate(batches.held_out(2))
    train(folder, objective, batches, settings, **options)
    return objective, first, batches


@pytest.mark.slow
def test_training_changes_the_head_alone_and_resumes(tmp_path):
    torch.manual_seed(0)
    before = SpeckNetHeadObjective(SMALL).weights()
    whole, first, batches = _training(tmp_path / "whole")
    after = whole.weights()
    for name, value in before.items():
        assert torch.equal(value, after[name]) is not name.startswith("head.") or name.endswith("age_bias")
    _training(tmp_path / "broken", stop_after=17)
    resumed, _, _ = _training(tmp_path / "broken", resume=True)
    for name, value in resumed.weights().items():
        torch.testing.assert_close(value, after[name], rtol=0, atol=0)
    with torch.no_grad():
        last = whole.validate(batches.held_out(2))
    assert set(last) == set(first)
    losses = [float(line.split(",")[3]) for line in (tmp_path / "whole" / "log.csv").read_text().splitlines()[1:]]
    assert np.isfinite(losses).all()


def test_the_fused_tracker_takes_the_head_from_the_weights_and_the_published_one_does_not():
    torch.manual_seed(0)
    network = build_specknet(SMALL).eval()
    assert network.head is not None
    rebuilt = specknet.SPECKNET.build({**asdict(SMALL), "channels": list(SMALL.channels)})
    rebuilt.load_state_dict(network.state_dict())
    setup = TrackerSetup("cpu", LongShortSettings(), network)
    frames = np.random.default_rng(0).normal(size=(5, 96, 96)).astype(np.float32)
    points = np.array([[30.0, 40.0], [50.0, 60.0], [70.0, 30.0]])

    def found(tracker):
        tracker.start(frames[0], points)
        return np.stack([tracks.positions_px for frame in frames[1:] for tracks in tracker.update_many(frame[None])])

    with_head = found(specknet.create_specknet(setup))
    without = found(specknet.create_specknet(replace(setup, network=_without_head(network))))
    assert np.isfinite(with_head).all()
    assert np.abs(with_head - without).max() > 1e-3
    published, bare = (
        found(specknet.create_specknet_published(replace(setup, network=one)))
        for one in (network, _without_head(network))
    )
    np.testing.assert_array_equal(published, bare)


def _without_head(network):
    bare = SpeckNet(replace(SMALL, head=None)).eval()
    bare.load_state_dict({k: v for k, v in network.state_dict().items() if not k.startswith("head.")})
    return bare


def test_a_head_starts_from_an_encoder_alone_and_refuses_other_weights():
    encoder = SpeckNet(replace(SMALL, head=None)).state_dict()
    objective = SpeckNetHeadObjective(SMALL)
    objective.start_from(encoder)
    torch.testing.assert_close(objective.network.stem.weight, encoder["stem.weight"])
    with pytest.raises(InputError, match="not the weights of this network"):
        objective.start_from({"stem.weight": encoder["stem.weight"]})


def test_pseudo_labels_are_where_both_ways_meet():
    frames = np.zeros((10, 256, 256), np.uint8)
    out = np.full((10, 3, 2), 100.0) + np.arange(10)[:, None, None]
    back = out + 0.4
    back[6, 0] += 9  # parts for a moment
    back[:, 1] += np.linspace(12, 0, 10)[:, None]  # does not come back to where it began

    def tracks(positions):
        shape = positions.shape[:2]
        return PointTracks(positions, np.ones(shape), np.ones(shape, bool), ("a", "b", "c"), 0)

    clip = agreeing_clip(frames, tracks(out), tracks(back), "clip")
    assert clip.trajectories_px.shape == (10, 2, 2)
    assert clip.visible[:, 0].tolist() == [frame != 6 for frame in range(10)]
    assert clip.visible[:, 1].all()
    np.testing.assert_allclose(clip.trajectories_px[3, 1], 103.2, atol=1e-4)


@pytest.mark.slow
def test_pseudo_labels_of_a_moving_texture_are_its_motion(tmp_path):
    from PIL import Image
    from scipy import ndimage

    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(128, 160)), 2.0)
    texture = np.clip(128 + 60 * noise / noise.std(), 0, 255).astype(np.uint8)
    for frame in range(10):
        Image.fromarray(texture[:, 2 * (9 - frame) : 2 * (9 - frame) + 140]).save(tmp_path / f"{frame:03d}.png")
    labelled = pseudo_label_clips([tmp_path])
    (clip,) = labelled.clips
    assert clip.visible.mean() > 0.5
    moved = clip.trajectories_px[:, :, :] - clip.trajectories_px[:1]
    expected = np.stack([2.0 * np.arange(10), np.zeros(10)], axis=1)[:, None]
    assert np.median(np.abs(moved - expected)[clip.visible]) < 0.3
