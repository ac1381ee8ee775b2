"""The trained weights that a registration may use, known before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.registration.learned.model_domain import ModelDomain
from UltrasoundMotionLib.registration.registry import find_method
from UltrasoundMotionLib.registration.request import RegisterRequest
from UltrasoundMotionLib.weights import find_card, installed_cards, read_card

_SETTINGS = ("weights", "model", "anatomy")
"""Settings of methods that name weights."""


def possible_weights(request: RegisterRequest, fixed: Volume) -> tuple[Path, ...]:
    """Returns the cards of all installed weights that registering to an image may use.

    The method chooses among its weights when it has resampled the pair. Left out are only those that cannot fit: the
    image has another dimension, coarser voxels or less extent than their domain.

    Raises:
        InputError: an unknown method; weights that are asked for and not installed.
    """
    method = find_method(request.method)
    named = [request.weights, *(_setting(request.settings, name) for name in _SETTINGS)]
    cards = [find_card(one) for one in named if isinstance(one, str | Path)]
    if request.weights is None:
        cards += [path for path in installed_cards() if path.stem in method.weights and _may_fit(fixed, path)]
    return tuple(dict.fromkeys(cards))


def _setting(settings: Any, name: str) -> Any:
    return settings.get(name) if isinstance(settings, dict) else getattr(settings, name, None)


def _may_fit(image: Volume, card_path: Path) -> bool:
    domain = read_card(card_path).configuration.get("domain")
    if not isinstance(domain, dict):
        return True
    limits = ModelDomain.from_card(domain)
    if (image.array.ndim, min(image.array.shape) > 1) != (len(limits.shape), True):
        return False
    spacing = np.sort(image.spacing_mm)  # the axes may come in any order
    extent = np.sort(np.array(image.array.shape[::-1]) * image.spacing_mm)
    coarsest, least = np.sort(limits.coarsest_mm), np.sort(limits.extent_mm[0])
    return bool(np.all(spacing <= coarsest) and np.all(extent >= least))
