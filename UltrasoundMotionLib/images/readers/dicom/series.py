"""The DICOM files of a folder, as far as they belong together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.readers.dicom.functional_groups import text
from UltrasoundMotionLib.images.readers.dicom.pixel_layout import (
    DicomFile,
    is_dicom,
    one_line,
    open_dicom,
    warnings_as_notes,
)

_NO_IMAGE = "holds no picture"


def open_series(path: Path) -> list[DicomFile]:
    """Opens a DICOM file, or all images of the one series in a folder, in the order of their names.

    Raises:
        InputError: no images, or several series.
    """
    if path.is_file():
        return [open_dicom(path)]
    files = []
    for file in dicom_files(path):
        try:
            files.append(open_dicom(file))
        except InputError as error:
            if _NO_IMAGE not in str(error):  # an index (DICOMDIR), a report
                raise
    series: dict[str, list[DicomFile]] = {}
    for opened in files:
        series.setdefault(str(opened.dataset.get("SeriesInstanceUID", "")), []).append(opened)
    if len(series) != 1:
        raise InputError(f"{path}: holds {len(series)} DICOM series, expected one{_described(series)}")
    return files


def dicom_files(folder: Path) -> list[Path]:
    """Lists the DICOM files of a folder by name, without hidden files and subfolders."""
    try:
        files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
        return [file for file in files if is_dicom(file)]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror or error}") from error


def _described(series: dict[str, list[DicomFile]]) -> str:
    if not series:
        return ""
    named = ", ".join(
        f"{text(files[0].dataset, 'SeriesDescription') or files[0].path.name} ({len(files)} files)"
        for files in list(series.values())[:4]
    )
    return f": {named}{' ...' if len(series) > 4 else ''}; put one into a folder of its own"


@contextmanager
def reading_header(path: Path, notes: list[str]) -> Iterator[None]:
    """Turns what pydicom, which parses a value on access, raises into an InputError that names the file.

    Its warnings are appended to `notes`.
    """
    try:
        with warnings_as_notes(notes):
            yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # pydicom raises ValueError, TypeError, NotImplementedError, BytesLengthException ...
        raise InputError(f"{path}: its header is damaged: {one_line(error)}") from None
