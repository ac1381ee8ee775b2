"""LSDM's network and losses against loops and closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lsdm_samples import TINY, batch_of
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import compose, jacobian_determinant
from UltrasoundMotionLib.lab.training.objectives.lsdm import (
    PUBLISHED_LOSS,
    LsdmLoss,
    LsdmObjective,
    target_pixels,
)
from UltrasoundMotionLib.tracking.trackers.lsdm.deformation import local_correlation
from UltrasoundMotionLib.tracking.trackers.lsdm.emma import Emma
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
from UltrasoundMotionLib.tracking.trackers.lsdm.siamese import REACH, correlate


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
