"""A small clip in an awkward place, and tracks on it, for the tests of UltrasoundMotionLib.mrml."""

import numpy as np
from scipy.spatial.transform import Rotation

from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.tracking import PointTracks

OBLIQUE = Rotation.from_euler("xyz", [20, -35, 70], degrees=True).as_matrix()
STEP_S = 0.0005  # closer than Slicer's own tolerance of a millisecond


def clip(
    frame_count=8, frame_size=(48, 40), spacing_mm=(0.31234, 0.2), *, timed=True, dtype=np.uint8, name="clip", **changes
):
    """Noise frames on an oblique plane with different spacings, half a millisecond apart."""
    width, height = frame_size
    frames = np.random.default_rng(3).integers(0, 256, (frame_count, height, width)).astype(dtype)
    times = 0.1 + STEP_S * np.arange(frame_count) if timed else None
    return ImageSequence(
        frames, spacing_mm, times, origin_mm=(10.123456, -200.5, 33.25), direction=OBLIQUE, name=name, **changes
    )


def tracks_on(sequence, point_count=5, query_frame=2):
    """Points that wander by known amounts; point 1 is lost in frames 4 and 5."""
    random = np.random.default_rng(7)
    frame_count = len(sequence)
    width, height = sequence.frame_size
    positions = random.uniform(8, min(width, height) - 8, (1, point_count, 2)) + random.normal(
        0, 1.5, (frame_count, point_count, 2)
    )
    visible = np.ones((frame_count, point_count), dtype=bool)
    visible[4:6, 1] = False
    confidence = np.round(random.uniform(0.05, 0.99, visible.shape), 6)
    labels = tuple(f"P{number}" for number in range(point_count))
    return PointTracks(
        positions, confidence, visible, labels, query_frame, sequence.times_s, sequence.spacing_mm, "block-matching"
    )
