"""A scene with a beating clip and clicks on it, the application's stand-in and Myocardial Tracking."""

import functools

import numpy as np
from scipy import ndimage

from module_bench import ModuleBench
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.image_geometry import pixels_to_ras_mm
from UltrasoundMotionLib.mrml.wall_contour_nodes import add_clicks

FRAMES, CYCLE, SHORTENING = 23, 20, 0.15


CENTRE = np.array([70.0, 60.0])


CLICKS_PX = np.array([[45.0, 88.0], [70.0, 25.0], [95.0, 88.0]])


SPACING_MM = (0.4, 0.4)


def scale(frame):
    """By how much everything around the centre has shrunk: end-diastole on frames 0 and 20, end-systole on frame 10."""
    return 1 - SHORTENING * (1 - np.cos(2 * np.pi * frame / CYCLE)) / 2


def beating_clip(name="clip", frame_count=FRAMES):
    """Speckle that shrinks and grows evenly: strain is 100 (scale - 1) in every direction."""
    frames = _beating_frames(frame_count).copy()
    return ImageSequence(frames, SPACING_MM, np.arange(frame_count) / 25, name=name)


@functools.cache
def _beating_frames(frame_count):
    speckle = ndimage.gaussian_filter(np.random.default_rng(3).random((120, 140)), 1.8)
    speckle = 30 + 200 * (speckle - speckle.min()) / np.ptp(speckle)
    y, x = np.mgrid[:120, :140]
    frames = [
        ndimage.map_coordinates(
            speckle, [(y - CENTRE[1]) / s + CENTRE[1], (x - CENTRE[0]) / s + CENTRE[0]], order=1, mode="mirror"
        )
        for s in map(scale, range(frame_count))
    ]
    return np.stack(frames).astype(np.uint8)


class MyocardialBench(ModuleBench):
    """A scene with a clip and three clicks on it, the application's stand-in, and Myocardial Tracking."""

    name = "MyocardialTracking"

    def __init__(self, scene, application):
        super().__init__(scene, application, beating_clip())
        self.clicks = add_clicks(scene, "clicks")
        self.place(self.clicks, CLICKS_PX)

    def place(self, markups, points_px):
        """What a user does with the mouse."""
        for control, position in enumerate(pixels_to_ras_mm(self.sequence, np.asarray(points_px, dtype=float))):
            if control < markups.GetNumberOfControlPoints():
                markups.SetNthControlPointPosition(control, *position)
            else:
                markups.AddControlPoint(*position)
        return markups

    def add(self, class_name, points_px, name="drawn"):
        return self.place(self.scene.AddNewNodeByClass(class_name, name), points_px)

    def open(self):
        widget = super().open()
        widget.parameters.contour = self.clicks
        return widget

    def run(self, widget):
        widget.ui.applyButton.click()
        self.wait_until_done(widget)

    def count(self):
        return self.scene.GetNumberOfNodes()
