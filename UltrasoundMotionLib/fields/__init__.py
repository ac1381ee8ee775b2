"""Displacement and velocity fields: the algebra everything that moves stands on.

Two forms, one meaning (ITK's): fixed(x) = moving(x + u(x)).
Tensors: (B, n, *spatial) in VOXELS of the fixed grid, channels in the order (x, y[, z]), spatial axes (H, W) or (D, H, W), the reverse order.
`DisplacementField`: numpy, LPS mm, with its grid.
"""

from UltrasoundMotionLib.fields.composition import Inversion, compose, integrate_velocity, invert
from UltrasoundMotionLib.fields.jacobian import JacobianMeasures, displacement_gradient, jacobian_determinant, jacobian_measures
from UltrasoundMotionLib.fields.warping import inside_image, points_through, voxel_coordinates, warp

__all__ = [
    "Inversion",
    "JacobianMeasures",
    "compose",
    "displacement_gradient",
    "inside_image",
    "integrate_velocity",
    "invert",
    "jacobian_determinant",
    "jacobian_measures",
    "points_through",
    "voxel_coordinates",
    "warp",
]
