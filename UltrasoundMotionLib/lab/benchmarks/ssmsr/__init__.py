"""`benchmark ssmsr-segmentation` and `benchmark ssmsr-tracking`: the experiments of Zhu et al., Test-Time Training for
Deformable Multi-Scale Image Registration.
"""

from UltrasoundMotionLib.lab.benchmarks.ssmsr.commands import add_parser

__all__ = ["add_parser"]
