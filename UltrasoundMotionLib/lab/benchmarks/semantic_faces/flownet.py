"""FlowNet 2.0 (Ilg et al., CVPR 2017) through PTLFlow, the implementation that is kept up: an optional package.

Its weights, trained on FlyingThings, are downloaded by PTLFlow and are for research only.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from UltrasoundMotionLib.fields import resample_displacement, warp
from UltrasoundMotionLib.lab.benchmarks.peers import import_package

MODEL, CHECKPOINT = "flownet2", "things"


def load_flownet(device: str = "cpu") -> Callable[[Tensor, Tensor], Tensor]:
    """Loads the network.

    Returns:
        A function of two grey images (1, 1, H, W) in [0, 1], which gives the displacement (1, 2, H, W) in pixels:
        fixed(p) = moving(p + u(p)).

    Raises:
        MissingPackageError: PTLFlow is not installed.
    """
    model = import_package("ptlflow", "FlowNet", "flownet").get_model(MODEL, ckpt_path=CHECKPOINT).to(device).eval()

    @torch.no_grad()
    def flow(fixed: Tensor, moving: Tensor) -> Tensor:
        images = torch.stack([fixed[0].repeat(3, 1, 1), moving[0].repeat(3, 1, 1)])[None]
        return model({"images": images.float()})["flows"][:, 0].float()

    return flow


def flow_after_affine(
    flow: Callable[[Tensor, Tensor], Tensor], fixed: Tensor, moving: Tensor, matrix: Tensor, *, reduction: int = 2
) -> Tensor:
    """Returns the displacement (1, 2, H, W) of a flow between smaller images that an affine map aligned before.

    Args:
        matrix: (2, 3), x -> A x + t from pixels of the fixed image to those of the moving one.
        reduction: the images' sizes are divided by it.
    """
    height, width = fixed.shape[2:]
    lines = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    points = torch.stack(lines[::-1]).to(fixed.device)

    def mapped(places: Tensor) -> Tensor:
        return torch.tensordot(matrix[:, :2], places, 1) + matrix[:, 2].view(2, 1, 1)

    matrix = matrix.to(fixed)
    aligned = warp(moving, (mapped(points) - points)[None])
    small = (height // reduction, width // reduction)
    images = [functional.interpolate(one, small, mode="area") for one in (fixed, aligned)]
    found = resample_displacement(flow(*images), (height, width))
    return (mapped(points + found[0]) - points)[None]
