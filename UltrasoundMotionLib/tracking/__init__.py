"""Point and landmark tracking: one request, the trackers, their results and files."""

from UltrasoundMotionLib.lazy_imports import lazy_attributes

_PUBLIC = {
    "ClustAnnotation": "files.clust_annotation",
    "clust_files": "files.clust_annotation",
    "read_clust_annotation": "files.clust_annotation",
    "read_clust_tracks": "files.clust_annotation",
    "write_clust_tracks": "files.clust_annotation",
    "QueryPoints": "files.query_points_file",
    "read_query_points": "files.query_points_file",
    "read_tracks_csv": "files.tracks_csv",
    "write_tracks_csv": "files.tracks_csv",
    "AnyFrameTracker": "clip_tracker",
    "ClipTracker": "clip_tracker",
    "ClipTracks": "clip_tracker",
    "CorrectedTracks": "corrections.track_corrected",
    "Correction": "corrections.corrections",
    "read_corrections_csv": "files.corrections_csv",
    "track_corrected": "corrections.track_corrected",
    "write_corrections_csv": "files.corrections_csv",
    "FrameTracks": "online_tracker",
    "OnlineTracker": "online_tracker",
    "stream_tracks": "online_tracker",
    "PointTracks": "point_tracks",
    "PointQuery": "query",
    "available_trackers": "registry",
    "find_tracker": "registry",
    "tracker": "registry",
    "TrackRequest": "request",
    "run_tracker": "run",
    "track_landmarks": "track",
    "track_points": "track",
}

__all__ = sorted(_PUBLIC)  # noqa: PLE0605

__getattr__ = lazy_attributes(__name__, _PUBLIC)
