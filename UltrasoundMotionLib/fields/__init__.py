"""Displacement and velocity fields: warping, composition, inversion, B-splines, Jacobian measures and files.

Both representations follow ITK's convention, fixed(x) = moving(x + u(x)).
Tensors: (B, n, *spatial) in VOXELS of the fixed grid, channels in the order (x, y[, z]), spatial axes in the reverse
order, (H, W) or (D, H, W). `DisplacementField`: numpy, LPS mm, with its grid.
"""

from UltrasoundMotionLib.lazy_imports import lazy_attributes

_PUBLIC = {
    "bspline_by_pooling": "bspline",
    "bspline_exact": "bspline",
    "control_shape": "bspline",
    "smooth_by_pooling": "bspline",
    "Inversion": "composition",
    "compose": "composition",
    "integrate_velocity": "composition",
    "invert": "composition",
    "DisplacementField": "displacement_field",
    "read_displacement": "displacement_files",
    "write_displacement": "displacement_files",
    "ImageGrid": "image_grid",
    "JacobianMeasures": "jacobian_summary",
    "displacement_gradient": "jacobian",
    "jacobian_determinant": "jacobian",
    "jacobian_measures": "jacobian",
    "resample_displacement": "resampling",
    "resampling_adjoint": "resampling",
    "check_finite": "tensor_checks",
    "inside_image": "warping",
    "points_through": "warping",
    "voxel_coordinates": "warping",
    "warp": "warping",
    "warp_with_derivative": "warping",
}

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
    "resampling_adjoint",
    "smooth_by_pooling",
    "voxel_coordinates",
    "warp",
    "warp_with_derivative",
    "write_displacement",
]

__getattr__ = lazy_attributes(__name__, _PUBLIC)
