"""Displacement and velocity fields: the algebra everything that moves stands on.

Two forms, one meaning (ITK's): fixed(x) = moving(x + u(x)).
Tensors: (B, n, *spatial) in VOXELS of the fixed grid, channels in the order (x, y[, z]), spatial axes (H, W) or (D, H, W), the reverse order.
`DisplacementField`: numpy, LPS mm, with its grid.
"""

from UltrasoundMotionLib.fields.bspline import bspline_by_pooling, bspline_exact, control_shape, smooth_by_pooling
from UltrasoundMotionLib.fields.composition import Inversion, compose, integrate_velocity, invert
from UltrasoundMotionLib.fields.displacement_field import DisplacementField
from UltrasoundMotionLib.fields.displacement_files import read_displacement, write_displacement
from UltrasoundMotionLib.fields.image_grid import ImageGrid
from UltrasoundMotionLib.fields.jacobian import JacobianMeasures, displacement_gradient, jacobian_determinant, jacobian_measures
from UltrasoundMotionLib.fields.resampling import resample_displacement
from UltrasoundMotionLib.fields.tensor_checks import check_finite
from UltrasoundMotionLib.fields.warping import inside_image, points_through, voxel_coordinates, warp

__all__ = [
    "DisplacementField",
    "ImageGrid",
    "Inversion",
    "JacobianMeasures",
    "bspline_by_pooling",
    "bspline_exact",
    "check_finite",
    "compose",
    "control_shape",
    "displacement_gradient",
    "inside_image",
    "integrate_velocity",
    "invert",
    "jacobian_determinant",
    "jacobian_measures",
    "points_through",
    "read_displacement",
    "resample_displacement",
    "smooth_by_pooling",
    "voxel_coordinates",
    "warp",
    "write_displacement",
]
