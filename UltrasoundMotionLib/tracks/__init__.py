"""What all trackers share: the result, the online interface and its run over a sequence, and the files."""

from UltrasoundMotionLib.tracks.clust_annotation import ClustAnnotation, clust_files, read_clust_annotation, read_clust_tracks, write_clust_tracks
from UltrasoundMotionLib.tracks.online_tracker import FrameTracks, OnlineTracker, check_query_points, run_tracker, stream_tracks
from UltrasoundMotionLib.tracks.point_tracks import PointTracks
from UltrasoundMotionLib.tracks.query_points_file import QueryPoints, read_query_points
from UltrasoundMotionLib.tracks.tracks_csv import read_tracks_csv, write_tracks_csv

__all__ = [
    "ClustAnnotation",
    "FrameTracks",
    "OnlineTracker",
    "PointTracks",
    "QueryPoints",
    "check_query_points",
    "clust_files",
    "read_clust_annotation",
    "read_clust_tracks",
    "read_query_points",
    "read_tracks_csv",
    "run_tracker",
    "stream_tracks",
    "write_clust_tracks",
    "write_tracks_csv",
]
