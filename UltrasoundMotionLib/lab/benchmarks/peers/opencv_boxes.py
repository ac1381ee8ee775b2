"""OpenCV's trackers of boxes (CSRT, KCF, NanoTrack) as trackers of points: one box for each point."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.benchmarks.peers import peer
from UltrasoundMotionLib.lab.benchmarks.peers.opencv import all_found, import_opencv, to_8_bits
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks

CSRT_BOX_PX = 21
KCF_BOX_PX = 33
NANO_BOX_PX = 21
NANO_FILES = ("nanotrack_backbone_sim.onnx", "nanotrack_head_sim.onnx")
NANO_FOLDER = "ULTRASOUND_MOTION_NANOTRACK"
"""The environment variable that names the folder of NanoTrack's two files; no package brings them."""


class _BoxPerPoint(ABC):
    """One box tracker of OpenCV for each point, in a square box around it; the box's centre is the point.

    OpenCV reports boxes in whole pixels.
    """

    def __init__(self, box_px: int) -> None:
        self._cv2 = import_opencv()
        self._box_px = box_px

    @abstractmethod
    def _create(self) -> Any:
        """A fresh tracker of one box."""

    def start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        """Takes the query frame (H, W) and the points (N, 2) on it."""
        image = self._cv2.cvtColor(to_8_bits(frame), self._cv2.COLOR_GRAY2BGR)
        self._positions = np.array(query_points, dtype=np.float64)
        # A box starts on whole pixels and inside of the image; what that took from its centre is given back to the
        # result.
        height, width = frame.shape
        corners = np.rint(self._positions - (self._box_px - 1) / 2).astype(int)
        corners = np.clip(corners, 0, np.maximum([width - self._box_px, height - self._box_px], 0))
        self._offsets = self._positions - (corners + (self._box_px - 1) / 2)
        self._trackers = []
        for left, top in corners.tolist():
            tracker = self._create()
            tracker.init(image, (left, top, self._box_px, self._box_px))
            self._trackers.append(tracker)
        return all_found(self._positions)

    def update(self, frame: np.ndarray) -> FrameTracks:
        """Finds the points on the next frame."""
        image = self._cv2.cvtColor(to_8_bits(frame), self._cv2.COLOR_GRAY2BGR)
        found = np.zeros(len(self._trackers), dtype=bool)
        for point, tracker in enumerate(self._trackers):
            found[point], (left, top, width, height) = tracker.update(image)
            if found[point]:
                centre = np.array([left + (width - 1) / 2, top + (height - 1) / 2])
                self._positions[point] = centre + self._offsets[point]
        return all_found(self._positions, found)


@peer(
    "opencv-csrt",
    f"OpenCV CSRT, one per point, box {CSRT_BOX_PX} x {CSRT_BOX_PX} px",
    settings={"box_px": CSRT_BOX_PX},
    rank=50,
)
class CsrtPerPoint(_BoxPerPoint):
    """CSRT (Lukezic et al., CVPR 2017).

    The search over scales is off, because a point has no size: with it, CSRT is worse.
    """

    def __init__(self, box_px: int = CSRT_BOX_PX) -> None:
        super().__init__(box_px)
        self._parameters = self._cv2.TrackerCSRT_Params()
        self._parameters.number_of_scales = 1

    def _create(self) -> Any:
        return self._cv2.TrackerCSRT_create(self._parameters)


@peer(
    "opencv-kcf",
    f"OpenCV KCF, one per point, box {KCF_BOX_PX} x {KCF_BOX_PX} px",
    settings={"box_px": KCF_BOX_PX},
    rank=60,
)
class KcfPerPoint(_BoxPerPoint):
    """KCF (Henriques et al., TPAMI 2015), with OpenCV's own settings but for the size of the window, which it does not
    compress.
    """

    def __init__(self, box_px: int = KCF_BOX_PX) -> None:
        super().__init__(box_px)
        self._parameters = self._cv2.TrackerKCF_Params()
        self._parameters.resize = False

    def _create(self) -> Any:
        return self._cv2.TrackerKCF_create(self._parameters)


@peer(
    "opencv-nano",
    f"NanoTrack v2 by OpenCV, one per point, box {NANO_BOX_PX} x {NANO_BOX_PX} px",
    settings={"box_px": NANO_BOX_PX},
    takes_part=lambda: bool(os.environ.get(NANO_FOLDER)),
    rank=70,
)
class NanoPerPoint(_BoxPerPoint):
    """NanoTrack (a light Siamese tracker of natural video, Apache-2.0) by OpenCV, from its authors' ONNX files, which
    are to be at hand.

    Raises:
        InputError: the environment variable `NANO_FOLDER` names no folder with `NANO_FILES` of NanoTrack v2.
    """

    def __init__(self, box_px: int = NANO_BOX_PX) -> None:
        super().__init__(box_px)
        paths = [Path(os.environ.get(NANO_FOLDER, "")) / name for name in NANO_FILES]
        missing = next((path for path in paths if not path.is_file()), None)
        if missing is not None:
            files = f"{' and '.join(NANO_FILES)} of NanoTrack v2"
            raise InputError(f"opencv-nano: {missing} is not there; set {NANO_FOLDER} to a folder with {files}")
        self._parameters = self._cv2.TrackerNano_Params()
        self._parameters.backbone, self._parameters.neckhead = map(str, paths)
        self._cv2.utils.logging.setLogLevel(
            self._cv2.utils.logging.LOG_LEVEL_ERROR
        )  # it warns at every point of a target it does not set

    def _create(self) -> Any:
        return self._cv2.TrackerNano_create(self._parameters)
