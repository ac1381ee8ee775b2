"""Base of the trackers that look for each landmark in a window around its last position."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.device import one_thread
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks
from UltrasoundMotionLib.tracking.stalled_video import StalledVideo, tracks_of_stall
from UltrasoundMotionLib.tracking.working_scale import WorkingScale


@dataclass(frozen=True)
class WindowMatches:
    """Landmarks found in a frame: points (N, 2) in working pixels, sizes (N,) relative to the query frame, confidence
    (N,) in [0, 1].
    """

    points: Tensor
    sizes: Tensor
    confidence: Tensor


class WindowTracker(ABC):
    """Implements `OnlineTracker` around three steps: `_begin` on the query frame, `_find` in the next, `_learn` where
    they are.

    Positions in `_points` and images are in working pixels (`WorkingScale`); `_sizes` starts at 1.
    """

    def __init__(self, device: torch.device, visible_above: float) -> None:
        self._device = device
        self._visible_above = visible_above

    @torch.inference_mode()
    def start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        """Implements `OnlineTracker.start`."""
        self._scale = WorkingScale.of(frame.shape)
        self._points = self._scale.to_working(
            torch.tensor(np.array(query_points, dtype=np.float32), device=self._device)
        )
        count = len(self._points)
        self._sizes = torch.ones(count, device=self._device)
        self._held = torch.zeros(count, dtype=torch.bool, device=self._device)
        with one_thread():
            self._begin(self._image(frame))
        self._video = StalledVideo(frame)
        self._last = FrameTracks(np.array(query_points, dtype=np.float64), np.ones(count), np.ones(count, dtype=bool))
        return self._last

    def hold(self, which: np.ndarray, positions_px: np.ndarray) -> None:
        """Holds landmarks `which` (N,) bool at `positions_px` (N, 2) in the next update, which learns nothing from
        them: they are out of sight.
        """
        self._held = torch.tensor(np.array(which, dtype=bool), device=self._device)
        placed = self._scale.to_working(torch.tensor(np.array(positions_px, dtype=np.float32), device=self._device))
        self._points = torch.where(self._held[:, None], placed, self._points)

    @torch.inference_mode()
    def update(self, frame: np.ndarray) -> FrameTracks:
        """Implements `OnlineTracker.update`.

        In a black or frozen stretch of video landmarks stay where they are, not visible, and nothing is learnt.

        Raises:
            InputError: the frame has another size than the first.
        """
        if frame.shape != self._scale.shape:
            height, width = self._scale.shape
            raise InputError(
                f"the frame is {frame.shape[1]} x {frame.shape[0]} pixels, the first one was {width} x {height}"
            )
        if (stall := self._video.check(frame)) is not None:
            self._held = torch.zeros_like(self._held)
            return tracks_of_stall(self._last, stall)
        self._video.resume()
        with one_thread():
            self._last = self._update(self._image(frame))
        return self._last

    def _image(self, frame: np.ndarray) -> Tensor:
        return torch.from_numpy(self._scale.image(frame)).to(self._device)

    def _update(self, image: Tensor) -> FrameTracks:
        found, seen = self._find(image), ~self._held
        points = torch.where(seen[:, None], found.points, self._points)
        self._points = torch.minimum(
            points.clamp(min=0), torch.tensor([image.shape[1] - 1.0, image.shape[0] - 1.0], device=self._device)
        )
        self._sizes = torch.where(seen, found.sizes, self._sizes)
        confidence = torch.where(seen, found.confidence, 0.0).clamp(0, 1)
        self._learn(image, confidence, seen)
        self._held = torch.zeros_like(self._held)
        stated = confidence.cpu().numpy().astype(np.float64)
        return FrameTracks(self._scale.to_frame(self._points.cpu().numpy()), stated, stated > self._visible_above)

    @abstractmethod
    def _begin(self, image: Tensor) -> None:
        """Learns the landmarks at `_points` on the query frame."""

    @abstractmethod
    def _find(self, image: Tensor) -> WindowMatches:
        """Looks for the landmarks around `_points`."""

    @abstractmethod
    def _learn(self, image: Tensor, confidence: Tensor, seen: Tensor) -> None:
        """Learns from the frame at `_points`, of the landmarks `seen` (N,) bool only."""
