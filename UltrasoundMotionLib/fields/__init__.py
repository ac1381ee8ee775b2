"""Displacement and velocity fields: the algebra everything that moves stands on.

Two forms, one meaning (ITK's): fixed(x) = moving(x + u(x)).
Tensors: (B, n, *spatial) in VOXELS of the fixed grid, channels in the order (x, y[, z]), spatial axes (H, W) or (D, H,
W), the reverse order. `DisplacementField`: numpy, LPS mm, with its grid.
"""

from UltrasoundMotionLib.names_on_demand import names_on_demand

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
    "check_finite": "tensor_checks",
    "inside_image": "warping",
    "points_through": "warping",
    "voxel_coordinates": "warping",
    "warp": "warping",
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
    "smooth_by_pooling",
    "voxel_coordinates",
    "warp",
    "write_displacement",
]

__getattr__ = names_on_demand(__name__, _PUBLIC)
