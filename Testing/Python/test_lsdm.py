"""LSDM: EMMA against a direct loop, fields that do not fold, what the network finds after a little learning, and the
tracker around it.
"""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import compose, jacobian_determinant
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.lsdm_ablation.networks import lsdm_ablation
from UltrasoundMotionLib.lab.benchmarks.phantom_cases import BenchmarkCase
from UltrasoundMotionLib.lab.benchmarks.trackers import same_points
from UltrasoundMotionLib.lab.training.data.landmark_batches import LandmarkBatch, LandmarkBatchSettings
from UltrasoundMotionLib.lab.training.data.landmark_sources import FrameTriple, LandmarkSource
from UltrasoundMotionLib.lab.training.landmark_recipe import LANDMARK_SETTINGS
from UltrasoundMotionLib.lab.training.objectives.lsdm import (
    PUBLISHED_LOSS,
    LsdmLoss,
    LsdmObjective,
    target_pixels,
)
from UltrasoundMotionLib.tracking.matching.settings import UsualPlaceSettings
from UltrasoundMotionLib.tracking.matching.usual_place import UsualPlace
from UltrasoundMotionLib.tracking.registry import find_tracker
from UltrasoundMotionLib.tracking.trackers.lsdm.absolute import LsdmFindingConfig, read_response
from UltrasoundMotionLib.tracking.trackers.lsdm.deformation import local_correlation
from UltrasoundMotionLib.tracking.trackers.lsdm.emma import Emma
from UltrasoundMotionLib.tracking.trackers.lsdm.lsdm_tracker import LsdmTracker, LsdmTrackerConfig
from UltrasoundMotionLib.tracking.trackers.lsdm.network import (
    CELL,
    EXEMPLAR,
    WINDOW,
    Lsdm,
    LsdmConfig,
    at_landmark,
    exemplar_window,
    to_pixels,
)
from UltrasoundMotionLib.tracking.trackers.lsdm.published import LsdmPublishedTracker
from UltrasoundMotionLib.tracking.trackers.lsdm.siamese import REACH, correlate, find_peak
from UltrasoundMotionLib.weights import ModelCard, save_weights

TINY = LsdmConfig(motion_channels=(8, 8, 8, 8), feature_channels=(8, 8), seeds=4)


def speckle(seed: int, side: int = 200) -> np.ndarray:
    """(side, side) smooth random texture of 0 to 255."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn((1, 1, side, side), generator=generator)
    for width in (3, 3):
        values = nn.functional.avg_pool2d(values, width, 1, width // 2)
    values = values[0, 0] / values.std()
    return (128 + 50 * values).clamp(0, 255).numpy()


def moved(texture: np.ndarray, x: int, y: int) -> np.ndarray:
    """The texture, everything in it `x` to the right and `y` down."""
    return np.roll(texture, (y, x), axis=(0, 1))


def network(config: LsdmConfig = TINY, seed: int = 0, liveliness: float = 0.05) -> Lsdm:
    """With random weights, motions of a few pixels and a pyramid that says something."""
    torch.manual_seed(seed)
    made = Lsdm(config).eval()
    for decoder in made.deformation.decoders:
        nn.init.normal_(decoder.velocity.weight, std=liveliness)
    if made.pyramid is not None:
        for layer in (made.pyramid.to_fine, *made.pyramid.to_coarse):
            nn.init.normal_(layer.weight, std=0.05)
    return made


def windows(seed: int, count: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn((count, 1, WINDOW, WINDOW), generator=generator) for _ in range(3)]


@pytest.mark.parametrize("iterations", [1, 3])
def test_emma_is_expectation_maximisation_by_loops(iterations):
    generator = torch.Generator().manual_seed(1)
    long, short = (torch.randn((1, 2, 6, 4), generator=generator, dtype=torch.float64) for _ in range(2))
    module = Emma(seeds=4, iterations=iterations, sharpness=3.0).double()
    with torch.no_grad():
        module.gains.copy_(torch.tensor([0.5, 0.25]))
    aligned_long, aligned_short = module(long, short)

    motion = [long[0, :, y, x].numpy() for y in range(6) for x in range(4)]
    brief = [short[0, :, y, x].numpy() for y in range(6) for x in range(4)]
    seeds = [short[0, :, top : top + 3, left : left + 2].mean(dim=(1, 2)).numpy() for top in (0, 3) for left in (0, 2)]

    def responsibilities(vectors, seeds):
        size = np.sqrt(np.mean([v @ v for v in vectors]) + 1e-6)
        logits = np.array([[3.0 * (v / size) @ (s / np.sqrt(s @ s + 1e-6)) for s in seeds] for v in vectors])
        each = np.exp(logits)
        return each / each.sum(axis=1, keepdims=True)

    def fitted(vectors, shares):
        return [
            sum(shares[p, k] * vectors[p] for p in range(len(vectors))) / (shares[:, k].sum() + 1e-6)
            for k in range(len(seeds))
        ]

    def recomposed(shares, seeds):
        return [sum(shares[p, k] * seeds[k] for k in range(len(seeds))) for p in range(len(shares))]

    for _ in range(iterations):
        shares = responsibilities(motion, seeds)
        seeds = fitted(motion, shares)
    composed = recomposed(responsibilities(motion, seeds), seeds)
    seeds = fitted(composed, shares)
    brief_composed = recomposed(responsibilities(brief, seeds), seeds)
    for p in range(24):
        y, x = divmod(p, 4)
        np.testing.assert_allclose(aligned_long[0, :, y, x].detach().numpy(), motion[p] + 0.5 * composed[p], atol=1e-9)
        np.testing.assert_allclose(
            aligned_short[0, :, y, x].detach().numpy(), brief[p] + 0.25 * brief_composed[p], atol=1e-9
        )


def test_emma_can_be_left_out_and_stands_motions_of_zero():
    long, short = torch.randn(2, 1, 2, 8, 8).unbind(0)
    assert Emma(iterations=0)(long, short) == (long, short)
    assert not list(Emma(iterations=0).parameters())
    still = torch.zeros((1, 2, 8, 8), requires_grad=True)
    module = Emma(seeds=4)
    total = sum(part.square().sum() for part in module(still, still))
    total.backward()
    assert torch.isfinite(still.grad).all() and torch.isfinite(module.gains.grad).all()
    with pytest.raises(InputError, match="square number, got 6"):
        Emma(seeds=6)


def test_local_correlation_and_the_heads_by_loops():
    generator = torch.Generator().manual_seed(2)
    first, second = (torch.randn((2, 5, 6, 7), generator=generator) for _ in range(2))
    padded = nn.functional.pad(second, (2, 2, 2, 2))
    looped = torch.stack(
        [(first * padded[:, :, y : y + 6, x : x + 7]).sum(1) for y in range(5) for x in range(5)], dim=1
    )
    torch.testing.assert_close(local_correlation(first, second, 2), looped, atol=1e-5, rtol=1e-5)
    template, search = torch.randn((2, 3, 8, 8), generator=generator), torch.randn((2, 3, 16, 16), generator=generator)
    weights = torch.rand((3, 3), generator=generator)
    answer = correlate(template, search, weights, 2)
    for y in range(5):
        for x in range(5):  # the middle of both is cell 8 // 2 and 16 // 2
            expected = (template[:, :, 3:6, 3:6] * weights * search[:, :, 5 + y : 8 + y, 5 + x : 8 + x]).sum(
                dim=(1, 2, 3)
            )
            torch.testing.assert_close(answer[:, y, x], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("decoder", ["complete", "partial"])
@pytest.mark.parametrize("iterations", [0, 2])
@pytest.mark.parametrize("pyramid", [False, True])
def test_every_variant_has_its_shapes_and_single_is_as_in_a_batch(decoder, iterations, pyramid):
    made = network(replace(TINY, decoder=decoder, iterations=iterations, pyramid=pyramid))
    several = windows(3)
    with torch.no_grad():
        looks = [made.look(window) for window in several]
        decoded = made.decode(*looks)
        motion = made.motion(decoded, *looks)
        assert motion.long.shape == motion.short.shape == (2, 2, WINDOW // CELL, WINDOW // CELL)
        assert [values.shape[1:] for values in decoded.features] == [
            (8 * (2 if decoder == "partial" else 1), side, side) for side in (64, 32, 16)
        ]  # fmt: skip
        exemplar = exemplar_window(several[0])
        assert exemplar.shape[2:] == (EXEMPLAR, EXEMPLAR)
        logits = made.response(made.features.early(exemplar), decoded, looks[2])
        assert logits.shape == (2, 2 * REACH + 1, 2 * REACH + 1)
        one = [made.look(window[1:]) for window in several]
        decoded = made.decode(*one)
        alone = made.motion(decoded, *one)
        torch.testing.assert_close(alone.long, motion.long[1:], atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(alone.short, motion.short[1:], atol=1e-4, rtol=1e-3)
        single = made.response(made.features.early(exemplar[1:]), decoded, one[2])
        torch.testing.assert_close(single, logits[1:], atol=1e-2, rtol=1e-3)


def test_complete_and_partial_decoders_and_unknown_ones():
    complete, partial = (
        sum(p.numel() for p in Lsdm(LsdmConfig(decoder=name)).parameters()) for name in ("complete", "partial")
    )
    assert complete < partial  # the paper's reason for the complete one
    assert 4 * complete < 4e6  # bytes of the weights
    with pytest.raises(InputError, match="decoder must be one of complete, partial, got both"):
        LsdmConfig(decoder="both")


def test_fields_do_not_fold_and_the_inverse_is_one():
    made = network(liveliness=0.3)
    with torch.no_grad():
        looks = [made.look(window) for window in windows(4)]
        motion = made.motion(made.decode(*looks), *looks)
        for velocity in (motion.long, motion.short):
            smooth = nn.functional.avg_pool2d(velocity, 9, 1, 4, count_include_pad=False)
            smooth = 6 * smooth / smooth.abs().max()
            displacement, inverse = made.displacement(smooth), made.displacement(smooth, inverse=True)
            assert displacement.abs().max() > 2
            assert (jacobian_determinant(to_pixels(displacement)) > 0).all()
            back = CELL * compose(displacement / CELL, inverse / CELL)
            assert back[:, :, 8:-8, 8:-8].abs().mean() < 0.05  # px; velocities of up to 6 px, interpolated linearly
            torch.testing.assert_close(to_pixels(displacement)[:, :, 64, 64], at_landmark(displacement))


def batch_of(seeds: range, shift: tuple[float, float] = (4.0, -2.0)) -> LandmarkBatch:
    """Landmarks in the middle of textures, `shift` px away in x_t, half of it in x_{t-dt}."""
    side = (200 - WINDOW) // 2
    cut = slice(side, side + WINDOW)
    frames = [
        torch.tensor(np.stack([moved(speckle(seed), x, y)[cut, cut] for seed in seeds]))[:, None] / 255
        for x, y in ((0, 0), (2, -1), (4, -2))
    ]
    count = len(seeds)
    nothing = torch.zeros((count, 1, 0, 0))
    target = 127 + torch.tensor(shift).expand(count, 2) * 127 / 48
    visible = torch.ones(count, dtype=torch.bool)
    return LandmarkBatch(
        nothing, nothing, target, visible, *(frame.float() for frame in frames), None, torch.ones(count)
    )


@pytest.mark.parametrize(
    "loss", [LsdmLoss(), PUBLISHED_LOSS, LsdmLoss(confidence_map="logistic", similarity="mse", annotated_share=0.5)]
)
def test_every_loss_reaches_every_weight(loss):
    torch.manual_seed(0)
    objective = LsdmObjective(TINY, loss)
    objective.network.load_state_dict(network().state_dict())
    batch = batch_of(range(2))
    torch.testing.assert_close(target_pixels(batch), torch.tensor([[4.0, -2.0]] * 2))
    parts = objective.losses(batch, 0)
    assert set(parts) == {"total", "tracking", "entropy", "long", "short", "smoothness", "landmark_motion"}
    assert all(torch.isfinite(value) for value in parts.values())
    parts["total"].backward()
    assert all(weight.grad is not None and torch.isfinite(weight.grad).all() for weight in objective.parameters())


def test_weak_supervision_hears_motion_where_nothing_is_annotated():
    objective = LsdmObjective(TINY, LsdmLoss(annotated_share=0.0))
    parts = objective.losses(batch_of(range(2)), 0)
    assert parts["tracking"] == parts["entropy"] == parts["landmark_motion"] == 0
    assert parts["long"] > 0 and parts["short"] > 0
    with pytest.raises(InputError, match="annotated_share"):
        LsdmLoss(annotated_share=1.5)
    with pytest.raises(InputError, match="confidence_map must be one of gaussian, logistic, got box"):
        LsdmLoss(confidence_map="box")


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
    place = UsualPlace(torch.tensor([[10.0, 10.0], [50.0, 50.0]]), UsualPlaceSettings(), 2.0)
    points, sure = torch.tensor([[20.0, 10.0], [51.0, 50.0]]), 0.1 * torch.eye(2).expand(2, 2, 2)
    seen = torch.tensor([False, True])
    later, covariance = place.after(points, sure, seen)
    torch.testing.assert_close(later, torch.tensor([[19.0, 10.0], [51.0, 50.0]]))
    torch.testing.assert_close(covariance[0], 4.1 * torch.eye(2))
    torch.testing.assert_close(covariance[1], sure[1])
    for _ in range(200):
        later, covariance = place.after(later, covariance, seen)
    assert (later[0] - torch.tensor([10.0, 10.0])).norm() < 0.1
    torch.testing.assert_close(covariance[0], 24.0**2 * torch.eye(2))


def followed(taught: Lsdm, count: int, **changes) -> tuple[np.ndarray, LsdmTracker | LsdmPublishedTracker]:
    """Positions (T, N, 2) of landmarks on a texture that moves 2 px to the right and 1 px up a frame, and the tracker."""
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
