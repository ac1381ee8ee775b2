"""Image sequences and volumes with their geometry, and their file formats."""

from UltrasoundMotionLib.images.colour import ColourFrameSource, colour_frame, luminance
from UltrasoundMotionLib.images.image_sequence import FrameSource, ImageSequence
from UltrasoundMotionLib.images.sequence_files import read_sequence, write_sequence
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.images.volume_files import read_volume, write_volume

__all__ = [
    "ColourFrameSource",
    "FrameSource",
    "ImageSequence",
    "Volume",
    "colour_frame",
    "luminance",
    "read_sequence",
    "read_volume",
    "write_sequence",
    "write_volume",
]
