"""Keeps ITK's warnings (a NIfTI header that contradicts itself, for one) off the terminal: they come from C++, past
Python's own filters.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_itk_warnings() -> Iterator[None]:
    """Silences ITK's warnings while images are read; errors are raised as ever."""
    import SimpleITK as sitk

    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)
