"""Images with geometry, and the files they come from and go to."""

from UltrasoundMotionLib.images.image_sequence import FrameSource, ImageSequence
from UltrasoundMotionLib.images.volume import Volume

__all__ = ["FrameSource", "ImageSequence", "Volume"]
