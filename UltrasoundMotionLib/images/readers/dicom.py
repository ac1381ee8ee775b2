"""Reader of single-frame and multi-frame ultrasound DICOM files.

Any photometric interpretation and transfer syntax that pydicom or GDCM decodes.
"""

from __future__ import annotations

from pathlib import Path

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.readers.dicom_geometry import frame_times, orientation, pixel_spacing
from UltrasoundMotionLib.images.readers.dicom_pixels import DicomFrames, locate_pixels

DICOM_ENDINGS = (".dcm", ".dicom", ".ima")
_ULTRASOUND = ("US", "IVUS")
_VIDEO_CAPTURES = ("", "OT", "XC", "ES")  # modalities written by converters of exported clips


def is_dicom(path: Path) -> bool:
    """Returns True if the file has the DICOM prefix."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def read_dicom(path: Path) -> ImageSequence:
    """Reads an ultrasound DICOM file, decoding one frame at a time.

    Colour becomes luminance, and MONOCHROME1 is inverted. Frame times as in `frame_times`, spacing as in
    `pixel_spacing`. Position and orientation are those of the Image Plane if present (LPS), otherwise the identity.

    Raises:
        InputError: not DICOM, no image, truncated, or of another modality than ultrasound.
    """
    dataset, layout = locate_pixels(path)
    modality = str(dataset.get("Modality", "") or "")
    frames_stored = layout.frames
    if modality not in _ULTRASOUND and not (modality in _VIDEO_CAPTURES and frames_stored > 1):
        raise InputError(
            f"{path}: not ultrasound: its modality is {modality or 'not given'} with {frames_stored} frame(s), "
            "expected US or IVUS"
        )
    frames = DicomFrames(path, dataset, layout)
    try:
        times, time_notes = frame_times(dataset, frames_stored)
        spacing, spacing_notes = pixel_spacing(dataset, frames)
        origin, direction, orientation_notes = orientation(dataset)
    # pydicom parses a value on access
    except (ValueError, TypeError, AttributeError, KeyError, NotImplementedError) as error:
        raise InputError(f"{path}: its header is damaged: {' '.join(str(error).split())[:200]}") from None
    notes = (*spacing_notes, *time_notes, *orientation_notes, *frames.notes)
    return ImageSequence(frames, spacing, times, origin, direction, path.stem, path, notes=notes)
