"""`benchmark semantic-faces`."""

from UltrasoundMotionLib.lab.benchmarks.semantic_faces.benchmark import add_parser

__all__ = ["add_parser"]
