"""`benchmark lsdm-ablation`."""

from UltrasoundMotionLib.lab.benchmarks.lsdm_ablation.benchmark import add_parser

__all__ = ["add_parser"]
