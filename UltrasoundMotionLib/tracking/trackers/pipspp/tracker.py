"""PIPs++ as a whole-clip tracker: windows that hand on their last frame and the templates of the query frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.tracking.clip_tracker import ClipTracks
from UltrasoundMotionLib.tracking.network_blocks.clip_resizing import ClipResizing
from UltrasoundMotionLib.tracking.network_blocks.counted_steps import CountedSteps
from UltrasoundMotionLib.tracking.network_blocks.first_frame_tracker import FirstFrameTracker
from UltrasoundMotionLib.tracking.trackers.pipspp.network import PipsPlusPlus, Templates
from UltrasoundMotionLib.tracking.trackers.pipspp.settings import PipsPlusPlusSettings

_POINTS_AT_ONCE = 128
_CLIP_BYTES = 2**30


@dataclass(eq=False)
class _Group:
    """Points that are followed together: trajectories (T, N, 2) found so far, and templates of the window before."""

    trajectories: Tensor
    templates: Templates | None = None


class PipsPlusPlusTracker(FirstFrameTracker[PipsPlusPlus, PipsPlusPlusSettings]):
    """Implements `ClipTracker`; a clip longer than the network's window is seen in windows that share one frame.

    Each window begins on the last frame of the one before, with the positions found there, but still looks for the
    query frame's features; the last one ends with the clip.
    """

    frames_at_most = 4096

    def frames_that_fit(self, frame_shape: tuple[int, int], point_count: int) -> int:
        """Returns the number of frames (H, W) of a clip that fit into 1 GB of memory; features are held by windows."""
        return max(2, _CLIP_BYTES // (4 * frame_shape[0] * frame_shape[1]))

    @torch.inference_mode()
    def track(self, frames: np.ndarray, query_points: np.ndarray) -> ClipTracks:
        """Follows points (N, 2) px given on the first of the frames (T, H, W) float32 into all of them."""
        height, width = frames.shape[1:]
        resizing = ClipResizing((height, width), self._image_size)
        points = resizing.to_network(query_points, self._device)
        groups = [_Group(part.repeat(len(frames), 1, 1)) for part in points.split(_POINTS_AT_ONCE)]
        windows = _windows(len(frames), self._settings.window)
        chunks = sum(-(-len(window) // self._images_at_once) for window in windows)
        step = CountedSteps(self.progress, chunks + len(windows) * len(groups) * self._settings.iterations)
        for window in windows:
            step.message = "features"
            images = resizing.images(frames[window.start : window.stop], self._device) / 127.5 - 1
            features = self._network.encode(images, self._images_at_once, step)
            step.message = "refinement"
            for group in groups:
                self._follow(group, window, features, step)
        return resizing.tracks(torch.cat([group.trajectories for group in groups], dim=1), query_points)

    def _follow(self, group: _Group, window: range, features: list[Tensor], step: CountedSteps) -> None:
        """Refines a group's trajectories in a window; beyond it they stay where they are at its end."""
        inside = slice(window.start, window.stop)
        found, group.templates = self._network.follow(
            features, group.trajectories[inside], self._settings.iterations, group.templates, step
        )
        group.trajectories[inside] = found[-1]
        group.trajectories[window.stop :] = found[-1][-1]


def _windows(frame_count: int, length: int) -> list[range]:
    """Returns windows over frames that share one frame; the last one is moved back to end with the frames."""
    windows = [range(min(length, frame_count))]
    while windows[-1].stop < frame_count:
        stop = min(windows[-1].stop - 1 + length, frame_count)
        windows.append(range(stop - length, stop))
    return windows
