"""TAPIR and LocoTrack as whole-clip trackers: frames are resized to the network's square, and tracks back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.clip_tracker import ClipTracks
from UltrasoundMotionLib.tracking.network_blocks.chunk_sizes import frames_at_once
from UltrasoundMotionLib.tracking.network_blocks.clip_resizing import ClipResizing, as_grey_levels
from UltrasoundMotionLib.tracking.network_blocks.counted_steps import CountedSteps
from UltrasoundMotionLib.tracking.network_blocks.track_estimate import TrackEstimate

_CLIP_BYTES = 2**31
_BYTES_OF_TRACK = 8192
"""Memory for a point on a frame while it is refined."""
_WHITE = 255.0


class EstimateTracker:
    """Implements `AnyFrameTracker`.

    The confidence is the probability that the point is seen and its position near; a point is visible where that is
    above one half and the position lies within the frame, as both papers define it.

    Args:
        estimate: follows points (N, 2) of images (T, 1, side, side) from -1 to 1, given on frames (N,), and calls its
            last argument after each step.
        side: of the images.
        bytes_of_pixel: memory for a pixel of an image: its features.
        resolutions: number of resolutions at which features are computed and tracks refined.
        iterations: of the refinement at each resolution.
        device: of the network.
    """

    any_query_frame = True
    frames_at_most = 512

    def __init__(
        self,
        estimate: Callable[[Tensor, Tensor, Tensor, Callable[[], None]], TrackEstimate],
        *,
        side: int,
        bytes_of_pixel: int,
        resolutions: int,
        iterations: int,
        device: torch.device,
    ) -> None:
        self.progress: Progress = no_progress
        self._estimate, self._side, self._device = estimate, side, device
        self._bytes_of_pixel, self._resolutions, self._iterations = bytes_of_pixel, resolutions, iterations

    def frames_that_fit(self, frame_shape: tuple[int, int], point_count: int) -> int:
        """Returns the number of frames (H, W) that 2 GB of memory hold with so many points."""
        height, width = frame_shape
        image = self._side**2 * self._bytes_of_pixel + 4 * height * width
        return max(2, _CLIP_BYTES // (image + _BYTES_OF_TRACK * point_count))

    @torch.inference_mode()
    def track(self, frames: np.ndarray, query_points: np.ndarray, query_frames: np.ndarray) -> ClipTracks:
        """Follows points (N, 2) px, each given on its frame (N,), into all frames (T, H, W) float32.

        On its own frame a point stays where it was given.
        """
        height, width = frames.shape[1:]
        resizing = ClipResizing((height, width), (self._side, self._side))
        images = resizing.images(as_grey_levels(frames), self._device) / (_WHITE / 2) - 1
        on_frames = torch.tensor(np.array(query_frames, dtype=np.int64), device=self._device)
        chunks = self._resolutions * -(-len(frames) // frames_at_once(self._device))
        step = CountedSteps(self.progress, chunks + self._resolutions * self._iterations)
        done = 0

        def on_step() -> None:
            """Counts a step, whose message says what is done."""
            nonlocal done
            done += 1
            step.message = "features" if done <= chunks else "refinement"
            step()

        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            found = self._estimate(images, resizing.to_network(query_points, self._device), on_frames, on_step)
        confidence = found.confidence.t()
        return resizing.tracks(found.points.transpose(0, 1), query_points, query_frames, confidence, confidence > 0.5)
