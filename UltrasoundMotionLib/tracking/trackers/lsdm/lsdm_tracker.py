"""LSDM as a tracker of landmarks: its network finds them anew, a short and a long memory of grey levels place them
exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.matching.long_short_tracker import LongShortTracker
from UltrasoundMotionLib.tracking.matching.lucas_kanade import LucasKanadeConfig, LucasKanadeMatcher
from UltrasoundMotionLib.tracking.matching.settings import (
    AbsoluteSearchSettings,
    ConfidenceSettings,
    ConsensusSettings,
    LongShortSettings,
    SightSettings,
)
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks
from UltrasoundMotionLib.tracking.stalled_video import StalledVideo, tracks_of_stall
from UltrasoundMotionLib.tracking.trackers.lsdm.absolute import LsdmAbsolute, LsdmFindingConfig
from UltrasoundMotionLib.tracking.trackers.lsdm.network import Lsdm
from UltrasoundMotionLib.tracking.trackers.lsdm.search import LsdmResult, LsdmSearch


def _lsdm_memories() -> LongShortSettings:
    """Returns the settings of the fusion of memories and network.

    Landmarks are few and far apart, so there is no consensus of neighbours; the network runs in every other frame while
    all are in sight, which on tuning phantoms costs nothing and halves the time.
    """
    return LongShortSettings(
        consensus=ConsensusSettings(length=0.0),
        sight=SightSettings(visibility=0.27, correlation=0.7),
        confidence=ConfidenceSettings(visible_above=0.3),
        absolute=AbsoluteSearchSettings(every=2),
    )


@dataclass(frozen=True)
class LsdmTrackerConfig:
    """Settings of the tracker `lsdm`.

    Attributes:
        interval: frames from x_{t-dt} to x_t, of those that the network looks at.
        finding: how its response is read.
        memories: the two memories of grey levels, and how all is fused.
    """

    interval: int = 1
    finding: LsdmFindingConfig = field(default_factory=LsdmFindingConfig)
    memories: LongShortSettings = field(default_factory=_lsdm_memories)

    def __post_init__(self) -> None:
        if self.interval < 1:
            raise InputError(f"interval must be at least 1 frame, got {self.interval}")


class LsdmTracker:
    """Implements `OnlineTracker`; keeps two frames' templates, and the network's features of the query frame and the
    last `interval` ones.
    """

    def __init__(self, network: Lsdm, config: LsdmTrackerConfig, device: torch.device) -> None:
        self.config = config
        self._search = LsdmSearch(network, config.interval)
        self._absolute = LsdmAbsolute(self._search, config.finding, device)
        self._memories = LongShortTracker(LucasKanadeMatcher(LucasKanadeConfig()), config.memories, self._absolute)

    def start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        """Implements `OnlineTracker.start`."""
        self._video = StalledVideo(frame)
        self._last = self._memories.start(frame, query_points)
        return self._last

    def hold(self, which: np.ndarray, positions_px: np.ndarray) -> None:
        """Holds landmarks out of sight at given positions in the next update, see `LongShortTracker.place`."""
        self._memories.place(which, positions_px)

    def update(self, frame: np.ndarray) -> FrameTracks:
        """Implements `OnlineTracker.update`.

        In a black or frozen stretch of video landmarks stay where they are, not visible, and nothing is learnt.

        Raises:
            InputError: the frame has another size than the first.
        """
        self._memories.check_size(frame.shape)
        if (stall := self._video.check(frame)) is not None:
            self._memories.release()
            return tracks_of_stall(self._last, stall)
        self._video.resume()
        self._last = self._memories.update(frame)
        return self._last

    @torch.inference_mode()
    def result(self) -> LsdmResult:
        """Returns the motions and positions of the last frame.

        Raises:
            InputError: there has been no update yet.
        """
        self._absolute.catch_up(self._last.positions_px)
        return self._search.result(self._last.positions_px, self._last.confidence)
