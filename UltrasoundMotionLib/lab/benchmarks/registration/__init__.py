"""`benchmark registration`."""

from UltrasoundMotionLib.lab.benchmarks.registration.benchmark import add_parser

__all__ = ["add_parser"]
