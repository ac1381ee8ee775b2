"""Point trackers: many points of the tissue, each followed through every frame."""

from UltrasoundMotionLib.points.track_points import choose_device, track_points

__all__ = ["choose_device", "track_points"]
