"""The authors' weights of semantically guided registration: read without executing anything, and computing the same."""

from __future__ import annotations

import os
import pickle
import sys
import types
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.registration.methods.semantic.feature_unet import (
    OFFICIAL_2D,
)
from UltrasoundMotionLib.registration.methods.semantic.official_weights import load_official_unet

OFFICIAL_FILE = "ULTRASOUND_MOTION_OFFICIAL_UNET"
"""Environment variable with the path of the authors' unet.pth."""


def official_shapes() -> dict[str, tuple[int, ...]]:
    """The layout of the published file."""
    channels = {"0": (5, 1), "1": (16, 5), "11": (16, 16), "2": (32, 16), "22": (32, 32), "3": (64, 32), "33": (64, 64)}
    layers = {**channels, "6bU": (32, 96), "6U": (32, 48)}
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (outputs, inputs) in layers.items():
        shapes |= {f"conv{name}.weight": (outputs, inputs, 3, 3), f"conv{name}.bias": (outputs,)}
        shapes |= {f"batch{name}.{entry}": (outputs,) for entry in ("weight", "bias", "running_mean", "running_var")}
    return {**shapes, "conv7U.weight": (8, 32, 3, 3), "conv7U.bias": (8,)}


def reference(tensors: dict[str, Tensor], image: Tensor) -> Tensor:
    """The published network, written from its layout with plain functions of torch in double precision."""
    values = {name: value.double() for name, value in tensors.items()}

    def layer(x: Tensor, name: str, stride: int = 1) -> Tensor:
        x = functional.conv2d(x, values[f"conv{name}.weight"], values[f"conv{name}.bias"], stride, padding=1)
        norm = [values[f"batch{name}.{entry}"] for entry in ("running_mean", "running_var", "weight", "bias")]
        return functional.leaky_relu(functional.batch_norm(x, *norm, eps=1e-5), 0.1)

    half = layer(layer(layer(image.double(), "0"), "1", 2), "11")
    quarter = layer(layer(half, "2", 2), "22")
    x = layer(layer(quarter, "3", 2), "33")
    for skip, name in ((quarter, "6bU"), (half, "6U")):
        x = layer(
            torch.cat([functional.interpolate(x, skip.shape[2:], mode="bilinear", align_corners=False), skip], 1), name
        )
    return functional.conv2d(x, values["conv7U.weight"], values["conv7U.bias"], padding=1)


def random_tensors() -> dict[str, Tensor]:
    torch.manual_seed(7)
    tensors = {name: 0.3 * torch.randn(shape) for name, shape in official_shapes().items()}
    return {name: value.abs() + 0.5 if name.endswith("running_var") else value for name, value in tensors.items()}


def pickled_whole(tensors: dict[str, Tensor], path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves as the authors saved theirs: the network itself, in torch's old format, its class in module `src.nets`."""

    class UNet2D(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, value in tensors.items():
                if name.startswith("conv") and name.endswith("weight"):
                    outputs, inputs = value.shape[:2]
                    kind = name.removeprefix("conv").removesuffix(".weight")
                    setattr(self, f"conv{kind}", nn.Conv2d(inputs, outputs, 3))
                    if kind != "7U":
                        setattr(self, f"batch{kind}", nn.BatchNorm2d(outputs))

    module = types.ModuleType("src.nets")
    UNet2D.__module__, UNet2D.__qualname__, module.UNet2D = "src.nets", "UNet2D", UNet2D
    monkeypatch.setitem(sys.modules, "src", types.ModuleType("src"))
    monkeypatch.setitem(sys.modules, "src.nets", module)
    network = UNet2D()
    network.load_state_dict(tensors, strict=False)
    torch.save(network, path, _use_new_zipfile_serialization=False)
    monkeypatch.delitem(sys.modules, "src.nets")


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("whole", [True, False])
def test_official_weights_give_the_official_output(tmp_path, monkeypatch, whole):
    tensors = random_tensors()
    path = tmp_path / "unet.pth"
    if whole:
        pickled_whole(tensors, path, monkeypatch)
    else:
        torch.save(tensors, path)
    network = load_official_unet(path)
    assert network.config == OFFICIAL_2D and not network.training
    image = torch.rand(2, 1, 40, 36)
    wanted = reference(tensors, image)
    with torch.no_grad():
        assert (network.double()(image.double()) - wanted).abs().max() < 1e-5


def test_the_authors_own_file(shared_data):
    network = load_official_unet(os.environ.get(OFFICIAL_FILE) or shared_data("semantically-guided/unet.pth"))
    tensors = {}
    back = {
        "at_full": "0",
        "at_half.0": "1",
        "at_half.1": "11",
        "at_quarter.0": "2",
        "at_quarter.1": "22",
        "at_eighth.0": "3",
    }
    back |= {"at_eighth.1": "33", "up_quarter": "6bU", "up_half": "6U"}
    for name, value in network.state_dict().items():
        layer, _, entry = name.rpartition(".")
        layer, _, kind = layer.rpartition(".")
        tensors[
            f"conv7U.{entry}" if not layer else f"{'conv' if kind == 'convolution' else 'batch'}{back[layer]}.{entry}"
        ] = value
    image = torch.rand(1, 1, 320, 260)
    wanted = reference(tensors, image)
    with torch.no_grad():
        assert (
            network(image).softmax(1) - wanted.softmax(1)
        ).abs().max() < 1e-5  # scores reach 50, so float32 has them to 1e-4
        assert (network.double()(image.double()) - wanted).abs().max() < 1e-5


def test_a_file_that_names_anything_else_is_refused(tmp_path):
    path = tmp_path / "unet.pth"
    path.write_bytes(pickle.dumps({"unet": os.getcwd}))
    with pytest.raises(InputError, match="no readable weights of the authors' U-Net"):
        load_official_unet(path)
    torch.save({"conv0.weight": torch.zeros(5, 1, 3, 3)}, path)
    with pytest.raises(InputError, match="not the tensors of the authors' U-Net"):
        load_official_unet(path)
    assert asdict(OFFICIAL_2D)["classes"] == 8
