"""`benchmark clust2d`: the protocol of CLUST2D on a participant's own copy of its data."""

from UltrasoundMotionLib.lab.benchmarks.clust2d.benchmark import add_parser

__all__ = ["add_parser"]
