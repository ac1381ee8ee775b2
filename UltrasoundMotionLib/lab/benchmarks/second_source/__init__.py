"""`benchmark second-source`."""

from UltrasoundMotionLib.lab.benchmarks.second_source.benchmark import add_parser

__all__ = ["add_parser"]
