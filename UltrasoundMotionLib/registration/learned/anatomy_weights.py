"""The anatomy networks' kind and weights; class maps, and the orientation of images, come from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.settings import from_plain
from UltrasoundMotionLib.weights import NetworkKind

if TYPE_CHECKING:
    from UltrasoundMotionLib.registration.learned.anatomy_network import AnatomyNetwork

ANATOMY_WEIGHTS = ("anatomy-cardiac-phases", "anatomy-hippocampus")


def _build_anatomy(configuration: Mapping[str, Any]) -> AnatomyNetwork:
    """Builds the network of a card's configuration."""
    from UltrasoundMotionLib.registration.learned.anatomy_network import AnatomyConfig, AnatomyNetwork

    return AnatomyNetwork(from_plain(AnatomyConfig, configuration["network"]))


ANATOMY = NetworkKind("AnatomyNetwork", _build_anatomy)
