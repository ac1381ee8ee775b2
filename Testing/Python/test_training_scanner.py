"""The scanner on tensors makes the frames that the one in numpy makes."""

import numpy as np
import torch

from UltrasoundMotionLib.simulation import Imaging
from UltrasoundMotionLib.simulation.liver import CURVED_PROBE
from UltrasoundMotionLib.simulation.scanner import Scanner
from UltrasoundMotionLib.simulation.scatterers import scatter_positions
from UltrasoundMotionLib.simulation.torch_scanner import TorchScanner


def test_tensors_give_the_same_frame() -> None:
    for imaging in (Imaging(image_size=(160, 160), looks=2), CURVED_PROBE):
        scanner, rng = Scanner(imaging), np.random.default_rng(0)
        places, amplitudes = scatter_positions(imaging, scanner, 8.0, rng)
        amplitudes = amplitudes * np.exp(2j * np.pi * rng.random(len(amplitudes))) * rng.random(len(amplitudes)) ** 2
        expected = scanner.display(scanner.decibels([scanner.receive(look) for look in scanner.focus(scanner.place(places, amplitudes))]))
        tensors = TorchScanner(scanner)
        field = tensors.place(torch.as_tensor(places), torch.as_tensor(amplitudes))
        frame = tensors.display(tensors.decibels([tensors.receive(look) for look in tensors.focus(field)])).numpy()
        difference = np.abs(frame.round() - expected)
        assert difference.max() <= 1  # grey levels; float32 sums are in another order
        assert np.mean(difference > 0) < 1e-3
        assert expected.max() > 100
