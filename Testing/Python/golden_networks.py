"""Inputs and weights by formula, with which the networks' official code was run once; its outputs are in
`official_networks/NETWORK.json`.

A file has `tensors`, the names and shapes of the official state dict, `outputs`, lists of numbers by name, and the
project's repository and commit. To make one anew: build the official module in float64, load `official_weights`, run
it on `images` and `points`, and write what the test compares.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import torch

_FOLDER = Path(__file__).parent / "official_networks"


def golden(network):
    """Returns the content of a network's file."""
    return json.loads((_FOLDER / f"{network}.json").read_text())


def official_weights(shapes, last=(), dtype=torch.float64):
    """Returns a state dict of official names: normal numbers from a generator that is seeded by the tensor's name.

    Weights are divided by the root of the number of inputs, biases by 10; the tensors named in `last`, those of output
    layers, by 30 once more, so that trajectories move by about a pixel and rounding does not grow.
    """
    tensors = {}
    for name, shape in shapes.items():
        values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
        values /= np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 10
        tensors[name] = torch.tensor(values / 30 if name in last else values, dtype=dtype)
    return tensors


def images(frame_count, height, width, dtype=torch.float64):
    """Returns moving stripes of several directions and lengths, grey levels (T, 1, H, W) in [0, 255]."""
    t, y, x = np.meshgrid(np.arange(frame_count), np.arange(height), np.arange(width), indexing="ij")
    value = np.sin(0.61 * x + 0.23 * y - 0.5 * t) + np.sin(0.17 * x - 0.44 * y + 0.3 * t)
    value += np.sin(1.13 * y + 0.2 * t) * np.cos(0.91 * x) + np.sin(0.05 * x * y / 7)
    return torch.tensor(127.5 + 31.875 * value, dtype=dtype)[:, None]


def points(count, height, width, dtype=torch.float64):
    """Returns points (N, 2) px spread over an image, none on a whole pixel."""
    number = np.arange(1, count + 1)
    share = np.stack([number * 0.618034 % 1, number * 0.7548777 % 1], axis=1)
    return torch.tensor((0.1 + 0.8 * share) * [width - 1, height - 1], dtype=dtype)


def trajectories(outputs, frame_count, point_count):
    """Returns the stored trajectories (K, T, N, 2) of K predictions."""
    return torch.tensor(outputs["trajectories"], dtype=torch.float64).reshape(-1, frame_count, point_count, 2)
