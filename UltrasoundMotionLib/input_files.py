"""Input files before they are opened: no pipe that would wait for ever, no text without end."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from UltrasoundMotionLib.errors import InputError

_LONGEST_TEXT_BYTES = 2**30
_LONGEST_JSON_BYTES = 2**28


def is_folder(path: Path) -> bool:
    """Returns True for a folder; False where the system does not say."""
    try:
        return path.is_dir()
    except OSError:  # a name that is too long
        return False


def check_regular_file(path: Path, *, may_be_empty: bool = False) -> None:
    """Checks that a path is a file with content, without opening it: a pipe would wait for its writer.

    Raises:
        InputError: missing, a pipe or a device, empty, or one that may not be read.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such file or folder") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path}: is a folder, expected a file")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: is a pipe or a device, expected a file")
    if status.st_size == 0 and not may_be_empty:
        raise InputError(f"{path}: is empty")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: cannot be read: permission denied")


def read_text_file(path: Path, *, encoding: str = "utf-8", longest: int = _LONGEST_TEXT_BYTES) -> str:
    """Reads a text file.

    Raises:
        InputError: as `check_regular_file`; too large for a file of its kind, or not text.
    """
    check_regular_file(path, may_be_empty=True)
    try:
        size = path.stat().st_size
        if size > longest:
            raise InputError(f"{path}: has {size} bytes, at most {longest} are read; is it the right file?")
        return path.read_text(encoding=encoding)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not a text file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_json_file(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        InputError: as `read_text_file`; not JSON, or nested too deeply.
    """
    text = read_text_file(path, encoding="utf-8-sig", longest=_LONGEST_JSON_BYTES)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {error.lineno}: is not valid JSON: {error.msg}") from error
    except ValueError as error:  # a number of thousands of digits
        raise InputError(f"{path}: is not valid JSON: {str(error).splitlines()[0]}") from error
    except RecursionError:
        raise InputError(f"{path}: is not valid JSON: nested too deeply") from None
