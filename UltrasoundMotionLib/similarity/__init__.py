"""Image similarity, label overlap and smoothness of displacements; the same functions serve as losses and as measures.

Images are tensors (B, C, *spatial); a mask is (B or 1, 1, *spatial), and only voxels above 0 count.
"""

from UltrasoundMotionLib.similarity.gradient_fields import ngf
from UltrasoundMotionLib.similarity.intensity import mse
from UltrasoundMotionLib.similarity.local_cross_correlation import LocalCrossCorrelation, lncc, lncc_map
from UltrasoundMotionLib.similarity.mutual_information import mutual_information
from UltrasoundMotionLib.similarity.overlap import dice, one_hot, soft_dice
from UltrasoundMotionLib.similarity.self_similarity import mind, mind_channels
from UltrasoundMotionLib.similarity.smoothness import bending, diffusion
from UltrasoundMotionLib.similarity.surface_distance import SurfaceDistance, surface_distance

__all__ = [
    "LocalCrossCorrelation",
    "SurfaceDistance",
    "bending",
    "dice",
    "diffusion",
    "lncc",
    "lncc_map",
    "mind",
    "mind_channels",
    "mse",
    "mutual_information",
    "ngf",
    "one_hot",
    "soft_dice",
    "surface_distance",
]
