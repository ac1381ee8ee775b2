"""Blocks that point-tracking networks share, against PyTorch's own sampling and the definitions."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from UltrasoundMotionLib.tracking.network_blocks.clip_resizing import ClipResizing, as_grey_levels
from UltrasoundMotionLib.tracking.network_blocks.correlation_pyramid import feature_pyramid, local_correlations
from UltrasoundMotionLib.tracking.network_blocks.feature_sampling import (
    correlate_patches,
    correlate_tracks,
    sample_features,
    sample_patches,
)
from UltrasoundMotionLib.tracking.network_blocks.residual_encoder import ResidualEncoder, encode_in_chunks
from UltrasoundMotionLib.tracking.network_blocks.sinusoidal_embedding import embed_vectors
from UltrasoundMotionLib.tracking.network_blocks.temporal_convolution import TrajectoryConvolution

BATCH, CHANNELS, HEIGHT, WIDTH, COUNT = 2, 5, 13, 17, 40


@pytest.fixture
def features():
    return torch.randn(BATCH, CHANNELS, HEIGHT, WIDTH, generator=generator(), dtype=torch.float64)


@pytest.fixture
def points():
    """Points within the map, on its borders, on whole pixels and far outside."""
    within = torch.rand(BATCH, COUNT, 2, generator=generator(), dtype=torch.float64) * torch.tensor([22.0, 18.0]) - 3
    within[:, :4] = torch.tensor([[0.0, 0.0], [16.0, 12.0], [3.0, 7.0], [-0.5, 12.5]], dtype=torch.float64)
    within[:, 4:6] = torch.tensor([[-1e6, 3.0], [4.0, 1e9]], dtype=torch.float64)
    return within


def generator():
    return torch.Generator().manual_seed(5)


def by_grid_sample(features, points, mode):
    height, width = features.shape[-2:]
    grid = 2 * points / torch.tensor([width - 1.0, height - 1.0], dtype=points.dtype) - 1
    return F.grid_sample(features, grid, padding_mode=mode, align_corners=True)


@pytest.mark.parametrize("outside", ["border", "zeros"])
def test_features_between_pixels(features, points, outside):
    found = sample_features(features, points[:, :4], outside=outside)
    for batch, point in ((0, 0), (1, 1), (0, 2)):
        x, y = points[batch, point].long()
        torch.testing.assert_close(found[batch, point], features[batch, :, y, x])
    middle = sample_features(features, torch.tensor([[[2.5, 4.25]]] * BATCH, dtype=torch.float64), outside=outside)
    rows = (features[..., 2:4].mean(-1) * 1.0)[..., 4:6]
    torch.testing.assert_close(middle[:, 0], rows[..., 0] * 0.75 + rows[..., 1] * 0.25)
    beyond = sample_features(features, torch.full((BATCH, 1, 2), -5.0, dtype=torch.float64), outside=outside)
    expected = features[:, :, 0, 0] if outside == "border" else torch.zeros(BATCH, CHANNELS, dtype=torch.float64)
    torch.testing.assert_close(beyond[:, 0], expected)


@pytest.mark.parametrize("radius", [1, 3])
def test_patches_are_samples_at_whole_offsets(features, points, radius):
    near = points.clamp(-50, 50)
    offsets = torch.arange(-radius, radius + 1, dtype=points.dtype)
    shifts = torch.stack(torch.meshgrid(offsets, offsets, indexing="xy"), dim=-1).reshape(1, 1, -1, 2)
    expected = by_grid_sample(features, near[:, :, None] + shifts, "zeros")  # (B, C, N, P * P)
    side = 2 * radius + 1
    found = sample_patches(features, points, radius)
    assert found.shape == (BATCH, COUNT, side, side, CHANNELS)
    torch.testing.assert_close(found.flatten(2, 3).permute(0, 3, 1, 2), expected)
    templates = torch.randn(BATCH, COUNT, 3, CHANNELS, generator=generator(), dtype=torch.float64)
    products = correlate_patches(features, points, templates, radius)
    torch.testing.assert_close(products, torch.einsum("bnyxc,bnkc->bnkyx", found, templates))


def test_tracks_are_correlated_with_the_repeated_border(features, points, monkeypatch):
    near = points.clamp(-50, 50)
    offsets = torch.arange(-1, 2, dtype=points.dtype)
    shifts = torch.stack(torch.meshgrid(offsets, offsets, indexing="xy"), dim=-1).reshape(1, 1, -1, 2)
    expected = by_grid_sample(features, near[:, :, None] + shifts, "border")
    found = sample_patches(features, points, 1, outside="border")
    torch.testing.assert_close(found.flatten(2, 3).permute(0, 3, 1, 2), expected)
    templates = torch.randn(COUNT, 4, CHANNELS, generator=generator(), dtype=torch.float64)
    wanted = torch.einsum("tnyxc,nkc->ntyxk", found, templates)
    for cache_bytes in (4 << 20, 5000, 1):
        monkeypatch.setattr("UltrasoundMotionLib.tracking.network_blocks.chunk_sizes._CACHE_BYTES", cache_bytes)
        torch.testing.assert_close(correlate_tracks(features, points.transpose(0, 1), templates, 1), wanted)


def test_local_correlations_are_parts_of_the_whole_correlation(features, points, monkeypatch):
    from UltrasoundMotionLib.tracking.network_blocks import correlation_pyramid

    templates = torch.randn(BATCH, COUNT, 2, CHANNELS, generator=generator(), dtype=torch.float64)
    pyramid = feature_pyramid(features, 3)
    assert [tuple(level.shape[-2:]) for level in pyramid] == [(13, 17), (6, 8), (3, 4)]
    found = local_correlations(pyramid, points, templates, 2)
    assert found.shape == (BATCH, COUNT, 2, 3 * 25)
    at = 0
    for level, maps in enumerate(pyramid):
        whole = torch.einsum("bchw,bnkc->bnkhw", maps, templates) / CHANNELS**0.5
        for dx in range(-2, 3):  # x changes slowest
            for dy in range(-2, 3):
                places = points.clamp(-50, 50) / 2**level + torch.tensor([dx, dy], dtype=points.dtype)
                for point in (0, 3, 20):
                    one = by_grid_sample(whole[:, point], places[:, point, None, None], "zeros")[..., 0, 0]
                    torch.testing.assert_close(found[:, point, :, at], one)
                at += 1
    monkeypatch.setattr(correlation_pyramid, "_PATCH_VALUES", 1)
    torch.testing.assert_close(local_correlations(pyramid, points, templates, 2), found)


def test_correlations_lead_gradients_to_features_points_and_templates(features, points):
    templates = torch.randn(1, 2, 1, CHANNELS, generator=generator(), dtype=torch.float64)
    arguments = [value.requires_grad_() for value in (features[:1], points[:1, 20:22] * 0.3 + 2.1, templates)]
    assert torch.autograd.gradcheck(lambda maps, at, given: correlate_patches(maps, at, given, 1), arguments)


def test_the_encoder_works_in_chunks_and_at_odd_sizes():
    torch.manual_seed(0)
    encoder = ResidualEncoder(1, (8, 8, 12, 12), 6, 4).eval()
    images = torch.rand(5, 1, 45, 62)
    with torch.inference_mode():
        whole = encoder(images)
        assert whole.shape == (5, 6, 11, 15)
        for at_once in (1, 2, 5, 9):
            chunks = encode_in_chunks(encoder, images, at_once)
            torch.testing.assert_close(chunks, whole)
            assert chunks.is_contiguous(memory_format=torch.channels_last)
    with pytest.raises(ValueError, match="no images"):
        encode_in_chunks(encoder, images[:0], 2)


def test_embedded_vectors_have_the_stated_wavelengths():
    found = embed_vectors(torch.tensor([[0.5, -2.0]], dtype=torch.float64), 16)
    frequencies = np.array([1.0, 10000 ** (-1 / 3), 10000 ** (-2 / 3), 1e-4])
    x, y = 0.5 * frequencies, -2.0 * frequencies
    expected = np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y), [0.5, -2.0]])
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-12)


def test_shared_channels_are_convolved_as_if_every_point_had_them():
    torch.manual_seed(1)
    apart, together = TrajectoryConvolution(6, 8, 4).double(), TrajectoryConvolution(10, 8).double()
    weights = apart.state_dict()
    shared = weights.pop("shared_stem.weight")
    weights["stem.weight"] = torch.cat([weights["stem.weight"], shared], dim=1)
    together.load_state_dict(weights)
    values, common = torch.randn(3, 9, 6, dtype=torch.float64), torch.randn(9, 4, dtype=torch.float64)
    expected = together(torch.cat([values, common.expand(3, -1, -1)], dim=2))
    torch.testing.assert_close(apart(values, common), expected)


def test_points_go_to_the_network_and_back():
    resizing = ClipResizing((200, 300), (64, 96))
    points = np.array([[0.0, 0.0], [299.0, 199.0], [-0.5, 199.5], [120.25, 7.5]])
    inside = resizing.to_network(points, torch.device("cpu"))
    torch.testing.assert_close(inside[2], torch.tensor([-0.5, 63.5]))
    np.testing.assert_allclose(resizing.to_clip(inside), points, atol=1e-4)
    ramp = np.broadcast_to(np.arange(300, dtype=np.float32) * 0.5, (20, 200, 300))
    images = resizing.images(ramp, torch.device("cpu"))
    assert images.shape == (20, 1, 64, 96)
    columns = torch.arange(96)
    expected = torch.tensor(resizing.to_clip(torch.stack([columns, columns], dim=1).float())[:, 0] * 0.5)
    torch.testing.assert_close(images[19, 0, 5, 1:-1], expected[1:-1].float())


def test_corners_are_kept_where_a_network_was_trained_so():
    frames = np.random.default_rng(0).integers(0, 255, (3, 9, 13)).astype(np.float32)
    resizing = ClipResizing((9, 13), (17, 37), keep_corners=True)
    images = resizing.images(frames, torch.device("cpu"))
    np.testing.assert_allclose(images[:, 0, ::2, ::3].numpy(), frames, atol=1e-3)
    points = np.array([[0.0, 0.0], [12.0, 8.0], [3.5, 2.25]])
    inside = resizing.to_network(points, torch.device("cpu"))
    np.testing.assert_allclose(inside.numpy(), [[0, 0], [36, 16], [10.5, 4.5]])
    np.testing.assert_allclose(resizing.to_clip(inside), points)


def test_values_beyond_grey_levels_are_scaled_as_a_whole():
    usual = np.array([[[3.0, 250.0]]], dtype=np.float32)
    assert as_grey_levels(usual) is usual
    np.testing.assert_allclose(as_grey_levels(usual * 16 - 100)[0, 0], [0, 255], atol=1e-4)
    np.testing.assert_array_equal(as_grey_levels(np.full((1, 2, 2), -7.0, dtype=np.float32)), 0)


def test_tracks_without_a_number_are_neither_visible_nor_confident():
    trajectories = torch.tensor([[[1.0, 2.0]], [[float("nan"), 2.0]], [[3.0, 2.0]]])
    sure = torch.tensor([[0.5], [float("nan")], [0.25]])
    found = ClipResizing((9, 13), (9, 13)).tracks(trajectories, np.array([[1.5, 2.0]]), np.array([0]), sure, sure > 0.4)
    np.testing.assert_array_equal(found.confidence[:, 0], [1.0, 0.0, 0.25])
    np.testing.assert_array_equal(found.visible[:, 0], [True, False, False])
    np.testing.assert_array_equal(found.positions_px[[0, 2], 0], [[1.5, 2.0], [3.0, 2.0]])
