"""Convolution within slices: equal to the 3D convolution it stands for, with gradients that bfloat16 leaves right."""

import pytest
import torch
from torch import nn

from UltrasoundMotionLib.registration.learned.slice_convolution import SliceConvolution, convolution


@pytest.mark.parametrize("stride", [(1, 1, 1), (1, 2, 2)])
def test_it_is_the_3d_convolution_of_one_slice(stride):
    """Values and both gradients are those of `torch.nn.Conv3d`, and so are the names of the weights."""
    torch.manual_seed(0)
    ours = convolution(3, 5, through=False, stride=stride).double()
    theirs = nn.Conv3d(3, 5, (1, 3, 3), stride=stride, padding=(0, 1, 1), bias=False).double()
    theirs.load_state_dict(ours.state_dict())
    values = torch.randn(2, 3, 4, 7, 9, dtype=torch.float64)
    results = []
    for one in (ours, theirs):
        given = values.clone().requires_grad_()
        after = one(given)
        (after**2).sum().backward()
        results.append((after.detach(), given.grad, one.weight.grad))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_its_gradients_in_bfloat16_are_right_for_few_slices():
    """The gradient of the weights agrees with float32 for 5 slices of 64 x 64 voxels.

    `torch.nn.Conv3d`'s was not a number on processors with AMX.
    """
    torch.manual_seed(0)
    layer = SliceConvolution(24, 24, (1, 3, 3), padding=(0, 1, 1), bias=False)
    values = torch.randn(2, 24, 5, 64, 64).bfloat16().float()
    with torch.no_grad():
        layer.weight.copy_(layer.weight.bfloat16())
    gradients = []
    for mixed in (True, False):
        layer.weight.grad = None
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            layer(values).float().sum().backward()
        gradients.append(layer.weight.grad.clone())
    assert (gradients[0] - gradients[1]).norm() < 0.02 * gradients[1].norm()
