"""Rows of long ablations, one file each: what is done is not done again, and not mixed with what was done otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.json_output import write_json

Row = TypeVar("Row")


def kept_row(path: Path, settings: Mapping[str, object], row_class: type[Row], make: Callable[[], Row]) -> Row:
    """The row in a file; where there is none, the one that `make` makes, which is then written there.

    Args:
        settings: of the run, values that JSON has; a row is of one run only.
        row_class: a dataclass of values that JSON has.

    Raises:
        InputError: the file is not such a row, or of a run with other settings.
        OutputError: the file cannot be written.
    """
    if not path.exists():
        row = make()
        write_json(path, {"settings": dict(settings), "row": asdict(row)})
        return row
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        row, found = row_class(**content["row"]), content["settings"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no row of an ablation; give another folder as --out") from error
    if found != settings:
        raise InputError(
            f"{path}: is of a run with other settings ({found}) than asked for ({dict(settings)}); give another folder as --out"
        )
    return row
