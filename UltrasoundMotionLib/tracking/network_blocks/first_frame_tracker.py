"""Base of whole-clip trackers whose network takes points on the first frame only."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

import torch

from UltrasoundMotionLib.progress import Progress, no_progress


class _HasImageSize(Protocol):
    @property
    def image_size(self) -> tuple[int, int]: ...


class _Network(Protocol):
    @property
    def config(self) -> _HasImageSize: ...


class _Settings(Protocol):
    @property
    def image_size(self) -> tuple[int, int] | None: ...


NetworkType = TypeVar("NetworkType", bound=_Network)
SettingsType = TypeVar("SettingsType", bound=_Settings)


class FirstFrameTracker(Generic[NetworkType, SettingsType]):
    """Holds what such trackers have in common; each adds `frames_at_most`, `frames_that_fit` and `track`.

    Args:
        network: in eval mode.
        settings: of the run; their image size takes the place of the network's.
        device: of the network.
        images_at_once: number of frames that are encoded together.
    """

    def __init__(self, network: NetworkType, settings: SettingsType, device: torch.device, images_at_once: int) -> None:
        self.progress: Progress = no_progress
        self._network, self._settings, self._device = network, settings, device
        self._images_at_once = images_at_once
        self._image_size = settings.image_size or network.config.image_size
