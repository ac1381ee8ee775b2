"""`benchmark strain`."""

from UltrasoundMotionLib.lab.benchmarks.strain.benchmark import add_parser

__all__ = ["add_parser"]
