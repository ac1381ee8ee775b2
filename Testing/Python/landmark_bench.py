"""A scene with a clip and points, the application's stand-in and Landmark Tracking, for the tests of that module."""

import functools

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from module_bench import ModuleBench
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.image_geometry import pixels_to_ras_mm

QUERY_PX = np.array([[50.0, 44.0], [90.0, 60.0], [70.0, 84.0]])


SPACING_MM = (0.4, 0.25)


TURNED = Rotation.from_euler("xyz", [15, -40, 65], degrees=True).as_matrix()


def drift(frame):
    """(x, y) pixels by which everything has moved since frame 0."""
    return np.array([9 * np.sin(frame / 7), 5 * np.cos(frame / 9) - 5])


def swaying_clip(frame_count=24, size=(140, 120), name="clip", *, whole_pixels=False):
    """Speckle that moves as a whole, on an oblique plane; by whole pixels it is made sooner."""
    frames = _swaying_frames(frame_count, size, whole_pixels).copy()
    return ImageSequence(
        frames, SPACING_MM, np.arange(frame_count) / 30, origin_mm=(5.0, -60.0, 12.0), direction=TURNED, name=name
    )


@functools.cache
def _swaying_frames(frame_count, size, whole_pixels):
    width, height = size
    speckle = ndimage.gaussian_filter(np.random.default_rng(5).random((height + 60, width + 60)), 2.0)
    speckle = 255 * (speckle - speckle.min()) / np.ptp(speckle)
    moved = [drift(frame)[::-1] for frame in range(frame_count)]
    if whole_pixels:
        shifted = [np.roll(speckle, np.rint(by).astype(int), (0, 1)) for by in moved]
    else:
        shifted = [ndimage.shift(speckle, by, mode="wrap") for by in moved]
    return np.clip(np.stack(shifted)[:, 30:-30, 30:-30], 0, 255).astype(np.uint8)


def truth_px(frame_count, query_frame=0):
    """(T, N, 2)."""
    return np.stack([QUERY_PX + drift(frame) - drift(query_frame) for frame in range(frame_count)])


def place(scene, sequence, points_px=QUERY_PX, name="points"):
    """What a user does with the mouse: points on the image plane, in world coordinates."""
    markups = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    for number, position in enumerate(pixels_to_ras_mm(sequence, points_px)):
        markups.AddControlPoint(*position, f"P{number + 1}")
    return markups


class LandmarkBench(ModuleBench):
    """A scene with a clip and points on it, the application's stand-in, and Landmark Tracking."""

    name = "LandmarkTracking"

    def __init__(self, scene, application):
        super().__init__(scene, application, swaying_clip())
        self.points = place(scene, self.sequence)

    def open(self):
        widget = super().open()
        widget.parameters.landmarks = self.points
        return widget

    def classes(self):
        """Of all nodes, apart from those that only say which file a node came from."""
        every = (self.scene.GetNthNode(number) for number in range(self.scene.GetNumberOfNodes()))
        return sorted(node.GetClassName() for node in every if not node.IsA("vtkMRMLStorageNode"))


def positions(bench, tracked):
    return bench.logic.tracks(tracked.proxy).positions_px
