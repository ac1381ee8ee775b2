"""EchoTracker as a whole-clip tracker: frames are resized, encoded a few at a time, and points followed in groups."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.tracking.clip_tracker import ClipTracks
from UltrasoundMotionLib.tracking.network_blocks.clip_resizing import ClipResizing
from UltrasoundMotionLib.tracking.network_blocks.counted_steps import CountedSteps
from UltrasoundMotionLib.tracking.network_blocks.first_frame_tracker import FirstFrameTracker
from UltrasoundMotionLib.tracking.trackers.echotracker.network import EchoTracker
from UltrasoundMotionLib.tracking.trackers.echotracker.settings import EchoTrackerSettings

_POINTS_AT_ONCE = 128
_CLIP_BYTES = 2**31
_BYTES_OF_PIXEL = 96
"""Memory for a pixel of a resized frame: its fine features (64 float32 for 4 pixels) and their pyramid."""


class EchoTrackerTracker(FirstFrameTracker[EchoTracker, EchoTrackerSettings]):
    """Implements `ClipTracker`."""

    frames_at_most = 512

    def frames_that_fit(self, frame_shape: tuple[int, int], point_count: int) -> int:
        """Returns the number of frames (H, W) whose features fit into 2 GB of memory."""
        height, width = self._image_size
        return max(2, _CLIP_BYTES // (height * width * _BYTES_OF_PIXEL + 4 * frame_shape[0] * frame_shape[1]))

    @torch.inference_mode()
    def track(self, frames: np.ndarray, query_points: np.ndarray) -> ClipTracks:
        """Follows points (N, 2) px given on the first of the frames (T, H, W) float32 into all of them."""
        height, width = frames.shape[1:]
        resizing = ClipResizing((height, width), self._image_size)
        points = resizing.to_network(query_points, self._device)
        groups = points.split(_POINTS_AT_ONCE)
        chunks = -(-len(frames) // self._images_at_once)
        step = CountedSteps(self.progress, 2 * chunks + len(groups) * self._settings.iterations)
        step.message = "features"
        images = resizing.images(frames, self._device) / 127.5 - 1
        features = self._network.encode(images, self._images_at_once, step)
        step.message = "refinement"
        found: list[Tensor] = [
            self._network.follow(features, group, self._settings.iterations, step)[-1] for group in groups
        ]
        return resizing.tracks(torch.cat(found, dim=1), query_points)
