"""The Siamese landmark trackers: their algebra against brute force, and what they do with untrained networks, in which
like answers to like.
"""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from scipy import ndimage

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.registry import find_tracker
from UltrasoundMotionLib.tracking.trackers.siamese.crops import standardised
from UltrasoundMotionLib.tracking.trackers.siamese.network import EmbeddingConfig, correlate
from UltrasoundMotionLib.tracking.trackers.siamese.peak import map_peaks, upsampled
from UltrasoundMotionLib.tracking.trackers.siamese.siamfc import PUBLISHED, SiamFcConfig, SiamFcTracker
from UltrasoundMotionLib.tracking.trackers.siamese.siamfc_network import SiamFcNetwork, SiamFcNetworkConfig
from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn import SiamRpnConfig, SiamRpnTracker
from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn_network import (
    SiamRpnNetwork,
    SiamRpnNetworkConfig,
    corrected,
    corrections,
    overlap,
)
from UltrasoundMotionLib.weights import ModelCard, save_weights

CPU = torch.device("cpu")
SMALL = EmbeddingConfig((8, 16, 16, 16, 16))


def speckle(size=160, seed=0, grain=2.5):
    """A texture of grey levels around 100."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((size, size)), grain, mode="wrap")
    return (100 + 40 * noise / noise.std()).astype(np.float32)


def moved(texture, shift):
    """The texture moved by (x, y) pixels, wrapped around."""
    return np.fft.ifft2(ndimage.fourier_shift(np.fft.fft2(texture), shift[::-1])).real.astype(np.float32)


@torch.no_grad()
def centred(network):
    """The network in use, its features without their mean: random ones respond most to their own place."""
    network.eval()
    texture = torch.tensor(speckle(255, seed=9))[None, None]
    network.embedding[-1].bias -= network.embedding((texture - texture.mean()) / texture.std()).mean(dim=(0, 2, 3))
    return network


def siamfc(**settings):
    torch.manual_seed(3)
    return SiamFcTracker(centred(SiamFcNetwork(SiamFcNetworkConfig(SMALL))), SiamFcConfig(**settings), CPU)


@torch.no_grad()
def siamrpn(**settings):
    torch.manual_seed(3)
    network = centred(SiamRpnNetwork(SiamRpnNetworkConfig(SMALL, head_channels=8, anchor_ratios=(1.0,))))
    network.adjust_score.weight *= 300.0  # as sure of itself as a trained one
    network.adjust_box.weight *= 0.0  # untrained corrections mean nothing
    network.adjust_box.bias *= 0.0
    return SiamRpnTracker(network, SiamRpnConfig(**settings), CPU)


def siamrpn_by_score(**settings):
    return siamrpn(upsampling=8, **settings)


TRACKERS = pytest.mark.parametrize("create", [siamfc, siamrpn, siamrpn_by_score])


def test_correlation_is_that_of_each_sample_with_its_own_kernels():
    generator = torch.Generator().manual_seed(1)
    kernels, features = torch.randn(2, 3, 4, 2, 2, generator=generator), torch.randn(2, 4, 5, 4, generator=generator)
    answer = correlate(kernels, features)
    assert answer.shape == (2, 3, 4, 3)
    for sample, kernel, row, column in np.ndindex(2, 3, 4, 3):
        product = (
            kernels[sample, kernel] * features[sample, :, row : row + 2, column : column + 2]
        ).sum() / 4  # sqrt(4 * 2 * 2)
        torch.testing.assert_close(answer[sample, kernel, row, column], product)


def test_a_shift_of_the_window_by_one_stride_shifts_the_answer_by_one_cell():
    torch.manual_seed(0)
    network = SiamFcNetwork(SiamFcNetworkConfig(SMALL)).eval()
    wide = torch.tensor(speckle(280, seed=4))[None, None] / 200
    kernels = network.kernels(wide[:, :, 60:187, 60:187])
    assert kernels.shape == (1, 1, 16, 6, 6)
    windows = torch.cat([wide[:, :, :255, :255], wide[:, :, 8:263, 16:271]])
    windows = windows - windows.mean()  # standardised alike below
    scores = correlate(kernels.expand(2, -1, -1, -1, -1), network.embedding(windows))[:, 0]
    assert scores.shape == (2, 17, 17)
    torch.testing.assert_close(scores[1, :-1, :-2], scores[0, 1:, 2:], rtol=1e-3, atol=1e-4)


def test_peaks_lie_between_cells_and_upsampling_keeps_the_cells():
    y, x = torch.meshgrid(torch.arange(9.0), torch.arange(11.0), indexing="ij")
    maps = torch.stack([5 - (x - 6.3) ** 2 - 2 * (y - 2.8) ** 2, -(x**2) - (y - 8) ** 2])
    peaks = map_peaks(maps)
    torch.testing.assert_close(peaks.places, torch.tensor([[6.3, 2.8], [0.0, 8.0]]))
    assert peaks.cells.tolist() == [3 * 11 + 6, 8 * 11]
    finer = upsampled(maps, 4)
    assert finer.shape == (2, 33, 41)
    torch.testing.assert_close(finer[:, ::4, ::4], maps, atol=1e-4, rtol=1e-4)


def test_boxes_come_back_from_their_corrections_and_overlap_as_squares_do():
    network = SiamRpnNetwork(SiamRpnNetworkConfig(SMALL, 8, (0.5, 1.0, 2.0)))
    anchors = network.anchors(CPU)
    assert anchors.shape == (3, 4, 17, 17)
    assert anchors[1, :, 8, 9].tolist() == [8.0, 0.0, 64.0, 64.0]
    torch.testing.assert_close(anchors[:, 3, 0, 0] / anchors[:, 2, 0, 0], torch.tensor([0.5, 1.0, 2.0]))
    truth = torch.tensor([[10.0, -5.0, 60.0, 70.0], [0.0, 32.0, 64.0, 64.0]])
    again = corrected(anchors, corrections(anchors, truth))
    torch.testing.assert_close(again, truth[:, None, :, None, None].expand_as(again), atol=1e-4, rtol=1e-4)
    shared = overlap(anchors, truth)
    assert abs(float(shared[1, 1, 8, 8]) - 1 / 3) < 1e-6  # squares half a side apart: (1/2) / (3/2)
    assert float(shared[1, 1, 12, 8]) == pytest.approx(1.0)


def test_siamrpn_begins_as_a_siamese_network():
    torch.manual_seed(5)
    network = centred(SiamRpnNetwork(SiamRpnNetworkConfig(SMALL, 8)))
    texture = torch.tensor(speckle(255, seed=6))[None, None] / 200
    with torch.no_grad():
        target = network(texture[:, :, 64:191, 64:191], texture).logits[0, 0, 1]
    assert divmod(int(target.argmax()), 17) == (8, 8)


@TRACKERS
def test_follows_a_known_motion_several_as_one_by_one(create):
    texture, points = speckle(256), np.array([[90.0, 110.0], [150.25, 160.5], [130.0, 90.0]])
    together, alone = create(window_influence=0.05), create(window_influence=0.05)
    together.start(texture, points)
    alone.start(texture, points[:1])
    for frame in range(1, 9):
        shift = np.array([9 * np.sin(frame / 4), 4 * np.sin(frame / 5)])
        image = moved(texture, shift)
        found, one = together.update(image), alone.update(image)
        np.testing.assert_allclose(found.positions_px[:1], one.positions_px, atol=1e-3)
        # Cells are 3 px apart; what lies between them is read off the answer of an untrained network. SiamRPN takes
        # whole cells, and the next one where another processor rounds otherwise (2.96 px were seen).
        limit_px = 4.5 if create is siamrpn else 2.0
        assert np.linalg.norm(found.positions_px - points - shift, axis=1).max() < limit_px
        assert (found.confidence >= 0).all() and (found.confidence <= 1).all()


class Template:
    """In place of the network: how the exemplar's own samples correlate with the search window's."""

    def kernels(self, exemplars):
        return standardised(exemplars)[:, None]

    def scores(self, kernels, windows):
        pairs = zip(standardised(windows), kernels, strict=True)
        return torch.cat(
            [torch.nn.functional.conv2d(window[None], kernel, stride=8)[:, 0] / 127**2 for window, kernel in pairs]
        )


def test_the_size_follows_a_larger_image_and_stays():
    texture, points = speckle(256, grain=4.0), np.array([[128.0, 128.0]])
    tracker = SiamFcTracker(
        Template(), SiamFcConfig(sizes=(1 / 1.4, 1.0, 1.4), size_damping=1.0, size_penalty=0.99), CPU
    )
    tracker.start(texture, points)
    grown = ndimage.affine_transform(texture, np.eye(2) / 1.4, offset=128 - 128 / 1.4, order=1, mode="nearest")
    for shift in (0.0, 1.0):
        found = tracker.update(moved(grown, np.array([shift, 0.0])))
        assert float(tracker._sizes[0]) == pytest.approx(1.4)
        assert np.linalg.norm(found.positions_px - points - [shift, 0]) < 2.2


def test_the_exemplar_of_the_query_frame_stays_unless_recent_ones_are_asked_for():
    texture, other = speckle(256, seed=1), speckle(256, seed=2)
    published, adaptive = siamfc(), siamfc(recent_share=0.5, recent_rate=1.0, learn_above=0.0)
    for tracker, learns in ((published, False), (adaptive, True)):
        tracker.start(texture, np.array([[128.0, 128.0]]))
        before = tracker._kernels[0].clone()
        tracker.update(other)
        assert torch.equal(before, tracker._kernels[0]) != learns
        before = tracker._kernels[0].clone()
        tracker.hold(np.array([True]), np.array([[100.0, 100.0]]))
        tracker.update(texture)
        assert torch.equal(before, tracker._kernels[0])  # nothing is learnt of a landmark that is held


@TRACKERS
def test_black_and_frozen_video_is_held_flagged_and_recovered_from(create):
    texture, points = speckle(256), np.array([[100.0, 110.0]])
    tracker = create(visible_above=-1.0, window_influence=0.05)  # untrained confidence means nothing
    tracker.start(texture, points)
    seen = tracker.update(moved(texture, np.array([3.0, 0.0])))
    assert seen.visible.all()
    for frame in range(3):
        black = tracker.update(np.full_like(texture, frame))
        assert not black.visible.any() and not black.confidence.any()
        np.testing.assert_array_equal(black.positions_px, seen.positions_px)
    again = tracker.update(moved(texture, np.array([6.0, 0.0])))
    assert again.visible.all() and np.linalg.norm(again.positions_px - points - [6, 0]) < 2.2
    repeated, frozen = (tracker.update(moved(texture, np.array([6.0, 0.0]))) for _ in range(2))
    assert repeated.visible.all() and not frozen.visible.any()
    np.testing.assert_array_equal(frozen.positions_px, again.positions_px)


@TRACKERS
def test_landmarks_at_the_border_and_frames_of_another_size(create):
    texture = speckle(200)
    points = np.array([[0.0, 0.0], [199.0, 199.0], [100.0, 0.0]])
    tracker = create()
    tracker.start(texture, points)
    found = tracker.update(np.roll(texture, -4, axis=1))
    assert (
        np.isfinite(found.positions_px).all() and (found.positions_px >= 0).all() and (found.positions_px <= 199).all()
    )
    with pytest.raises(InputError, match="the frame is 190 x 200 pixels, the first one was 200 x 200"):
        tracker.update(texture[:, :190])


def test_weights_come_back_by_their_card(tmp_path):
    torch.manual_seed(3)
    network = SiamFcNetwork(SiamFcNetworkConfig(SMALL)).eval()
    words = {"task": "t", "command": "c", "commit": "", "measured_with": "m", "limits": "l"}
    card = ModelCard(
        "siamfc", "SiamFcNetwork", {"network": asdict(network.config)}, trained_on=(), seed=1, measured={}, **words
    )
    save_weights(tmp_path, network.state_dict(), card)
    loaded, direct = (
        find_tracker("siamfc").make(weights=tmp_path / "siamfc.json"),
        SiamFcTracker(network, PUBLISHED, CPU),
    )
    texture, points = speckle(256), np.array([[120.0, 130.0]])
    for tracker in (loaded, direct):
        tracker.start(texture, points)
    shifted = moved(texture, np.array([2.0, 1.0]))
    np.testing.assert_array_equal(loaded.update(shifted).positions_px, direct.update(shifted).positions_px)
    save_weights(
        tmp_path, network.state_dict(), ModelCard("other", "SpeckNet", {}, trained_on=(), seed=1, measured={}, **words)
    )
    with pytest.raises(InputError, match="are of SpeckNet, not SiamFcNetwork"):
        find_tracker("siamfc").make(weights=tmp_path / "other.json")


def test_settings_outside_their_range_are_named():
    with pytest.raises(InputError, match="recent_share must lie between 0 and 1, got 2"):
        SiamFcConfig(recent_share=2)
