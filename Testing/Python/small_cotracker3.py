"""Checkpoints of CoTracker3 with weights by formula, and small ones as imported weights."""

from functools import lru_cache

import pytest
import torch

import golden_networks
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.tracking.trackers.cotracker3.network import time_table

VERSIONS = {"cotracker3": "offline", "cotracker3-online": "online"}
SMALL = {64: 8, 96: 8, 128: 8, 256: 16, 416: 32, 384: 32, 768: 64, 1536: 128, 1110: 150}
"""Channels of the network for tests of what surrounds it."""


@lru_cache(maxsize=4)
def official_tensors(name, dtype=torch.float32, small=False):
    """The golden file's state dict, which has few virtual tracks and short windows; or one of few channels."""
    stored = golden_networks.golden(name)
    shapes, inputs = stored["tensors"], 1110
    if small:
        shapes = {key: [SMALL.get(size, size) for size in shape] for key, shape in shapes.items()}
        inputs = SMALL[inputs]
    tensors = golden_networks.official_weights(shapes, stored["output_layers"], dtype)
    return tensors | {"time_emb": time_table(stored["window_len"], inputs)[None]}


def import_small_cotracker3(folder):
    """Imports small checkpoints of both versions, for images of 64 x 96 pixels; returns the folder of models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ULTRASOUND_MOTION_MODELS", str(folder / "models"))
        for name in VERSIONS:
            torch.save(official_tensors(name, small=True), folder / f"{name}.pth")
            assert main(["models", "import", str(folder / f"{name}.pth"), "--as", name]) == 0
            card = folder / "models" / f"{name}.json"
            card.write_text(card.read_text().replace('"configuration": {', '"configuration": {"input_size": [64, 96],'))
    return folder / "models"
