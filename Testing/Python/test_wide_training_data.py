"""The wider training data of point trackers: pulses, textures, and effects of scanners and probes."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from UltrasoundMotionLib.errors import InputError, OptionError
from UltrasoundMotionLib.lab.training.data.clip_batches import ClipBatches, ClipBatchSettings
from UltrasoundMotionLib.lab.training.data.pulse_clips import pulse_clip
from UltrasoundMotionLib.lab.training.data.scanner_effects import (
    EFFECTS,
    NO_EFFECTS,
    WIDE_EFFECTS,
    EffectProbabilities,
    apply_effects,
)
from UltrasoundMotionLib.lab.training.data.texture_recipes import TEXTURES
from UltrasoundMotionLib.lab.training.objectives.specknet import SpeckNetObjective
from UltrasoundMotionLib.lab.training.recipes.specknet import SpeckNetOptions, SpeckNetRecipe
from UltrasoundMotionLib.tracking.trackers.specknet.network import SpeckNet, SpeckNetConfig


def _clip(seed, count=4):
    return pulse_clip(count, 80, np.random.default_rng(seed), torch.Generator().manual_seed(seed))


def _patches(frame, points):
    """Patches (N, 121) of 11 x 11 around points (N, 2), of mean 0 and length 1."""
    offset = torch.arange(-5.0, 6.0)
    y, x = torch.meshgrid(offset, offset, indexing="ij")
    places = points[:, None] + torch.stack([x, y], dim=-1).view(1, -1, 2)
    grid = (2 * places + 1) / 256 - 1
    values = F.grid_sample(frame[None], grid[None], align_corners=False, padding_mode="border")[0, 0]
    return F.normalize(values - values.mean(dim=1, keepdim=True), dim=1)


@pytest.mark.parametrize("seed", [1, 2, 5, 8])
def test_speckle_of_pulses_moves_with_its_points(seed):
    frames, points, visible = _clip(seed)
    both = visible[0] & visible[1]
    assert both.sum() > 20
    first = _patches(frames[0], points[0, both])

    def likeness(shift):
        return float((first * _patches(frames[1], points[1, both] + torch.tensor(shift))).sum(dim=1).median())

    others = [likeness(shift) for shift in ([5.0, 0.0], [-5.0, 0.0], [0.0, 5.0], [0.0, -5.0])]
    assert likeness([0.0, 0.0]) > max(others) + 0.1


def test_pulses_are_the_same_for_the_same_seed_and_black_outside_of_the_sector():
    frames, points, visible = _clip(3)
    again = _clip(3)
    torch.testing.assert_close(frames, again[0], rtol=0, atol=0)
    assert frames.shape == (4, 1, 256, 256)
    assert float(frames.min()) >= 0
    assert 0.05 < float(frames.mean()) < 0.9
    outside = ((points < 0) | (points > 255)).any(dim=-1)
    assert not (visible & outside).any()


def test_every_effect_has_a_probability_and_keeps_values_and_seeds():
    assert list(EFFECTS) == [one.name for one in fields(EffectProbabilities)]
    frames, points, _ = _clip(4)
    for name in EFFECTS:
        always = replace(NO_EFFECTS, **{name: 1.0})

        def changed(seed, always=always):
            return apply_effects(frames, points, always, np.random.default_rng(seed), torch.Generator().manual_seed(1))

        for seed in range(4):
            given, hidden = changed(seed)
            assert torch.isfinite(given).all(), name
            assert given.shape == frames.shape
            assert hidden.shape == points.shape[:2]
        torch.testing.assert_close(changed(3)[0], given, rtol=0, atol=0)
    unchanged, hidden = apply_effects(frames, points, NO_EFFECTS, np.random.default_rng(0), torch.Generator())
    torch.testing.assert_close(unchanged, frames)
    assert not hidden.any()


def test_a_cut_hides_all_points_from_its_frame_on_and_dropout_only_where_it_is_dark():
    frames, points, _ = _clip(4)
    _, hidden = apply_effects(
        frames, points, replace(NO_EFFECTS, cut=1.0), np.random.default_rng(0), torch.Generator().manual_seed(0)
    )
    rows = hidden.all(dim=1)
    assert rows.any()
    assert not rows[0]
    torch.testing.assert_close(hidden.any(dim=1), rows)
    light = torch.ones_like(frames)
    dark, hidden = apply_effects(
        light, points, replace(NO_EFFECTS, dropout=1.0), np.random.default_rng(2), torch.Generator().manual_seed(0)
    )
    at = points.round().clamp(0, 255).long()
    there = dark[torch.arange(4)[:, None], 0, at[..., 1], at[..., 0]]
    assert hidden.any()
    torch.testing.assert_close(hidden, there < 0.35)


@pytest.mark.parametrize("texture", TEXTURES)
def test_textures_are_neither_blank_nor_alike(texture):
    one, other = (texture(np.random.default_rng(seed)).pixels for seed in (1, 2))
    assert one.dtype == np.uint8
    assert one.std() > 8
    assert np.abs(one.astype(float) - other).mean() > 8


def test_the_wide_preset_draws_from_all_recipes_and_refuses_shares_above_one():
    plan = SpeckNetRecipe().make("wide")
    assert plan.batch.effects == WIDE_EFFECTS
    settings = replace(plan.batch, points=16, frames=3)
    batches = ClipBatches([], [], settings, 1, 10)
    one, again = batches.draw(4), ClipBatches([], [], settings, 1, 10).draw(4)
    assert len(one) == settings.clips
    for clip, same in zip(one, again, strict=True):
        torch.testing.assert_close(clip.frames, same.frames, rtol=0, atol=0)
        assert torch.isfinite(clip.frames).all()
        assert clip.points.shape[1] <= 16
    with pytest.raises(InputError, match="shares"):
        ClipBatchSettings(pulse_share=0.7, texture_share=0.4)


def test_written_weights_are_the_mean_with_those_they_started_from():
    torch.manual_seed(0)
    start = SpeckNet(SpeckNetConfig(channels=(4, 6, 6, 8))).state_dict()
    objective = SpeckNetObjective(SpeckNetConfig(channels=(4, 6, 6, 8)), start_share=0.25)
    objective.start_from(start)
    with torch.no_grad():
        objective.network.stem.weight += 0.8
    torch.testing.assert_close(objective.weights()["stem.weight"], start["stem.weight"] + 0.6)
    torch.testing.assert_close(objective.weights()["stem.bias"], start["stem.bias"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start_share": 0.5}, "start-from"),
        ({"start_share": 1.5, "start_from": Path("a.json")}, "between 0 and 1"),
        ({"stage": "head"}, "trained encoder"),
        ({"stage": "head", "start_share": 0.5, "start_from": Path("a.json")}, "stands still"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        SpeckNetOptions(**options)
