"""`benchmark semantic-hearts`."""

from UltrasoundMotionLib.lab.benchmarks.semantic_hearts.benchmark import add_parser

__all__ = ["add_parser"]
