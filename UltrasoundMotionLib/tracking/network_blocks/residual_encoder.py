"""The residual network that computes the feature maps of PIPs, PIPs++, EchoTracker and CoTracker."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with instance normalisation, added to their input; an input of another size is brought to
    theirs by a 1 x 1 convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride) if stride != 1 else None

    def forward(self, values: Tensor) -> Tensor:
        """Maps (B, C, H, W) to (B, C', H / stride, W / stride)."""
        change = F.relu(F.instance_norm(self.first(values)))
        change = F.relu(F.instance_norm(self.second(change)))
        if self.shortcut is not None:
            values = F.instance_norm(self.shortcut(values))
        return F.relu(values + change)


class ResidualEncoder(nn.Module):
    """Feature maps at a fraction of the image's resolution, joined from four stages of residual blocks.

    Args:
        in_channels: of the images.
        widths: channels of the four stages; the first convolution has those of the first stage. Each stage but the
            first halves the resolution, which the first convolution has halved already.
        out_channels: of the feature maps.
        stride: side of the square of image pixels that a pixel of the feature maps stands for.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.stem = nn.Conv2d(in_channels, widths[0], 7, stride=2, padding=3)
        before = [widths[0], *widths[:-1]]
        self.stages = nn.ModuleList(
            nn.Sequential(ResidualBlock(wide_in, wide, 1 if number == 0 else 2), ResidualBlock(wide, wide))
            for number, (wide_in, wide) in enumerate(zip(before, widths, strict=True))
        )
        self.join = nn.Conv2d(sum(widths), 2 * out_channels, 3, padding=1)
        self.last = nn.Conv2d(2 * out_channels, out_channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Maps images (B, C, H, W) to features (B, F, H // stride, W // stride)."""
        shape = images.shape[-2] // self.stride, images.shape[-1] // self.stride
        values = F.relu(F.instance_norm(self.stem(images)))
        joined = []
        for stage in self.stages:
            values = stage(values)
            joined.append(F.interpolate(values, shape, mode="bilinear", align_corners=True))
        return self.last(F.relu(F.instance_norm(self.join(torch.cat(joined, dim=1)))))


def encode_in_chunks(
    encoder: nn.Module, images: Tensor, images_at_once: int, after_chunk: Callable[[], None] = lambda: None
) -> Tensor:
    """Returns the features of images (B, C, H, W), a few at a time, so that only the features of all are in memory at
    once; channels last in memory. `after_chunk` is called after each few; it may raise to stop.
    """
    chunks = (images[first : first + images_at_once] for first in range(0, len(images), images_at_once))
    found: Tensor | None = None
    for number, chunk in enumerate(chunks):
        features = encoder(chunk)
        after_chunk()
        if found is None:
            if len(images) <= images_at_once:
                return features.contiguous(memory_format=torch.channels_last)
            shape = (len(images), *features.shape[1:])
            found = torch.empty(shape, dtype=features.dtype, device=features.device, memory_format=torch.channels_last)
        found[number * images_at_once : number * images_at_once + len(chunk)] = features
    if found is None:
        raise ValueError("no images to encode")
    return found


def convert_encoder_names(official: str, ours: str) -> dict[str, str]:
    """Returns rules for `weights.official_checkpoint.renamed` from the names of the official encoders to ours.

    Args:
        official: the encoder's name in the official network, "fnet".
        ours: its name in our network, "encoder".
    """
    parameter = r"(weight|bias)"
    stages = {
        rf"{official}\.layer{stage + 1}\.([01])\.{theirs}\.{parameter}": rf"{ours}.stages.{stage}.\1.{name}.\2"
        for stage in range(4)
        for theirs, name in (("conv1", "first"), ("conv2", "second"), (r"downsample\.0", "shortcut"))
    }
    return {
        rf"{official}\.conv1\.{parameter}": rf"{ours}.stem.\1",
        **stages,
        rf"{official}\.conv2\.{parameter}": rf"{ours}.join.\1",
        rf"{official}\.conv3\.{parameter}": rf"{ours}.last.\1",
    }
