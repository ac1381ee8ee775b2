"""LSDM's trackers, weights and ablation, with a tiny network that has learnt for some seconds."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lsdm_samples import TINY, batch_of, moved, speckle
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.lsdm_ablation.networks import lsdm_ablation
from UltrasoundMotionLib.lab.benchmarks.trackers import same_points
from UltrasoundMotionLib.lab.phantom_cases import BenchmarkCase
from UltrasoundMotionLib.lab.training.data.landmark_batches import LandmarkBatchSettings
from UltrasoundMotionLib.lab.training.data.landmark_sources import FrameTriple, LandmarkSource
from UltrasoundMotionLib.lab.training.landmark_recipe import LANDMARK_SETTINGS
from UltrasoundMotionLib.lab.training.objectives.lsdm import (
    LsdmLoss,
    LsdmObjective,
    target_pixels,
)
from UltrasoundMotionLib.tracking.matching.settings import UsualPlaceSettings
from UltrasoundMotionLib.tracking.matching.usual_place import UsualPlace
from UltrasoundMotionLib.tracking.registry import find_tracker
from UltrasoundMotionLib.tracking.trackers.lsdm.absolute import LsdmFindingConfig, read_response
from UltrasoundMotionLib.tracking.trackers.lsdm.lsdm_tracker import LsdmTracker, LsdmTrackerConfig
from UltrasoundMotionLib.tracking.trackers.lsdm.network import (
    CELL,
    WINDOW,
    Lsdm,
)
from UltrasoundMotionLib.tracking.trackers.lsdm.published import LsdmPublishedTracker
from UltrasoundMotionLib.tracking.trackers.lsdm.siamese import find_peak
from UltrasoundMotionLib.weights import ModelCard, save_weights


@pytest.fixture(scope="module")
def taught() -> Lsdm:
    """A tiny network that has learnt for some seconds to find texture that has moved."""
    torch.manual_seed(0)
    objective = LsdmObjective(replace(TINY, feature_channels=(16, 16)), LsdmLoss(long=0.1, short=0.1))
    optimizer = torch.optim.Adam(objective.parameters(), 4e-3)
    for step in range(10):
        optimizer.zero_grad()
        objective.losses(batch_of(range(2 * step, 2 * step + 2)), step)["total"].backward()
        optimizer.step()
    return objective.network.eval()


@pytest.mark.slow
def test_the_response_finds_texture_that_it_never_saw(taught):
    batch = batch_of(range(900, 904))
    objective = LsdmObjective(taught.config)
    objective.network = taught
    shift, _ = find_peak(objective.respond(batch)[0])
    assert ((CELL * shift - target_pixels(batch)).norm(dim=1) < 1.5).all()
    torch.testing.assert_close(objective.locate(batch), 127 + CELL * shift * 127 / 48)


def test_of_two_places_alike_the_response_takes_the_expected_one():
    twins = torch.full((1, 33, 33), -9.0)
    twins[0, 16, 14] = twins[0, 16, 24] = 5.0
    answer = read_response(twins, torch.full((1,), 25.0), LsdmFindingConfig())
    torch.testing.assert_close(answer.points, torch.tensor([[-4.0, 0.0]]), atol=0.05, rtol=0)
    assert answer.there > answer.expected == -9
    twins[0, 16, 24] = 40.0
    assert read_response(twins, torch.full((1,), 25.0), LsdmFindingConfig()).points[0, 0] > 15
    assert read_response(twins, torch.full((1,), 1.0), LsdmFindingConfig()).points[0, 0] < 0


def test_out_of_sight_a_point_goes_back_and_is_ever_less_sure():
    place = UsualPlace(np.array([[10.0, 10.0], [50.0, 50.0]]), UsualPlaceSettings(), 2.0)
    points, sure = np.array([[20.0, 10.0], [51.0, 50.0]]), np.tile(0.1 * np.eye(2), (2, 1, 1))
    seen = np.array([False, True])
    later, covariance = place.after(points, sure, seen)
    np.testing.assert_allclose(later, [[19.0, 10.0], [51.0, 50.0]])
    np.testing.assert_allclose(covariance[0], 4.1 * np.eye(2))
    np.testing.assert_allclose(covariance[1], sure[1])
    for _ in range(200):
        later, covariance = place.after(later, covariance, seen)
    assert np.linalg.norm(later[0] - [10.0, 10.0]) < 0.1
    np.testing.assert_allclose(covariance[0], 24.0**2 * np.eye(2), atol=1e-9)


def followed(taught: Lsdm, count: int, **changes) -> tuple[np.ndarray, LsdmTracker | LsdmPublishedTracker]:
    """Positions (T, N, 2) of landmarks on a texture that moves 2 px right and 1 px up a frame, and the tracker."""
    texture = speckle(950, 256)
    points = np.array([[120.0, 130.0], [100.25, 141.5], [140.0, 128.0]])[:count]
    if changes.get("published"):
        tracker = LsdmPublishedTracker(taught, torch.device("cpu"))
    else:
        tracker = LsdmTracker(taught, LsdmTrackerConfig(**changes), torch.device("cpu"))
    positions = [tracker.start(texture.astype(np.float32), points).positions_px]
    positions += [
        tracker.update(moved(texture, 2 * step, -step).astype(np.float32)).positions_px for step in range(1, 9)
    ]
    return np.stack(positions), tracker


@pytest.mark.parametrize("changes", [{}, {"published": True}, {"interval": 3}])
def test_the_tracker_follows_and_several_are_as_one(taught, changes):
    three, _ = followed(taught, 3, **changes)
    truth = three[:1] + np.arange(9)[:, None, None] * np.array([2.0, -1.0])
    assert np.linalg.norm(three - truth, axis=2).max() < 2.0
    one, _ = followed(taught, 1, **changes)
    np.testing.assert_allclose(one[:, 0], three[:, 0], atol=0.02)


def test_the_fields_say_where_tissue_went(taught):
    positions, tracker = followed(taught, 2)
    result = tracker.result()
    assert result.long_displacement.shape == result.short_displacement.shape == (2, 2, WINDOW, WINDOW)
    assert result.step_px == 1.0 and result.confidence.shape == (2,)
    np.testing.assert_array_equal(result.positions_px, positions[-1])
    np.testing.assert_allclose(result.long_displacement[:, :, 64, 64], np.tile([16.0, -8.0], (2, 1)), atol=2.5)
    np.testing.assert_allclose(result.short_displacement[:, :, 64, 64], np.tile([2.0, -1.0], (2, 1)), atol=2.0)


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
    assert len(tracker._search._recent) == 2
    with pytest.raises(InputError, match="the frame is 100 x 90 pixels, the first one was 256 x 256"):
        tracker.update(np.zeros((90, 100), dtype=np.float32))
    with pytest.raises(InputError, match="interval must be at least 1"):
        LsdmTrackerConfig(interval=0)


def test_weights_are_loaded_from_their_card_and_no_other(taught, tmp_path):
    values = {"network": asdict(taught.config)}
    card = ModelCard("lsdm", "Lsdm", values, "test", (), "", 1, "", {}, "", "")
    save_weights(tmp_path, taught.state_dict(), card)
    tracker = find_tracker("lsdm").make(weights=tmp_path / "lsdm.json")
    assert isinstance(tracker, LsdmTracker) and isinstance(
        find_tracker("lsdm-published").make(weights=tmp_path / "lsdm.json"), LsdmPublishedTracker
    )
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
    class Textures(LandmarkSource):
        name = "liver-texture"

        def draw(self, rng: np.random.Generator) -> FrameTriple:
            texture = speckle(int(rng.integers(1000)))
            points = rng.uniform(70, 130, (8, 2)).astype(np.float32)
            frames = np.stack([moved(texture, x, 0) for x in (0, 2, 4)])
            return FrameTriple(
                frames, np.stack([points + np.float32((x, 0)) for x in (0, 2, 4)]), np.ones((3, 8), dtype=bool)
            )

    texture = speckle(950, 256)
    sequence = ImageSequence(
        np.stack([moved(texture, step, 0) for step in range(12)]), spacing_mm=(0.5, 0.5), name="moving"
    )
    positions = np.array([[[120.0 + step, 130.0]] for step in range(12)])
    truth = replace(same_points(positions), spacing_mm=(0.5, 0.5))
    training = replace(LANDMARK_SETTINGS, steps=1)
    case = BenchmarkCase("liver", "hard", "moving", sequence, truth)
    save_file(LsdmObjective(TINY).weights(), tmp_path / "trained.safetensors")
    shared = {
        "training": training,
        "batch": LandmarkBatchSettings(triples=1, landmarks=2, motion=None, images=None, trajectories=0),
        "network": TINY,
        "start_from": tmp_path / "trained.safetensors",
        "out": tmp_path / "kept",
    }
    result = lsdm_ablation([Textures()], [case], **shared)
    assert [row.table for row in result.rows] == ["S2"] * 8 + ["S3"] * 3
    assert len({(row.decoder, row.iterations, row.pyramid) for row in result.rows[:8]}) == 8
    assert [row.iterations for row in result.rows[8:]] == [1, 5, 10]
    whole = next(row for row in result.rows[:8] if (row.decoder, row.iterations, row.pyramid) == ("complete", 5, True))
    assert result.rows[9] == replace(whole, table="S3")
    assert all(row.mean_mm >= 0 and 0 <= row.long_folded <= 1 for row in result.rows)
    assert len(result.table(markdown=True).splitlines()) == 13 and result.as_dict()["steps"] == 1
    assert (
        all(row.response_mean_mm >= 0 for row in result.rows)
        and result.details["started_from"] == "trained.safetensors"
    )

    class Nothing(LandmarkSource):
        name = "liver-texture"

        def draw(self, rng: np.random.Generator) -> FrameTriple:
            raise AssertionError("what is kept is not trained again")

    assert lsdm_ablation([Nothing()], [case], **shared) == result
    with pytest.raises(InputError, match="other settings"):
        lsdm_ablation([Nothing()], [case], **(shared | {"training": replace(training, seed=2)}))
