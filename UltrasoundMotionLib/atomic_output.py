"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from UltrasoundMotionLib.errors import OutputError


def check_output_path(path: str | Path) -> Path:
    """Returns `path` when a file can be written there, so that long work can be refused before it starts.

    Raises:
        OutputError: the folder does not exist, cannot be written to, or `path` is a folder.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist")
    if path.is_dir():
        raise OutputError(f"{path}: is a folder, expected a file name")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"{path}: the folder {path.parent} cannot be written to")
    return path


@contextmanager
def atomic_output(path: str | Path) -> Iterator[Path]:
    """Yields a temporary name beside `path`, with the same endings, and renames it to `path` when the block ends
    without an error.

    After an error, an interruption included, the temporary file is removed and `path` is as it was before.

    Raises:
        OutputError: see `check_output_path`; or the system refuses to write.
    """
    path = check_output_path(path)
    temporary = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        yield temporary
        if not temporary.exists():
            raise OutputError(f"{path}: nothing was written")
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
