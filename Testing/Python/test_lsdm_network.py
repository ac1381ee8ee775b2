"""LSDM's network and losses against loops and closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lsdm_samples import PLAIN, TINY, Textures, batch_of, network, speckle
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import compose, integrate_velocity, jacobian_determinant
from UltrasoundMotionLib.lab.training.data.lsdm_batches import LsdmBatches
from UltrasoundMotionLib.lab.training.objectives.lsdm import PUBLISHED_LOSS, LsdmLoss, LsdmObjective
from UltrasoundMotionLib.lab.training.recipe import RECIPES
from UltrasoundMotionLib.tracking.trackers.lsdm.emma import Emma
from UltrasoundMotionLib.tracking.trackers.lsdm.motion import Motion, flow, motion_frames, to_pixels, warped
from UltrasoundMotionLib.tracking.trackers.lsdm.network import Lsdm, LsdmConfig
from UltrasoundMotionLib.tracking.trackers.lsdm.tracking_branch import RESPONSE, SAMPLE, STRIDE, correlate


@pytest.mark.parametrize("iterations", [1, 3])
def test_emma_is_expectation_maximisation_by_loops(iterations):
    generator = torch.Generator().manual_seed(1)
    long, short = (torch.randn((1, 3, 6, 4), generator=generator, dtype=torch.float64) for _ in range(2))
    aligned_long, aligned_short = Emma(seeds=4, iterations=iterations, sharpness=3.0)(long, short)

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
    composed = recomposed(shares, seeds)
    seeds = fitted(composed, shares)
    brief_composed = recomposed(responsibilities(brief, seeds), seeds)
    for p in range(24):
        y, x = divmod(p, 4)
        np.testing.assert_allclose(aligned_long[0, :, y, x].numpy(), motion[p] + composed[p], atol=1e-9)
        np.testing.assert_allclose(aligned_short[0, :, y, x].numpy(), brief[p] + brief_composed[p], atol=1e-9)


def test_emma_can_be_left_out_and_stands_motions_of_zero():
    long, short = torch.randn(2, 1, 2, 8, 8).unbind(0)
    assert Emma(iterations=0)(long, short) == (long, short)
    still = torch.zeros((1, 2, 8, 8), requires_grad=True)
    sum(part.square().sum() for part in Emma(seeds=4)(still, still)).backward()
    assert torch.isfinite(still.grad).all()
    with pytest.raises(InputError, match="square number, got 6"):
        Emma(seeds=6)


def test_the_correlation_by_loops():
    generator = torch.Generator().manual_seed(2)
    template, search = torch.randn((2, 3, 4, 8, 8), generator=generator), torch.randn((2, 4, 16, 16))
    answer = correlate(template, search)
    assert answer.shape == (2, 3, 9, 9)
    for y in range(9):
        for x in range(9):
            expected = (template * search[:, None, :, y : y + 8, x : x + 8]).sum(dim=(2, 3, 4))
            torch.testing.assert_close(answer[:, :, y, x], expected, atol=1e-4, rtol=1e-4)


def smooth_velocity(largest: float = 3.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    coarse = torch.randn((2, 2, 6, 6), generator=generator)
    fine = nn.functional.interpolate(coarse, size=32, mode="bicubic", align_corners=True)
    return largest * fine / fine.abs().max()


def test_scaling_and_squaring_is_the_flow_by_small_steps():
    velocity = smooth_velocity()
    found = flow(velocity, 5)
    torch.testing.assert_close(found, integrate_velocity(velocity, 5), atol=1e-5, rtol=1e-5)
    steps = 400
    for y, x in ((9, 11), (16, 16), (20, 13)):
        place = np.array([[x, y]] * 2, dtype=np.float64)
        for _ in range(steps):  # dphi/dt = v(phi), Eq. 5
            for b in range(2):
                place[b] += _bilinear(velocity[b].numpy(), place[b]) / steps
        np.testing.assert_allclose(found[:, :, y, x], place - [x, y], atol=0.03)


def _bilinear(field, place):
    x, y = place
    column, row = int(np.floor(x)), int(np.floor(y))
    a, b = x - column, y - row
    top = (1 - a) * field[:, row, column] + a * field[:, row, column + 1]
    below = (1 - a) * field[:, row + 1, column] + a * field[:, row + 1, column + 1]
    return (1 - b) * top + b * below


def test_fields_do_not_fold_and_the_inverse_is_one():
    velocity = smooth_velocity()
    displacement, inverse = flow(velocity, 5), flow(-velocity, 5)
    assert displacement.abs().max() > 2
    assert (jacobian_determinant(to_pixels(displacement)) > 0).all()
    back = compose(displacement, inverse)
    assert back[:, :, 6:-6, 6:-6].abs().mean() < 0.03


def test_places_go_forth_and_back_by_both_motions():
    long, short = (
        torch.tensor(way)[None, :, None, None].expand(1, 2, 32, 32).contiguous() for way in ((1.5, -1.0), (0.5, 2.0))
    )
    motion = Motion.of(long, short, (), 5)
    start = torch.tensor([[20.0, 30.0]])
    torch.testing.assert_close(motion.place_before(start), torch.tensor([[23.0, 28.0]]))
    torch.testing.assert_close(motion.place_now(start), torch.tensor([[24.0, 32.0]]))
    torch.testing.assert_close(motion.origin(motion.place_now(start)[:, None])[:, 0], start)
    frame = torch.arange(64.0).expand(1, 1, 64, 64)  # its grey value is its column
    registered = warped(frame, to_pixels(motion.long_backward))
    torch.testing.assert_close(registered[..., 10:50], frame[..., 10:50] - 3)  # x_0's tissue, 3 px to the right


def test_the_exemplar_is_warped_into_the_present_and_its_middle_stays():
    made, batch = network(), batch_of()
    count = len(batch.target)
    stretch = 0.1 * (torch.arange(64.0) - 32)  # tissue has grown by about a tenth along x
    velocity = torch.zeros(1, 2, 64, 64)
    velocity[:, 0] = stretch
    motion = Motion.of(velocity, torch.zeros_like(velocity), (), 5)
    start = torch.full((count, 2), 64.0)
    columns = torch.arange(256.0).expand(count, 1, 256, 256) - 128
    landmarks = replace(batch.landmarks, frames=torch.zeros(count, dtype=torch.long), start=start, first=columns)
    own = motion.of_landmarks(landmarks.frames)
    exemplars = made.exemplars(own, landmarks, own.place_now(start), torch.ones(count, 1))
    assert exemplars.shape == (count, 1, 128, 128) and exemplars[0, 0, 64, 64].abs() < 1e-3
    slope = (exemplars[0, 0, 64, 96] - exemplars[0, 0, 64, 32]) / 64
    assert slope == pytest.approx(np.exp(-0.1), abs=0.01)
    plain = made.exemplars(own, landmarks, start, torch.tensor([[0.5, 1.0]] * count)).unflatten(0, (count, 2))
    ratio = (plain[:, 0, 0, 64, 96] - plain[:, 0, 0, 64, 64]) / (plain[:, 1, 0, 64, 96] - plain[:, 1, 0, 64, 64])
    torch.testing.assert_close(ratio, torch.full((count,), 2.0), atol=1e-3, rtol=1e-3)  # half as large: twice as far


def test_the_prior_is_a_gaussian_around_where_motion_leads_and_a_chance_that_it_errs():
    made = network()
    with torch.no_grad():
        made.log_deviation.fill_(np.log(2.0))
        made.log_outlier.fill_(np.log(0.1))
        prior = made.prior(torch.tensor([[10.0, 20.0]]), torch.tensor([[10.0 - 3 * STRIDE * SAMPLE, 20.0]]))
    for y, x in ((16, 19), (16, 16), (18, 21), (0, 0)):
        squared = (x - 19) ** 2 + (y - 16) ** 2
        assert float(prior[0, y, x]) == pytest.approx(np.log(np.exp(-squared / 8) + 0.1), abs=1e-4)


@pytest.mark.parametrize("decoder", ["complete", "partial"])
@pytest.mark.parametrize("iterations", [0, 2])
@pytest.mark.parametrize("pyramid", [False, True])
def test_every_variant_has_its_shapes_and_single_is_as_in_a_batch(decoder, iterations, pyramid):
    made = network(replace(TINY, decoder=decoder, iterations=iterations, pyramid=pyramid))
    batch = batch_of()
    with torch.no_grad():
        motion = made.motion(batch.frames)
        assert motion.long.shape == motion.short.shape == (2, 2, 64, 64)
        copies = 2 if decoder == "partial" else 1
        assert [values.shape[1:] for values in motion.features] == [(8 * copies, side, side) for side in (64, 32, 16)]
        logits = made.response(motion, batch.landmarks)
        assert logits.shape == (4, 1, RESPONSE, RESPONSE)
        last = made.motion(batch.frames[1:])
        torch.testing.assert_close(last.long, motion.long[1:], atol=1e-4, rtol=1e-3)
        marks = batch.landmarks
        names = ("start", "middles", "first", "search")
        alone = replace(marks, frames=marks.frames[3:] * 0, **{name: getattr(marks, name)[3:] for name in names})
        torch.testing.assert_close(made.response(last, alone), logits[3:], atol=1e-2, rtol=1e-3)


def test_patches_pass_the_encoder_as_three_equal_frames():
    made = network()
    patch = torch.randn((2, 1, 64, 64))
    with torch.no_grad():
        half, quarter, *_ = made.encoder(patch.expand(-1, 3, -1, -1))
        torch.testing.assert_close(made.encoder.patch_stride_2(patch), half, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(made.encoder.patch_stride_4(half), quarter)


def test_frames_are_brought_to_128_pixels_and_keep_their_places():
    y, x = torch.meshgrid(torch.arange(200.0), torch.arange(320.0), indexing="ij")
    dots = torch.zeros(200, 320)
    for place_x, place_y in ((53.0, 101.0), (159.0, 99.0), (253.0, 61.0)):
        dots += torch.exp(-0.5 * ((x - place_x) ** 2 + (y - place_y) ** 2) / 5**2)
    small, scale = motion_frames(dots[None, None])
    assert small.shape == (1, 1, 80, 128) and scale == pytest.approx(0.4)
    for place_x, place_y in ((53.0, 101.0), (159.0, 99.0), (253.0, 61.0)):
        column, row = (round((place + 0.5) * scale - 0.5) for place in (place_x, place_y))
        around = small[0, 0, row - 5 : row + 6, column - 5 : column + 6]
        assert around.argmax() == 60  # the middle


def test_gain_and_shading_leave_the_frames_of_motion_as_they_are():
    frame = torch.as_tensor(speckle(0), dtype=torch.float32)[None, None]
    plain, _ = motion_frames(frame)
    depth = torch.linspace(0.5, 2.0, frame.shape[2])[:, None]
    shaded, _ = motion_frames(3 * frame * depth + 40 * depth)
    inside = (slice(None), slice(None), slice(8, -8), slice(8, -8))
    assert np.corrcoef(plain[inside].flatten(), shaded[inside].flatten())[0, 1] > 0.98
    assert abs(float(plain.mean())) < 0.1 and 0.8 < float(plain.std()) < 1.05


def test_complete_and_partial_decoders_and_unknown_ones():
    complete, partial = (
        sum(p.numel() for p in Lsdm(LsdmConfig(decoder=name)).parameters()) for name in ("complete", "partial")
    )
    assert complete < partial  # the paper's reason for the complete one
    assert 4 * complete < 0.9e6  # bytes of the weights
    with pytest.raises(InputError, match="decoder must be one of complete, partial, got both"):
        LsdmConfig(decoder="both")


@pytest.mark.parametrize(("loss", "gradients"), [(LsdmLoss(), 9.0), (PUBLISHED_LOSS, 1.0)])
def test_every_loss_reaches_every_weight(loss, gradients):
    torch.manual_seed(0)
    objective = LsdmObjective(TINY, loss)
    parts = objective.losses(batch_of(), 0)
    assert set(parts) == {"total", "tracking", "long", "short", "long_gradient", "short_gradient"}
    weights = {"tracking": 1.5, "long": 0.2, "short": 0.2, "long_gradient": gradients, "short_gradient": gradients}
    torch.testing.assert_close(parts["total"], sum(weight * parts[name] for name, weight in weights.items()))
    parts["total"].backward()
    assert all(weight.grad is not None and torch.isfinite(weight.grad).all() for weight in objective.parameters())
    with pytest.raises(InputError, match="confidence_map must be one of gaussian, logistic, got box"):
        LsdmLoss(confidence_map="box")
    with pytest.raises(InputError, match="noise must be above 0"):
        LsdmLoss(noise=0.0)


def test_motion_can_be_trained_alone():
    torch.manual_seed(0)
    objective = RECIPES.find("lsdm").make("motion").objective
    batch = batch_of()
    parts = objective.losses(batch, 0)
    assert set(parts) == {"total", "long", "short", "long_gradient", "short_gradient"}
    parts["total"].backward()
    assert all(weight.grad is None for weight in objective.network.head.parameters())
    assert all(weight.grad is not None for weight in objective.network.velocities.parameters())
    torch.testing.assert_close(objective.errors(batch), objective.motion_errors(batch)[0])


def test_the_published_labels_are_a_diamond_of_eight_cells():
    objective = LsdmObjective(TINY, PUBLISHED_LOSS)
    batch = batch_of()
    batch = replace(batch, target=torch.zeros_like(batch.target))
    cells = torch.arange(33) - 16
    inside = cells.abs()[:, None] + cells.abs() <= 8
    logits = torch.where(inside, 3.0, -2.0).expand(4, 33, 33)
    expected = 0.5 * (np.log1p(np.exp(-3.0)) + np.log1p(np.exp(-2.0)))
    assert float(objective._tracking(logits, batch)) == pytest.approx(expected, rel=1e-4)


def test_batches_hold_the_landmark_where_they_say():
    batches = LsdmBatches([Textures()], PLAIN, 3)
    batch = batches.draw(0)
    assert torch.equal(batch.frames, batches.draw(0).frames)
    assert batch.frames.shape == (2, 3, 128, 128) and batch.landmarks.first.shape == (4, 1, 256, 256)
    assert batch.target.abs().max() <= 40 and batch.visible.all()
    truth = batch.landmarks.middles + SAMPLE * batch.target
    torch.testing.assert_close(truth - batch.landmarks.start, torch.tensor([[4.0, -2.0]] * 4), atol=1e-3, rtol=0)
    for n in range(4):  # the exemplar's middle is seen where the target says
        x, y = (128 + batch.target[n]).round().long()
        patch = batch.landmarks.search[n, 0, y - 8 : y + 9, x - 8 : x + 9]
        torch.testing.assert_close(patch, batch.landmarks.first[n, 0, 120:137, 120:137], atol=0.6, rtol=0)
