"""CoTracker3 over whole clips: all frames together, points on any of them."""

from __future__ import annotations

import numpy as np
import torch

from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.clip_tracker import ClipTracks
from UltrasoundMotionLib.tracking.network_blocks.chunk_sizes import frames_at_once
from UltrasoundMotionLib.tracking.network_blocks.counted_steps import CountedSteps
from UltrasoundMotionLib.tracking.trackers.cotracker3.network import CoTracker3, TrackState
from UltrasoundMotionLib.tracking.trackers.cotracker3.run_setup import RunSetup
from UltrasoundMotionLib.tracking.trackers.cotracker3.settings import CoTracker3Settings

_VISIBLE_ABOVE = 0.9
_TOKEN_COPIES = 8
_FIXED_BYTES = 150e6


class CoTracker3Tracker:
    """Implements `AnyFrameTracker`.

    A point is visible where the network's visibility is above 0.9, as in the official predictor; its confidence is the
    product of the network's visibility and confidence.

    Args:
        network: CoTracker3 in eval mode.
        settings: of the run.
        device: of the network.
    """

    any_query_frame = True
    frames_at_most = 1024

    def __init__(self, network: CoTracker3, settings: CoTracker3Settings, device: torch.device) -> None:
        self.progress: Progress = no_progress
        self._network, self._settings, self._device = network, settings, device

    def frames_that_fit(self, frame_shape: tuple[int, int], point_count: int) -> int:
        """Returns the number of frames (H, W) whose features and tokens fit into the settings' memory."""
        config = self._network.config
        height, width = config.input_size
        features = height * width / 16 * config.features * 4 / 3
        tracks = point_count + self._settings.support_grid**2 + config.virtual_tracks
        frame = 4 * (features + tracks * config.channels * _TOKEN_COPIES + 2 * frame_shape[0] * frame_shape[1])
        return max(2, int((self._settings.memory_mb * 1e6 - _FIXED_BYTES) / frame))

    @torch.inference_mode()
    def track(self, frames: np.ndarray, query_points: np.ndarray, query_frames: np.ndarray) -> ClipTracks:
        """Follows points (N, 2) px, each given on its frame (N,), into all frames (T, H, W) float32.

        Support points are given on the frame of the first point.
        """
        settings, network = self._settings, self._network
        setup = RunSetup.of(network, frames, query_points, settings.support_grid, self._device)
        count, at_once = len(frames), frames_at_once(self._device)
        step = CountedSteps(self.progress, -(-count // at_once) + settings.iterations)
        step.message = "features"
        maps = network.empty_pyramid(count, network.config.input_size, setup.points)
        for first in range(0, count, at_once):
            last = min(first + at_once, count)
            for held, found in zip(maps, network.pyramid(network.encode(setup.images(first, last))), strict=True):
                held[first:last] = found
            step()
        given_on = torch.full((len(setup.points),), int(query_frames[0]), device=self._device)
        given_on[: len(query_frames)] = torch.as_tensor(query_frames, device=self._device)
        templates = network.templates(maps, setup.points, given_on)
        step.message = "refinement"
        state = TrackState.begin(setup.points, count)
        state = network.refine(maps, templates, state, settings.iterations, step)
        return setup.tracks(state, query_frames, state.visibility.sigmoid() > _VISIBLE_ABOVE)
