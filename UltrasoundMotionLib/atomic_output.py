"""Atomic output: a file is written completely or not at all, and whether it can be is checked before long work."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from UltrasoundMotionLib.errors import OutputError


def check_output_path(path: str | Path) -> Path:
    """Returns `path` if a file can be written there; called before long work starts.

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


def check_outputs(
    named: Iterable[tuple[str, Path]], endings: Mapping[str, tuple[str, ...]], inputs: Iterable[Path] = ()
) -> None:
    """Checks (name, path) of every file to write.

    Args:
        endings: that each name may have, in lower case.
        inputs: files that must not be overwritten.

    Raises:
        OutputError: a wrong ending, a folder that is missing or cannot be written to, one name for two files or for an
            input.
    """
    taken = {path.resolve(): "an input" for path in inputs}
    for name, path in named:
        if not path.name.lower().endswith(endings[name]):
            raise OutputError(f"{path}: the {name} file must end in {' or '.join(endings[name])}")
        check_output_path(path)
        if path.resolve() in taken:
            raise OutputError(f"{path}: the {name} file would overwrite {taken[path.resolve()]}")
        taken[path.resolve()] = f"the {name} file"


@contextmanager
def atomic_output(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, with the same suffixes, and renames it to `path` if the block succeeds.

    After an error or an interruption the temporary file is removed and `path` is unchanged.

    Raises:
        OutputError: as `check_output_path`; nothing was written; the system refuses to write.
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
