"""LSDM's tracker, its parts, weights and ablation, with a tiny network that has learnt for some seconds."""

from __future__ import annotations

import copy
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from lsdm_samples import TINY, Textures, batch_of, moved, network, speckle
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.lsdm_ablation.networks import lsdm_ablation
from UltrasoundMotionLib.lab.benchmarks.lsdm_ablation.parts import lsdm_parts
from UltrasoundMotionLib.lab.benchmarks.trackers import same_points
from UltrasoundMotionLib.lab.phantom_cases import BenchmarkCase
from UltrasoundMotionLib.lab.training.data.landmark_sources import FrameTriple, LandmarkSource
from UltrasoundMotionLib.lab.training.data.triple_batches import LandmarkBatchSettings
from UltrasoundMotionLib.lab.training.landmark_recipe import LANDMARK_SETTINGS
from UltrasoundMotionLib.lab.training.objectives.lsdm import PUBLISHED_LOSS, LsdmObjective
from UltrasoundMotionLib.lab.training.optimization import Optimization
from UltrasoundMotionLib.lab.training.recipe import RECIPES
from UltrasoundMotionLib.tracking.registry import find_tracker
from UltrasoundMotionLib.tracking.trackers.lsdm.lsdm_tracker import LsdmTracker, LsdmTrackerConfig
from UltrasoundMotionLib.tracking.trackers.lsdm.motion import Motion
from UltrasoundMotionLib.tracking.trackers.lsdm.network import Lsdm
from UltrasoundMotionLib.tracking.trackers.lsdm.tracking_branch import SAMPLE, STRIDE
from UltrasoundMotionLib.weights import ModelCard, load_network, save_weights


@pytest.fixture(scope="module")
def taught() -> Lsdm:
    """A tiny network that has learnt for some seconds to find texture that has moved."""
    torch.manual_seed(0)
    objective = LsdmObjective(replace(TINY, feature_channels=16))
    optimizer = torch.optim.Adam(objective.parameters(), 4e-3)
    for step in range(12):
        optimizer.zero_grad()
        objective.losses(batch_of(step=step), step)["total"].backward()
        optimizer.step()
    return objective.network.eval()


def test_the_response_finds_texture_that_it_never_saw(taught):
    objective = LsdmObjective(taught.config)
    objective.network = taught
    assert objective.errors(batch_of(seed=9)).max() < 2.0


def followed(taught: Lsdm, count: int, **changes) -> tuple[np.ndarray, LsdmTracker]:
    """Positions (T, N, 2) of landmarks on a texture that moves 2 px right and 1 px up a frame, and the tracker."""
    texture = speckle(950, 256)
    points = np.array([[120.0, 130.0], [100.25, 141.5], [140.0, 128.0]])[:count]
    tracker = LsdmTracker(taught, LsdmTrackerConfig(**changes), torch.device("cpu"))
    positions = [tracker.start(texture.astype(np.float32), points).positions_px]
    positions += [
        tracker.update(moved(texture, 2 * step, -step).astype(np.float32)).positions_px for step in range(1, 9)
    ]
    return np.stack(positions), tracker


@pytest.mark.parametrize("changes", [{}, {"scales": (1.0,)}, {"interval": 3}])
def test_the_tracker_follows_and_several_are_as_one(taught, changes):
    three, _ = followed(taught, 3, **changes)
    truth = three[:1] + np.arange(9)[:, None, None] * np.array([2.0, -1.0])
    assert np.linalg.norm(three - truth, axis=2).max() < 2.0
    one, _ = followed(taught, 1, **changes)
    np.testing.assert_allclose(one[:, 0], three[:, 0], atol=0.02)


def test_the_fields_are_of_the_whole_frame(taught):
    positions, tracker = followed(taught, 2)
    result = tracker.result()
    assert result.long_displacement.shape == result.short_displacement.shape == (2, 128, 128)
    assert result.step_px == 2.0 and result.confidence.shape == (2,)
    np.testing.assert_array_equal(result.positions_px, positions[-1])


def test_bad_input_holding_and_bounded_memory(taught):
    texture = speckle(950, 256)
    tracker = LsdmTracker(taught, LsdmTrackerConfig(interval=2), torch.device("cpu"))
    tracker.start(texture, np.array([[120.0, 130.0], [2.0, 3.0]]))
    with pytest.raises(InputError, match="from the first update on"):
        tracker.result()
    tracker.hold(np.array([True, False]), np.array([[90.0, 100.0], [0.0, 0.0]]))
    held = tracker.update(moved(texture, 1, 0))
    np.testing.assert_allclose(held.positions_px[0], [90.0, 100.0], atol=1e-4)
    assert held.confidence[0] == 0 and not held.visible[0]
    black = tracker.update(np.zeros_like(texture))
    assert np.isfinite(black.positions_px).all() and not black.visible.any()
    for step in range(4):
        tracker.update(moved(texture, step, 0))
    assert len(tracker._recent) == 2
    with pytest.raises(InputError, match="the frame is 100 x 90 pixels, the first one was 256 x 256"):
        tracker.update(np.zeros((90, 100), dtype=np.float32))
    for wrong, said in (
        ({"interval": 0}, "interval must be at least 1"),
        ({"window_influence": 2.0}, "window_influence must lie between 0 and 1"),
        ({"scales": ()}, "scales must be positive numbers"),
    ):
        with pytest.raises(InputError, match=said):
            LsdmTrackerConfig(**wrong)


@pytest.mark.parametrize(("predicted", "returns"), [((5.0, -2.0), True), ((70.0, 70.0), False)])
def test_a_lost_landmark_returns_to_where_both_motions_predict_it(taught, predicted, returns):
    texture, start = speckle(960, 256), np.array([[120.0, 130.0]])
    made = copy.deepcopy(taught)
    original, shift = made.motion, torch.tensor(predicted) / 4  # cells of two motion pixels, each two of the frame

    def motion(frames: torch.Tensor) -> Motion:
        found = original(frames)
        long = shift[None, :, None, None].expand_as(found.long)
        return Motion.of(long, torch.zeros_like(long), found.features, 5)

    made.motion = motion
    tracker = LsdmTracker(made, LsdmTrackerConfig(), torch.device("cpu"))
    tracker.start(texture, start)
    tracker.hold(np.array([True]), start + 70.0)  # lost, farther off than the search window reaches
    tracker.update(moved(texture, 4, -2).astype(np.float32))
    found = tracker.update(moved(texture, 5, -2).astype(np.float32)).positions_px
    assert (np.linalg.norm(found - start - [5.0, -2.0]) < 2) == returns


class Answers(torch.nn.Module):
    """Stands in for the network: no motion, and responses that are given."""

    def __init__(self, responses: torch.Tensor) -> None:
        super().__init__()
        self.inner, self.responses, self.scales = network(), responses, None

    def motion(self, frames: torch.Tensor):
        still = torch.zeros(1, 2, frames.shape[2] // 2, frames.shape[3] // 2)
        return replace(self.inner.motion(frames), long_forward=still, short_forward=still)

    def response(self, motion, landmarks, scales):
        self.scales, self.middles = scales.clone(), landmarks.middles.clone()
        return self.responses


def test_window_and_scales_are_those_of_the_code_by_loops():
    generator = torch.Generator().manual_seed(5)
    responses = F.interpolate(torch.randn((1, 3, 9, 9), generator=generator), size=33, mode="bicubic")
    answers = Answers(responses)
    config = LsdmTrackerConfig()
    tracker = LsdmTracker(answers, config, torch.device("cpu"))
    texture = speckle(3)
    tracker.start(texture, np.array([[120.0, 130.0]]))
    found = tracker.update(moved(texture, 1, 1)).positions_px[0]
    np.testing.assert_allclose(answers.scales[0], [1 / 1.0375, 1, 1.0375], rtol=1e-6)

    fine = F.interpolate(responses, size=257, mode="bicubic", align_corners=True)[0].double().numpy()
    best, chosen = -np.inf, None
    for number in range(3):
        likelihood = np.exp(float(responses[0, number].max())) * (1 if number == 1 else 0.9745)
        if likelihood > best:
            best, chosen = likelihood, number
    profile = np.array([np.sin(np.pi * (i + 1) / 258) ** 2 for i in range(257)])
    window = np.outer(profile, profile)
    values = fine[chosen] - fine[chosen].min()
    mixed = (1 - 0.176) * values / values.sum() + 0.176 * window / window.sum()
    row, column = divmod(int(mixed.argmax()), 257)
    step = STRIDE * SAMPLE * 2 / 8  # pixels of the frame from one place of the fine map to the next
    np.testing.assert_allclose(found, [120 + (column - 128) * step, 130 + (row - 128) * step], atol=0.5 * step + 1e-3)
    size = 1 + 0.59 * (1.0375 ** (chosen - 1) - 1)
    tracker.update(moved(texture, 2, 2))
    np.testing.assert_allclose(answers.scales[0], size * np.array([1 / 1.0375, 1, 1.0375]), rtol=1e-5)


@pytest.fixture(scope="module")
def shipped() -> Lsdm:
    """The network of the installed weights."""
    return load_network("lsdm", find_tracker("lsdm").network).network.eval()


PARTS = ("EMMA", "long field", "short field", "pyramid", "warped exemplar", "motion prior")


def disturbed(made: Lsdm, part: str) -> Lsdm:
    """A copy of the network in which one part is left out or says something else."""
    other = copy.deepcopy(made)
    with torch.no_grad():
        if part == "EMMA":
            other.alignment.iterations = 0
        elif part == "pyramid":
            torch.manual_seed(7)
            for last in (other.pyramid.to_stride_2, other.pyramid.to_stride_4):
                last.weight.copy_(last.weight.flatten()[torch.randperm(last.weight.numel())].view_as(last.weight))
        elif part == "warped exemplar":
            plain = Lsdm.exemplars
            still = Motion.of(*torch.zeros(2, 1, 2, 64, 64), (), 1)
            other.exemplars = lambda own, landmarks, now, scales: plain(
                other, still.of_landmarks(landmarks.frames), landmarks, now, scales
            )
        elif part == "motion prior":
            other.log_outlier.fill_(3.0)  # nearly the same chance everywhere
        else:  # two cells, 8 pixels of the frame, to the right
            other.velocities[0 if part == "long field" else 1].bias[0] += 2.0
    return other


def tracked(made: Lsdm) -> tuple[np.ndarray, list[torch.Tensor]]:
    """Positions of landmarks in tissue that shears and drifts, and the responses in every frame."""
    texture = torch.tensor(speckle(950, 256))[None, None] + torch.tensor(speckle(951, 256))[None, None] - 128
    points = np.array([[120.0, 130.0], [100.25, 141.5], [140.0, 128.0]])
    responses, original = [], made.response
    made.response = lambda *given: responses.append(original(*given)) or responses[-1]
    tracker = LsdmTracker(made, LsdmTrackerConfig(), torch.device("cpu"))
    positions = []
    y, x = torch.meshgrid(*[torch.arange(256.0)] * 2, indexing="ij")
    for step in range(5):
        grid = torch.stack((x - 1.5 * step - 0.01 * step * (y - 128), y + step), dim=2)[None]
        frame = F.grid_sample(texture, (grid + 0.5) / 128 - 1, align_corners=False)[0, 0].numpy()
        found = tracker.start(frame, points) if step == 0 else tracker.update(frame)
        positions.append(found.positions_px)
    return np.stack(positions), responses


def test_each_part_of_the_shipped_network_acts_on_the_response_and_the_position(shipped):
    positions, responses = tracked(copy.deepcopy(shipped))
    noise = max(
        float((one - two).abs().max()) for one, two in zip(responses, tracked(copy.deepcopy(shipped))[1], strict=True)
    )
    for part in PARTS:
        other_positions, other_responses = tracked(disturbed(shipped, part))
        difference = other_responses[0] - responses[0]
        changed = float((difference - difference.mean()).abs().max())
        assert changed > max(0.02, 100 * noise), f"{part}: the response changes by {changed:.3g}"
        moved_px = np.abs(other_positions - positions).max()
        assert moved_px > 0.002, f"{part}: positions change by {moved_px:.3g} px"


def test_weights_are_loaded_from_their_card_and_no_other(taught, tmp_path):
    values = {"network": asdict(taught.config)}
    card = ModelCard("lsdm", "Lsdm", values, "test", (), "", 1, "", {}, "", "")
    save_weights(tmp_path, taught.state_dict(), card)
    tracker = find_tracker("lsdm").make(weights=tmp_path / "lsdm.json")
    assert isinstance(tracker, LsdmTracker)
    positions = tracker.start(speckle(950, 256).astype(np.float32), np.array([[120.0, 130.0]])).positions_px
    np.testing.assert_array_equal(positions, [[120.0, 130.0]])
    save_weights(tmp_path, taught.state_dict(), replace(card, name="other", architecture="SpeckNet"))
    with pytest.raises(InputError, match="are of SpeckNet, not Lsdm"):
        find_tracker("lsdm").make(weights=tmp_path / "other.json")
    save_weights(tmp_path, taught.state_dict(), replace(card, name="odd", configuration={"network": {"layers": 3}}))
    with pytest.raises(InputError, match="configuration is not Lsdm's"):
        find_tracker("lsdm").make(weights=tmp_path / "odd.json")


@pytest.mark.slow
def test_the_ablation_trains_each_network_once_and_prints_both_tables(tmp_path):
    texture = speckle(950, 256)
    sequence = ImageSequence(
        np.stack([moved(texture, step, 0) for step in range(12)]), spacing_mm=(0.5, 0.5), name="moving"
    )
    positions = np.array([[[120.0 + step, 130.0], [100.0 + step, 120.0]] for step in range(12)])
    truth = replace(same_points(positions), spacing_mm=(0.5, 0.5))
    training = replace(LANDMARK_SETTINGS, steps=1)
    case = BenchmarkCase("liver", "hard", "moving", sequence, truth)
    save_file(LsdmObjective(TINY).weights(), tmp_path / "trained.safetensors")
    shared = {
        "training": training,
        "batch": LandmarkBatchSettings(triples=1, landmarks=2, motion=None, images=None),
        "network": TINY,
        "start_from": tmp_path / "trained.safetensors",
        "out": tmp_path / "kept",
    }
    result = lsdm_ablation([Textures()], [case], **shared)
    assert [row.table for row in result.rows] == ["S2"] * 6 + ["S3"] * 4
    assert len({(row.decoder, row.iterations, row.pyramid) for row in result.rows[:6]}) == 6
    assert [row.iterations for row in result.rows[6:]] == [1, 3, 5, 10]
    whole = next(row for row in result.rows[:6] if (row.decoder, row.iterations, row.pyramid) == ("complete", 3, True))
    assert result.rows[7] == replace(whole, table="S3")
    assert all(row.mean_mm >= 0 and 0 <= row.long_folded <= 1 for row in result.rows)
    assert all(set(row.by_landmark) == {f"moving/{label}" for label in truth.labels} for row in result.rows)
    assert len(result.table(markdown=True).splitlines()) == 12 and result.as_dict()["steps"] == 1
    assert result.details["started_from"] == "trained.safetensors"

    class Nothing(LandmarkSource):
        name = "liver-texture"

        def draw(self, rng: np.random.Generator) -> FrameTriple:
            raise AssertionError("what is kept is not trained again")

    assert lsdm_ablation([Nothing()], [case], **shared) == result
    with pytest.raises(InputError, match="other settings"):
        lsdm_ablation([Nothing()], [case], **(shared | {"training": replace(training, seed=2)}))


def test_parts_are_switched_off_one_at_a_time_on_the_same_landmarks():
    made = network()
    with torch.no_grad():
        for last in made.velocities:
            last.bias += 1.0
    result = lsdm_parts(made, [("textures", [Textures()])], batches=1)
    whole, *others = result.rows
    assert whole.part == "whole network" and len(others) == 9
    assert all(row.by_landmark.keys() == whole.by_landmark.keys() for row in others)
    assert all(row.by_landmark != whole.by_landmark for row in others if "iteration" not in row.part)
    assert made.pyramid is not None and made.alignment.iterations == 3  # the network itself stays whole


def test_the_published_training_has_the_papers_proportions():
    plan = RECIPES.find("lsdm").make("published")
    assert plan.settings.momentum == 0.9 and plan.settings.learning_rate == 1e-2
    assert plan.settings.steps * plan.batch.triples == 100 * 50  # epochs of so many pairs
    assert plan.batch.triples == 4 and plan.objective.loss == PUBLISHED_LOSS
    optimizer = Optimization(plan.objective, plan.settings)._main
    assert isinstance(optimizer, torch.optim.SGD) and optimizer.param_groups[0]["momentum"] == 0.9
