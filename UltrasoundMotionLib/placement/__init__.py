"""The place of a clip's frames in the space of a volume: by a matrix, by landmarks, or by a tracked probe."""

from UltrasoundMotionLib.lazy_imports import lazy_attributes

_PUBLIC = {
    "PlaceRequest": "request",
    "Placement": "placement",
    "place_clip": "place",
    "fit_landmarks": "landmark_fit",
    "read_linear_transform": "linear_files",
    "write_linear_transform": "linear_files",
    "write_placed_points": "placed_points",
}

__all__ = sorted(_PUBLIC)  # noqa: PLE0605

__getattr__ = lazy_attributes(__name__, _PUBLIC)
