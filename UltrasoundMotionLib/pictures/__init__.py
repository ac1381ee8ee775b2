"""Figures of results: tracked points on frames and over time, strain reports, registered pairs."""

from UltrasoundMotionLib.pictures.displacement_plot import draw_displacement, write_displacement_plot
from UltrasoundMotionLib.pictures.overlay_animation import check_animation_format, write_overlay_animation
from UltrasoundMotionLib.pictures.overlay_strip import write_overlay_strip
from UltrasoundMotionLib.pictures.plot_packages import require_plot_packages

__all__ = [
    "check_animation_format",
    "draw_displacement",
    "require_plot_packages",
    "write_displacement_plot",
    "write_overlay_animation",
    "write_overlay_strip",
]
