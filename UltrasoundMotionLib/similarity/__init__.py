"""How alike two images are, and how smooth a displacement is: the losses and the reported measures are the same
functions.

Images are tensors (B, C, *spatial); a mask is (B or 1, 1, *spatial), and voxels not above 0 do not count anywhere.
"""

from UltrasoundMotionLib.similarity.gradient_fields import ngf
from UltrasoundMotionLib.similarity.intensity import mse
from UltrasoundMotionLib.similarity.lncc_speed import LnccSpeed, measure_lncc_speed
from UltrasoundMotionLib.similarity.local_cross_correlation import LocalCrossCorrelation, lncc, lncc_map
from UltrasoundMotionLib.similarity.mutual_information import mutual_information
from UltrasoundMotionLib.similarity.overlap import dice, one_hot, soft_dice
from UltrasoundMotionLib.similarity.self_similarity import mind, mind_channels
from UltrasoundMotionLib.similarity.smoothness import bending, diffusion
from UltrasoundMotionLib.similarity.surface_distance import SurfaceDistance, surface_distance

__all__ = [
    "LnccSpeed",
    "LocalCrossCorrelation",
    "SurfaceDistance",
    "bending",
    "dice",
    "diffusion",
    "lncc",
    "lncc_map",
    "measure_lncc_speed",
    "mind",
    "mind_channels",
    "mse",
    "mutual_information",
    "ngf",
    "one_hot",
    "soft_dice",
    "surface_distance",
]
