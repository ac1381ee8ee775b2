"""Measures and tables of the papers for tracks and registrations. Importing it does not import torch."""

from UltrasoundMotionLib.evaluation.forward_backward import ForwardBackward, forward_backward_error
from UltrasoundMotionLib.evaluation.observers import ObserverDisagreement, PairAgreement, compare_observers
from UltrasoundMotionLib.evaluation.track_errors import TrackErrors, compare_tracks
from UltrasoundMotionLib.evaluation.track_measures import Distances, TrackMeasures, measure_tracks, points_lost
from UltrasoundMotionLib.evaluation.track_report import TrackReport, report_tracks
from UltrasoundMotionLib.json_output import write_json

__all__ = [
    "Distances",
    "ForwardBackward",
    "ObserverDisagreement",
    "PairAgreement",
    "TrackErrors",
    "TrackMeasures",
    "TrackReport",
    "compare_observers",
    "compare_tracks",
    "forward_backward_error",
    "measure_tracks",
    "points_lost",
    "report_tracks",
    "write_json",
]
