"""SimpleITK's errors in one line."""

from __future__ import annotations


def last_line(error: RuntimeError) -> str:
    """Returns SimpleITK's reason without the lines that name its source files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "unknown reason"
