"""`benchmark sequence`."""

from UltrasoundMotionLib.lab.benchmarks.sequence.benchmark import add_parser

__all__ = ["add_parser"]
