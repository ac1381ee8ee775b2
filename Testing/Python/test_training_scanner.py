"""The scanner on tensors makes the frames that the one in numpy makes, and clips made with it move as they say."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from UltrasoundMotionLib.lab.training.data import speckle_clips
from UltrasoundMotionLib.simulation import Degradation, Imaging
from UltrasoundMotionLib.simulation.liver import CURVED_PROBE
from UltrasoundMotionLib.simulation.scanner import Scanner
from UltrasoundMotionLib.simulation.scatterers import scatter_positions
from UltrasoundMotionLib.simulation.torch_scanner import TorchScanner


def test_tensors_give_the_same_frame() -> None:
    for imaging in (Imaging(image_size=(160, 160), looks=2), CURVED_PROBE):
        scanner, rng = Scanner(imaging), np.random.default_rng(0)
        places, amplitudes = scatter_positions(imaging, scanner, 8.0, rng)
        amplitudes = amplitudes * np.exp(2j * np.pi * rng.random(len(amplitudes))) * rng.random(len(amplitudes)) ** 2
        expected = scanner.display(
            scanner.decibels([scanner.receive(look) for look in scanner.focus(scanner.place(places, amplitudes))])
        )
        tensors = TorchScanner(scanner)
        field = tensors.place(torch.as_tensor(places), torch.as_tensor(amplitudes))
        frame = tensors.display(tensors.decibels([tensors.receive(look) for look in tensors.focus(field)])).numpy()
        difference = np.abs(frame.round() - expected)
        assert difference.max() <= 1  # grey levels; float32 sums are in another order
        assert np.mean(difference > 0) < 1e-3
        assert expected.max() > 100


@pytest.mark.parametrize("seed", [1, 5])
@pytest.mark.slow
def test_speckle_made_on_the_device_goes_where_its_truth_says(seed: int) -> None:
    """Without decorrelation and noise, the patch around a point looks much more like that around its truth than like
    that around its old place.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speckle_clips, "draw_degradation", lambda rng: Degradation(0.0, 0.5, 0.0, 0.0, noise_db=-60))
        frames, points, visible = speckle_clips.speckle_clip(
            3, 150, np.random.default_rng(seed), torch.Generator().manual_seed(1), torch.device("cpu")
        )
    moved = (points[2] - points[0]).norm(dim=1)
    chosen = visible.all(0) & (moved > 4) & (moved < 40) & ((points > 16) & (points < 240)).all(-1).all(0)
    assert chosen.sum() >= 20
    start, at_truth, where_it_was = (
        _patches(frames[frame], place[chosen]) for frame, place in ((0, points[0]), (2, points[2]), (2, points[0]))
    )
    assert _correlation(start, at_truth).median() > 0.6
    assert _correlation(start, where_it_was).median() < 0.3


def _patches(frame: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """(N, 15 * 15) around (N, 2) points of (1, H, W)."""
    y, x = torch.meshgrid(torch.arange(-7, 8), torch.arange(-7, 8), indexing="ij")
    places = points[:, None] + torch.stack([x, y], dim=-1).view(1, -1, 2)
    return F.grid_sample(frame[None], (2 * places[None] + 1) / frame.shape[1] - 1, align_corners=False)[0, 0]


def _correlation(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    first, second = (values - values.mean(1, keepdim=True) for values in (first, second))
    return (first * second).sum(1) / (first.norm(dim=1) * second.norm(dim=1)).clamp(min=1e-6)
