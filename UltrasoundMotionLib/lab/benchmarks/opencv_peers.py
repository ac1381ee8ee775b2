"""OpenCV's trackers behind our online interface, so that they run through the very same loop and are measured in the
same way.

Their settings are chosen to do well, not to lose; Docs/results/tracking.md lists them.
Frames are rounded to 8 bits, which is all that these functions take.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from UltrasoundMotionLib.errors import InputError, MissingPackageError
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks, OnlineTracker

TEMPLATE_BOX_PX = 15
TEMPLATE_REACH_PX = 5
CSRT_BOX_PX = 21
KCF_BOX_PX = 33
NANO_BOX_PX = 21
NANO_FILES = ("nanotrack_backbone_sim.onnx", "nanotrack_head_sim.onnx")
NANO_FOLDER = "ULTRASOUND_MOTION_NANOTRACK"
"""The environment variable that names the folder of NanoTrack's two files; no package brings them."""


def import_opencv() -> ModuleType:
    """cv2.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingPackageError(
            'comparing with OpenCV needs it: pip install "ultrasound-motion[benchmark]"'
        ) from error
    return cv2


def set_opencv_threads(count: int) -> None:
    """Gives OpenCV as many threads as our own trackers have."""
    import_opencv().setNumThreads(count)


def _to_8_bits(frame: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(frame), 0, 255).astype(np.uint8)


def _all_found(positions: np.ndarray, found: np.ndarray | None = None) -> FrameTracks:
    """These functions give no confidence: 1 where they report success, else 0."""
    visible = np.ones(len(positions), dtype=bool) if found is None else found
    return FrameTracks(positions.copy(), visible.astype(np.float64), visible.copy())


def sample_bilinear(field: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values (N, C) of a field (H, W, C) at points (N, 2) in pixels; a point outside takes the value of the nearest
    border pixel.
    """
    height, width = field.shape[:2]
    x = np.clip(points[:, 0], 0, width - 1)
    y = np.clip(points[:, 1], 0, height - 1)
    left = np.minimum(x.astype(int), max(width - 2, 0))
    top = np.minimum(y.astype(int), max(height - 2, 0))
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    along_x, along_y = (x - left)[:, None], (y - top)[:, None]
    upper = field[top, left] * (1 - along_x) + field[top, right] * along_x
    lower = field[bottom, left] * (1 - along_x) + field[bottom, right] * along_x
    return (upper * (1 - along_y) + lower * along_y).astype(np.float64)


class ChainedLucasKanade:
    """Pyramidal Lucas-Kanade (calcOpticalFlowPyrLK) from each frame to the next; a point that it loses stays where it
    was.
    """

    def __init__(self, window_px: int = 21, levels: int = 4) -> None:
        self._cv2 = import_opencv()
        stop = (self._cv2.TERM_CRITERIA_EPS | self._cv2.TERM_CRITERIA_COUNT, 30, 0.01)
        # maxLevel counts from zero: 3 means four levels.
        self._settings = {"winSize": (window_px, window_px), "maxLevel": levels - 1, "criteria": stop}

    def start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        self._previous = _to_8_bits(frame)
        self._positions = np.array(query_points, dtype=np.float64)
        return _all_found(self._positions)

    def update(self, frame: np.ndarray) -> FrameTracks:
        """See `OnlineTracker.update`."""
        current = _to_8_bits(frame)
        points = self._positions.astype(np.float32)[:, None, :]
        moved, status, _ = self._cv2.calcOpticalFlowPyrLK(self._previous, current, points, None, **self._settings)
        moved = moved[:, 0].astype(np.float64)
        height, width = current.shape
        inside = (moved >= -0.5).all(axis=1) & (moved[:, 0] <= width - 0.5) & (moved[:, 1] <= height - 0.5)
        found = (status[:, 0] == 1) & inside
        self._positions = np.where(found[:, None], moved, self._positions)
        self._previous = current
        return _all_found(self._positions, found)


class DisFromQueryFrame:
    """Dense inverse search (Kroeger et al., ECCV 2016), preset MEDIUM, from the query frame to each frame.

    With `warm_start`, the flow to the frame before is where the search begins.
    """

    def __init__(self, warm_start: bool = True) -> None:
        cv2 = import_opencv()
        self._flow_method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._warm_start = warm_start

    def start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        """See `OnlineTracker.start`."""
        self._query_frame = _to_8_bits(frame)
        self._query_points = np.array(query_points, dtype=np.float64)
        self._flow: np.ndarray | None = None
        return _all_found(self._query_points)

    def update(self, frame: np.ndarray) -> FrameTracks:
        before = self._flow.copy() if self._warm_start and self._flow is not None else None
        self._flow = self._flow_method.calc(self._query_frame, _to_8_bits(frame), before)
        return _all_found(self._query_points + sample_bilinear(self._flow, self._query_points))


class ChainedDis:
    """Dense inverse search, preset MEDIUM, from each frame to the next, summed along the points' paths."""

    def __init__(self) -> None:
        cv2 = import_opencv()
        self._flow_method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        self._previous = _to_8_bits(frame)
        self._positions = np.array(query_points, dtype=np.float64)
        return _all_found(self._positions)

    def update(self, frame: np.ndarray) -> FrameTracks:
        """See `OnlineTracker.update`."""
        current = _to_8_bits(frame)
        flow = self._flow_method.calc(self._previous, current, None)
        height, width = current.shape
        moved = self._positions + sample_bilinear(flow, self._positions)
        self._positions = np.clip(moved, -0.5, [width - 0.5, height - 0.5])
        self._previous = current
        return _all_found(self._positions)


class FixedTemplate:
    """Each point's surroundings on the query frame (matchTemplate, normalised correlation), looked for around its last
    place; never renewed.

    The peak is taken to a fraction of a pixel by a parabola along each axis.
    """

    def __init__(self, box_px: int = TEMPLATE_BOX_PX, reach_px: int = TEMPLATE_REACH_PX) -> None:
        self._cv2 = import_opencv()
        self._half, self._reach = box_px // 2, reach_px

    def start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        """See `OnlineTracker.start`."""
        self._positions = np.array(query_points, dtype=np.float64)
        self._limits = np.array(frame.shape[::-1], dtype=np.float64) - 0.5
        padded, margin = self._padded(frame)
        whole = np.rint(self._positions).astype(int)
        self._offsets = self._positions - whole
        half = self._half
        self._templates = [padded[y - half : y + half + 1, x - half : x + half + 1] for x, y in whole + margin]
        return _all_found(self._positions)

    def update(self, frame: np.ndarray) -> FrameTracks:
        """See `OnlineTracker.update`."""
        padded, margin = self._padded(frame)
        reach, size = self._reach, self._half + self._reach
        for point, template in enumerate(self._templates):
            x, y = (np.rint(self._positions[point] - self._offsets[point]).astype(int) + margin).tolist()
            around = padded[y - size : y + size + 1, x - size : x + size + 1]
            response = self._cv2.matchTemplate(around, template, self._cv2.TM_CCOEFF_NORMED)
            row, column = np.unravel_index(int(response.argmax()), response.shape)
            peak = np.array(
                [column + _parabola_peak(response[row], column), row + _parabola_peak(response[:, column], row)]
            )
            self._positions[point] = peak + [x - margin - reach, y - margin - reach] + self._offsets[point]
        self._positions = np.clip(self._positions, -0.5, self._limits)
        return _all_found(self._positions)

    def _padded(self, frame: np.ndarray) -> tuple[np.ndarray, int]:
        """8 bits with a border, so that every window lies inside; and its width."""
        margin = self._half + self._reach + 1
        return self._cv2.copyMakeBorder(_to_8_bits(frame), *[margin] * 4, self._cv2.BORDER_REPLICATE), margin


def _parabola_peak(values: np.ndarray, index: int) -> float:
    """Where the parabola through a greatest value and its neighbours peaks, relative to it; 0 at an end."""
    if not 0 < index < len(values) - 1:
        return 0.0
    before, here, after = (float(value) for value in values[index - 1 : index + 2])
    curvature = before - 2 * here + after
    return 0.5 * (before - after) / curvature if curvature < 0 else 0.0


class _BoxPerPoint(ABC):
    """One box tracker of OpenCV for each point, in a square box around it; the box's centre is the point.

    OpenCV reports boxes in whole pixels.
    """

    def __init__(self, box_px: int) -> None:
        self._cv2 = import_opencv()
        self._box_px = box_px

    @abstractmethod
    def _create(self) -> object:
        """A fresh tracker of one box."""

    def start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        """See `OnlineTracker.start`."""
        image = self._cv2.cvtColor(_to_8_bits(frame), self._cv2.COLOR_GRAY2BGR)
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
        return _all_found(self._positions)

    def update(self, frame: np.ndarray) -> FrameTracks:
        """See `OnlineTracker.update`."""
        image = self._cv2.cvtColor(_to_8_bits(frame), self._cv2.COLOR_GRAY2BGR)
        found = np.zeros(len(self._trackers), dtype=bool)
        for point, tracker in enumerate(self._trackers):
            found[point], (left, top, width, height) = tracker.update(image)
            if found[point]:
                centre = np.array([left + (width - 1) / 2, top + (height - 1) / 2])
                self._positions[point] = centre + self._offsets[point]
        return _all_found(self._positions, found)


class CsrtPerPoint(_BoxPerPoint):
    """CSRT (Lukezic et al., CVPR 2017).

    The search over scales is off, because a point has no size: with it, CSRT is worse.
    """

    def __init__(self, box_px: int = CSRT_BOX_PX) -> None:
        super().__init__(box_px)
        self._parameters = self._cv2.TrackerCSRT_Params()
        self._parameters.number_of_scales = 1

    def _create(self) -> object:
        return self._cv2.TrackerCSRT_create(self._parameters)


class KcfPerPoint(_BoxPerPoint):
    """KCF (Henriques et al., TPAMI 2015), with OpenCV's own settings but for the size of the window, which it does not
    compress.
    """

    def __init__(self, box_px: int = KCF_BOX_PX) -> None:
        super().__init__(box_px)
        self._parameters = self._cv2.TrackerKCF_Params()
        self._parameters.resize = False

    def _create(self) -> object:
        return self._cv2.TrackerKCF_create(self._parameters)


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
            raise InputError(
                f"opencv-nano: {missing} is not there; set {NANO_FOLDER} to a folder with {' and '.join(NANO_FILES)} of NanoTrack v2"
            )
        self._parameters = self._cv2.TrackerNano_Params()
        self._parameters.backbone, self._parameters.neckhead = map(str, paths)
        self._cv2.utils.logging.setLogLevel(
            self._cv2.utils.logging.LOG_LEVEL_ERROR
        )  # it warns at every point of a target it does not set

    def _create(self) -> object:
        return self._cv2.TrackerNano_create(self._parameters)


@dataclass(frozen=True)
class Peer:
    """A tracker of another library under the name that tables give it."""

    name: str
    summary: str
    create: Callable[[], OnlineTracker]


PEERS = (
    Peer("opencv-lk", "OpenCV pyramidal Lucas-Kanade, frame to frame, window 21 x 21, 4 levels", ChainedLucasKanade),
    Peer("opencv-dis", "OpenCV DIS flow from the query frame, preset MEDIUM, warm-started", DisFromQueryFrame),
    Peer("opencv-dis-chained", "OpenCV DIS flow frame to frame, preset MEDIUM", ChainedDis),
    Peer(
        "opencv-template",
        f"fixed template of {TEMPLATE_BOX_PX} x {TEMPLATE_BOX_PX} px, OpenCV matchTemplate, normalised",
        FixedTemplate,
    ),
    Peer("opencv-csrt", f"OpenCV CSRT, one per point, box {CSRT_BOX_PX} x {CSRT_BOX_PX} px", CsrtPerPoint),
    Peer("opencv-kcf", f"OpenCV KCF, one per point, box {KCF_BOX_PX} x {KCF_BOX_PX} px", KcfPerPoint),
)

NANO_PEER = Peer(
    "opencv-nano", f"NanoTrack v2 by OpenCV, one per point, box {NANO_BOX_PX} x {NANO_BOX_PX} px", NanoPerPoint
)


def available_peers() -> tuple[Peer, ...]:
    """All that can run here: NanoTrack where the environment says where its files are."""
    return (*PEERS, NANO_PEER) if os.environ.get(NANO_FOLDER) else PEERS


def find_peer(name: str) -> Peer:
    """The peer of that name.

    Raises:
        InputError: there is none.
    """
    known = (*PEERS, NANO_PEER)
    for peer in known:
        if peer.name == name:
            return peer
    raise InputError(f"peer {name!r} does not exist; there are {', '.join(peer.name for peer in known)}")
