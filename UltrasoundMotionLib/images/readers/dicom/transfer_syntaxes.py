"""Transfer syntaxes, the ways in which a DICOM file stores its pixels: which can be decoded, and why others cannot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.errors import InputError

if TYPE_CHECKING:
    from pydicom.uid import UID

_STANDARD = "1.2.840.10008.1.2"
ENCAPSULATED_UNCOMPRESSED = f"{_STANDARD}.1.98"
RLE = f"{_STANDARD}.5"
# those of which GDCM, which comes with SimpleITK, decodes grey and colour
_DECODED_BY_GDCM = {
    RLE,
    *(f"{_STANDARD}.4.{number}" for number in (50, 51, 57, 70, 80, 81, 90, 91)),
}
_DEFLATED = f"{_STANDARD}.1.99"
_VIDEO = {
    **{f"{_STANDARD}.4.{number}": "MPEG-2" for number in ("100", "100.1", "101", "101.1")},
    **{
        f"{_STANDARD}.4.{number}{ending}": "H.264 (MPEG-4)"
        for number in (102, 103, 104, 105, 106)
        for ending in ("", ".1")
    },
    **{f"{_STANDARD}.4.{number}": "HEVC (H.265)" for number in (107, 108)},
}
_OTHERS = {
    **{f"{_STANDARD}.4.{number}": "JPEG XL" for number in (110, 111, 112)},
    **{f"{_STANDARD}.4.{number}": "high-throughput JPEG 2000" for number in (201, 202, 203)},
    **{f"{_STANDARD}.4.{number}": "JPEG 2000 part 2 (several components)" for number in (92, 93)},
    f"{_STANDARD}.8.1": "deflated frames",
}
_ELSEWHERE = {f"{_STANDARD}.4.{number}" for number in (94, 95, 204, 205)}


def check_can_be_decoded(path: Path, syntax: UID) -> None:
    """Raises InputError, with the reason, if nothing that is installed decodes a transfer syntax."""
    if str(syntax) == _DEFLATED:
        raise InputError(f"{path}: is a deflated DICOM file, which is not supported; write it again uncompressed")
    if str(syntax) in _ELSEWHERE:
        raise InputError(f"{path}: its pixels are on a server (JPIP), not in the file; export it with its pixels")
    if str(syntax) in _VIDEO:
        raise InputError(
            f"{path}: its frames are {_VIDEO[str(syntax)]} video inside DICOM, which is not decoded: export the clip "
            "as MP4"
        )
    if not syntax.startswith(_STANDARD):
        raise InputError(f"{path}: its transfer syntax {syntax} is not one of the DICOM standard; export it again")
    # a syntax newer than the installed pydicom is unknown to it: nothing can be asked of it then
    known = syntax.is_transfer_syntax
    if known and not syntax.is_encapsulated:
        return
    if str(syntax) in _DECODED_BY_GDCM | {ENCAPSULATED_UNCOMPRESSED} or (known and _pydicom_decodes(syntax)):
        return
    name = _OTHERS.get(str(syntax), syntax.name)
    raise InputError(
        f"{path}: {name} is not supported: nothing that is installed decodes it; export it uncompressed or as JPEG"
    )


def _pydicom_decodes(syntax: UID) -> bool:
    """Returns True if one of the packages that pydicom uses for a transfer syntax is installed."""
    from pydicom.pixels import get_decoder

    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:
        return False
