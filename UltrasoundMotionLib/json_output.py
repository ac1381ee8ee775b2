"""JSON reports; NaN and infinity, which JSON does not have, become null."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from UltrasoundMotionLib.atomic_output import write_text_file


def finite(value: Any) -> Any:
    """Replaces NaN and infinity by None, tuples by lists and keys by text."""
    if isinstance(value, dict):
        return {str(key): finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def write_json(path: str | Path, content: dict) -> None:
    """Writes a report atomically; a number that is not finite becomes null.

    Raises:
        OutputError: as `atomic_output`.
    """
    write_text_file(path, json.dumps(finite(content), indent=2, allow_nan=False) + "\n")
