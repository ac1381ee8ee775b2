"""OpenCV's optical flows and template matching behind our online interface, so that they run through the very same loop
and are measured in the same way.

Frames are rounded to 8 bits, which is all that these functions take.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from UltrasoundMotionLib.lab.benchmarks.peers import import_package, peer
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks

WINDOW_PX, LEVELS = 21, 4
TEMPLATE_BOX_PX, TEMPLATE_REACH_PX = 15, 5


def import_opencv() -> Any:
    """cv2.

    Raises:
        MissingPackageError: it is not installed.
    """
    return import_package("cv2", "OpenCV")


def set_opencv_threads(count: int) -> None:
    """Gives OpenCV as many threads as our own trackers have."""
    import_opencv().setNumThreads(count)


def to_8_bits(frame: np.ndarray) -> np.ndarray:
    """Returns a frame (H, W) rounded to uint8."""
    return np.clip(np.rint(frame), 0, 255).astype(np.uint8)


def all_found(positions: np.ndarray, found: np.ndarray | None = None) -> FrameTracks:
    """Returns positions (N, 2) as a tracker's result; the confidence is 1 where the function reports success, else 0,
    as these functions give none.
    """
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


@peer(
    "opencv-lk",
    f"OpenCV pyramidal Lucas-Kanade, frame to frame, window {WINDOW_PX} x {WINDOW_PX}, {LEVELS} levels",
    settings={"window_px": WINDOW_PX, "levels": LEVELS},
    rank=10,
)
class ChainedLucasKanade:
    """Pyramidal Lucas-Kanade (calcOpticalFlowPyrLK) from each frame to the next; a point that it loses stays where it
    was.
    """

    def __init__(self, window_px: int = WINDOW_PX, levels: int = LEVELS) -> None:
        self._cv2 = import_opencv()
        stop = (self._cv2.TERM_CRITERIA_EPS | self._cv2.TERM_CRITERIA_COUNT, 30, 0.01)
        # maxLevel counts from zero: 3 means four levels.
        self._settings: dict[str, Any] = {"winSize": (window_px, window_px), "maxLevel": levels - 1, "criteria": stop}

    def start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        self._previous = to_8_bits(frame)
        self._positions = np.array(query_points, dtype=np.float64)
        return all_found(self._positions)

    def update(self, frame: np.ndarray) -> FrameTracks:
        """Finds the points on the next frame."""
        current = to_8_bits(frame)
        points = self._positions.astype(np.float32)[:, None, :]
        moved, status, _ = self._cv2.calcOpticalFlowPyrLK(self._previous, current, points, None, **self._settings)
        moved = moved[:, 0].astype(np.float64)
        height, width = current.shape
        inside = (moved >= -0.5).all(axis=1) & (moved[:, 0] <= width - 0.5) & (moved[:, 1] <= height - 0.5)
        found = (status[:, 0] == 1) & inside
        self._positions = np.where(found[:, None], moved, self._positions)
        self._previous = current
        return all_found(self._positions, found)


@peer(
    "opencv-dis-fine",
    "OpenCV DIS flow from the query frame, preset MEDIUM, warm-started, searched down to full resolution",
    settings={"warm_start": True, "finest_scale": 0},
    takes_part=lambda: False,
    dense=True,
    rank=25,
)
@peer(
    "opencv-dis",
    "OpenCV DIS flow from the query frame, preset MEDIUM, warm-started",
    settings={"warm_start": True},
    dense=True,
    rank=20,
)
class DisFromQueryFrame:
    """Dense inverse search (Kroeger et al., ECCV 2016), preset MEDIUM, from the query frame to each frame.

    With `warm_start`, the flow to the frame before is where the search begins. `finest_scale` is the level of the
    pyramid at which the search ends; the preset's is 1, half the resolution.
    """

    def __init__(self, warm_start: bool = True, finest_scale: int = 1) -> None:
        cv2 = import_opencv()
        self._flow_method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._flow_method.setFinestScale(finest_scale)
        self._warm_start = warm_start

    def start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        """Takes the query frame (H, W) and the points (N, 2) on it."""
        self._query_frame = to_8_bits(frame)
        self._query_points = np.array(query_points, dtype=np.float64)
        self._flow: np.ndarray | None = None
        return all_found(self._query_points)

    def update(self, frame: np.ndarray) -> FrameTracks:
        before = self._flow.copy() if self._warm_start and self._flow is not None else None
        self._flow = self._flow_method.calc(self._query_frame, to_8_bits(frame), before)
        return all_found(self._query_points + sample_bilinear(self._flow, self._query_points))


@peer("opencv-dis-chained", "OpenCV DIS flow frame to frame, preset MEDIUM", dense=True, rank=30)
class ChainedDis:
    """Dense inverse search, preset MEDIUM, from each frame to the next, summed along the points' paths."""

    def __init__(self) -> None:
        cv2 = import_opencv()
        self._flow_method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        self._previous = to_8_bits(frame)
        self._positions = np.array(query_points, dtype=np.float64)
        return all_found(self._positions)

    def update(self, frame: np.ndarray) -> FrameTracks:
        """Finds the points on the next frame."""
        current = to_8_bits(frame)
        flow = self._flow_method.calc(self._previous, current, None)
        height, width = current.shape
        moved = self._positions + sample_bilinear(flow, self._positions)
        self._positions = np.clip(moved, -0.5, [width - 0.5, height - 0.5])
        self._previous = current
        return all_found(self._positions)


@peer(
    "opencv-template",
    f"fixed template of {TEMPLATE_BOX_PX} x {TEMPLATE_BOX_PX} px, OpenCV matchTemplate, normalised",
    settings={"box_px": TEMPLATE_BOX_PX, "reach_px": TEMPLATE_REACH_PX},
    rank=40,
)
class FixedTemplate:
    """Each point's surroundings on the query frame (matchTemplate, normalised correlation), looked for around its last
    place; never renewed.

    The peak is taken to a fraction of a pixel by a parabola along each axis.
    """

    def __init__(self, box_px: int = TEMPLATE_BOX_PX, reach_px: int = TEMPLATE_REACH_PX) -> None:
        self._cv2 = import_opencv()
        self._half, self._reach = box_px // 2, reach_px

    def start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        """Takes the query frame (H, W) and the points (N, 2) on it."""
        self._positions = np.array(query_points, dtype=np.float64)
        self._limits = np.array(frame.shape[::-1], dtype=np.float64) - 0.5
        padded, margin = self._padded(frame)
        whole = np.rint(self._positions).astype(int)
        self._offsets = self._positions - whole
        half = self._half
        self._templates = [padded[y - half : y + half + 1, x - half : x + half + 1] for x, y in whole + margin]
        return all_found(self._positions)

    def update(self, frame: np.ndarray) -> FrameTracks:
        """Finds the points on the next frame."""
        padded, margin = self._padded(frame)
        reach, size = self._reach, self._half + self._reach
        for point, template in enumerate(self._templates):
            x, y = (np.rint(self._positions[point] - self._offsets[point]).astype(int) + margin).tolist()
            around = padded[y - size : y + size + 1, x - size : x + size + 1]
            response = self._cv2.matchTemplate(around, template, self._cv2.TM_CCOEFF_NORMED)
            row, column = (int(one) for one in np.unravel_index(int(response.argmax()), response.shape))
            peak = np.array(
                [column + _parabola_peak(response[row], column), row + _parabola_peak(response[:, column], row)]
            )
            self._positions[point] = peak + [x - margin - reach, y - margin - reach] + self._offsets[point]
        self._positions = np.clip(self._positions, -0.5, self._limits)
        return all_found(self._positions)

    def _padded(self, frame: np.ndarray) -> tuple[np.ndarray, int]:
        """8 bits with a border, so that every window lies inside; and its width."""
        margin = self._half + self._reach + 1
        return self._cv2.copyMakeBorder(to_8_bits(frame), *[margin] * 4, self._cv2.BORDER_REPLICATE), margin


def _parabola_peak(values: np.ndarray, index: int) -> float:
    """Returns the place, relative to a greatest value, of the peak of the parabola through it and its neighbours; 0 at
    an end.
    """
    if not 0 < index < len(values) - 1:
        return 0.0
    before, here, after = (float(value) for value in values[index - 1 : index + 2])
    curvature = before - 2 * here + after
    return 0.5 * (before - after) / curvature if curvature < 0 else 0.0
