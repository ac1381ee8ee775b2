"""Image sequences and volumes with their geometry, and their file formats."""

from UltrasoundMotionLib.lazy_imports import lazy_attributes

_PUBLIC = {
    "ColourFrameSource": "colour",
    "colour_frame": "colour",
    "luminance": "colour",
    "FrameSource": "image_sequence",
    "ImageSequence": "image_sequence",
    "read_sequence": "sequence_files",
    "write_sequence": "sequence_files",
    "Volume": "volume",
    "read_volume": "volume_files",
    "write_volume": "volume_files",
}

__all__ = sorted(_PUBLIC)  # noqa: PLE0605

__getattr__ = lazy_attributes(__name__, _PUBLIC)
