"""`benchmark semantic-ablation`."""

from UltrasoundMotionLib.lab.benchmarks.semantic_ablation.benchmark import add_parser

__all__ = ["add_parser"]
