"""Motion carried to objects: maps from tracked points, their inversion, smoothing over time, and measures of what is
carried.

Points are (N, 3) in mm, in whatever patient coordinates their caller uses; nothing here needs 3D Slicer or torch.
"""

from UltrasoundMotionLib.lazy_imports import lazy_attributes

_PUBLIC = {
    "InvertedPoints": "inversion",
    "invert_points": "inversion",
    "PointMap": "point_map",
    "fit_point_map": "point_map",
    "SmoothingMethod": "temporal_smoothing",
    "smoothing_matrix": "temporal_smoothing",
    "MeshMeasures": "object_measures",
    "inside_polygon": "polygon",
    "enclosed_area_mm2": "object_measures",
    "mesh_measures": "object_measures",
    "polyline_length_mm": "object_measures",
}

__all__ = [
    "InvertedPoints",
    "MeshMeasures",
    "PointMap",
    "SmoothingMethod",
    "enclosed_area_mm2",
    "fit_point_map",
    "inside_polygon",
    "invert_points",
    "mesh_measures",
    "polyline_length_mm",
    "smoothing_matrix",
]

__getattr__ = lazy_attributes(__name__, _PUBLIC)
