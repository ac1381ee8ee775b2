"""What all trackers share: the result, the online interface and its run over a sequence, and the files."""

from UltrasoundMotionLib.tracks.online_tracker import FrameTracks, OnlineTracker, check_query_points, run_tracker, stream_tracks
from UltrasoundMotionLib.tracks.point_tracks import PointTracks

__all__ = ["FrameTracks", "OnlineTracker", "PointTracks", "check_query_points", "run_tracker", "stream_tracks"]
