"""`benchmark confidence`: how far visibility and confidence can be trusted, and the fit of their model."""

from UltrasoundMotionLib.lab.benchmarks.confidence.benchmark import add_parser

__all__ = ["add_parser"]
