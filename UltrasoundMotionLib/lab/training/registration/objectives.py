"""The registration networks that can be trained, by name. Adding one is one line here and a file of its recipes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from UltrasoundMotionLib.errors import InputError

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.training.registration.recipe import Recipe

RECIPES = {
    "semantic": "semantic_recipes",
    "voxelmorph": "voxelmorph_recipes",
    "ltnet": "ltnet_recipes",
    "anatomy": "anatomy_recipes",
}
"""Name on the command line -> module of this folder with `make_recipe(dataset, variant) -> Recipe` and `VARIANTS`,
names -> what they are.
"""

SUMMARIES = {
    "semantic": "two-step registration guided by semantic features (Ha et al.)",
    "anatomy": "class maps of one image, which guide its registration",
    "ltnet": "LT-Net, the labels of one atlas brought to any image",
    "voxelmorph": "VoxelMorph, the plain learned registration, with and without labels",
}
"""What each is, in one line."""


def make_recipe(name: str, dataset: str, variant: str = "default", seed: int = 1) -> Recipe:
    """What to train, with weights drawn from the seed.

    Args:
        name: of `RECIPES`.
        dataset: "hippocampus" or "cardiac".
        variant: one of the network's own.

    Raises:
        InputError: no such network, data set or variant, or not of that data set.
    """
    if name not in RECIPES:
        raise InputError(f"there is no training of {name}; choose one of {', '.join(RECIPES)}")
    import torch

    from UltrasoundMotionLib.lab.training.registration.recipe import DATASETS

    module = import_module(f"UltrasoundMotionLib.lab.training.registration.{RECIPES[name]}")
    if dataset not in DATASETS:
        raise InputError(f"dataset: expected one of {', '.join(DATASETS)}, got {dataset!r}")
    if variant not in module.VARIANTS:
        raise InputError(f"variant: {name} has {', '.join(module.VARIANTS)}, got {variant!r}")
    torch.manual_seed(seed)
    return module.make_recipe(dataset, variant)
