"""CoTracker3 in windows that slide forwards through a clip of any length, as its online version does."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.clip_tracker import ClipTracks
from UltrasoundMotionLib.tracking.network_blocks.counted_steps import CountedSteps
from UltrasoundMotionLib.tracking.trackers.cotracker3.network import CoTracker3, TrackState
from UltrasoundMotionLib.tracking.trackers.cotracker3.run_setup import RunSetup
from UltrasoundMotionLib.tracking.trackers.cotracker3.settings import CoTracker3Settings

_VISIBLE_ABOVE = 0.6
_STATE_BYTES = 64


class CoTracker3OnlineTracker:
    """Implements `ClipTracker`, with points on the first frame.

    Windows overlap by half. Each begins with what the one before found where they overlap, and looks for what was
    around the point on the first frame. Only the features of one window are held.

    A point is visible where the product of the network's visibility and confidence, which is its confidence here, is
    above 0.6, as in the official predictor.

    Args:
        network: CoTracker3 in eval mode.
        settings: of the run.
        device: of the network.
    """

    frames_at_most = 100_000

    def __init__(self, network: CoTracker3, settings: CoTracker3Settings, device: torch.device) -> None:
        self.progress: Progress = no_progress
        self._network, self._settings, self._device = network, settings, device

    def frames_that_fit(self, frame_shape: tuple[int, int], point_count: int) -> int:
        """Returns the number of frames (H, W) that fit into the settings' memory with their tracks."""
        tracks = point_count + self._settings.support_grid**2
        frame = 8 * frame_shape[0] * frame_shape[1] + _STATE_BYTES * tracks
        return max(2, int(self._settings.memory_mb * 1e6 / frame))

    @torch.inference_mode()
    def track(self, frames: np.ndarray, query_points: np.ndarray) -> ClipTracks:
        """Follows points (N, 2) px given on the first of the frames (T, H, W) float32 into all of them."""
        settings, network = self._settings, self._network
        setup = RunSetup.of(network, frames, query_points, settings.support_grid, self._device)
        count, length = len(frames), network.config.window_frames
        half = length // 2
        starts = range(0, max(1, count - half), half)
        step = CountedSteps(self.progress, count + len(starts) * settings.iterations)
        maps = network.empty_pyramid(length, network.config.input_size, setup.points)
        whole = TrackState.begin(setup.points, starts[-1] + length)
        found = TrackState(*(one.clone() for one in (whole.positions, whole.visibility, whole.confidence)))
        templates: list[Tensor] = []
        for start in starts:
            step.message = "features"
            kept = 0
            if start:
                kept = length - half
                for held in maps:
                    held[:kept] = held[half:].clone()
            for place in range(kept, length):
                self._encode(maps, place, setup, start + place, step)
            if not templates:
                nothing = torch.zeros(len(setup.points), dtype=torch.long, device=self._device)
                templates = network.templates(maps, setup.points, nothing)
            step.message = "refinement"
            window = slice(start, start + length)
            state = network.refine(maps, templates, _state_of(found, window, kept), settings.iterations, step)
            found.positions[:, window] = state.positions
            found.visibility[:, window] = state.visibility
            found.confidence[:, window] = state.confidence
        found = TrackState(found.positions[:, :count], found.visibility[:, :count], found.confidence[:, :count])
        sure = found.visibility.sigmoid() * found.confidence.sigmoid()
        return setup.tracks(found, np.zeros(len(query_points), dtype=int), sure > _VISIBLE_ABOVE)

    def _encode(self, maps: list[Tensor], place: int, setup: RunSetup, frame: int, step: CountedSteps) -> None:
        """Puts the features of a frame into the maps; beyond the last frame those of the last are repeated."""
        if frame >= len(setup.frames):
            for held in maps:
                held[place] = held[place - 1]
            return
        network = self._network
        for held, found in zip(maps, network.pyramid(network.encode(setup.images(frame, frame + 1))), strict=True):
            held[place] = found[0]
        step()


def _state_of(found: TrackState, window: slice, kept: int) -> TrackState:
    """Returns the tracks of a window to begin with: beyond the first `kept` frames, those of the last of these."""

    def begin(values: Tensor) -> Tensor:
        inside = values[:, window]
        if not kept:
            return inside
        return torch.cat([inside[:, :kept], inside[:, kept - 1 : kept].expand_as(inside[:, kept:])], dim=1)

    return TrackState(begin(found.positions), begin(found.visibility), begin(found.confidence))
