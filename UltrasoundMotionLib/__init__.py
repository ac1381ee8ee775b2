"""Point tracking, strain and deformable registration of ultrasound, in any Python, with or without Slicer.

    from UltrasoundMotionLib import read_sequence, track_points

    sequence = read_sequence("a4c.dcm")
    tracks = track_points(sequence, [[110.0, 96.5]], query_frame=16)
    tracks.positions_px        # (T, N, 2), (x, y) in pixels

Each subpackage documents its contents. Names are imported on first access, so that the package loads quickly.
"""

from UltrasoundMotionLib.lazy_imports import lazy_attributes

__version__ = "0.1.0"

_PUBLIC = {
    "ImageSequence": "images",
    "Volume": "images",
    "read_sequence": "images",
    "read_volume": "images",
    "write_sequence": "images",
    "write_volume": "images",
    "PointTracks": "tracking",
    "read_tracks_csv": "tracking",
    "write_tracks_csv": "tracking",
    "TrackRequest": "tracking",
    "track_landmarks": "tracking",
    "track_points": "tracking",
    "RegisterRequest": "registration",
    "register": "registration",
}

__all__ = [
    "ImageSequence",
    "PointTracks",
    "RegisterRequest",
    "TrackRequest",
    "Volume",
    "__version__",
    "read_sequence",
    "read_tracks_csv",
    "read_volume",
    "register",
    "track_landmarks",
    "track_points",
    "write_sequence",
    "write_tracks_csv",
    "write_volume",
]

__getattr__ = lazy_attributes(__name__, _PUBLIC)
