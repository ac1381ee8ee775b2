"""ITK's warnings as notes: they come from C++, past Python's own filters, and would reach the terminal unread."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

_MOST = 3


@contextmanager
def itk_warnings_as_notes(notes: list[str]) -> Iterator[None]:
    """Appends the different warnings that ITK gives inside the block to `notes`, one line each, at most three."""
    import SimpleITK as sitk

    class Collector(sitk.LoggerBase):
        """Keeps ITK's warnings, each once."""

        def __init__(self) -> None:
            super().__init__()
            self.lines: dict[str, None] = {}

        def DisplayWarningText(self, text: str) -> None:  # noqa: N802  SimpleITK's name
            self.lines[_one_line(text)] = None

        def DisplayText(self, text: str) -> None:  # noqa: N802
            self.DisplayWarningText(text)

        def DisplayErrorText(self, text: str) -> None:  # noqa: N802
            """An error is raised as an exception as well."""

        def DisplayGenericOutputText(self, text: str) -> None:  # noqa: N802
            self.DisplayWarningText(text)

        def DisplayDebugText(self, text: str) -> None:  # noqa: N802
            """Nothing for a user."""

    collector = Collector()
    previous = collector.SetAsGlobalITKLogger()
    try:
        yield
    finally:
        previous.SetAsGlobalITKLogger()
    notes += list(collector.lines)[:_MOST]


def _one_line(text: str) -> str:
    """Returns a warning without the place in ITK's source, the address of its object and the file's path."""
    words = re.sub(r"^WARNING: In .*, line \d+\n", "", text.strip())
    words = re.sub(r"^\w+ \(0x[0-9a-f]+\): (\S*/\S* )?", "", words)
    return f"ITK: {' '.join(words.split())[:200]}"
