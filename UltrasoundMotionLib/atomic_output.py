"""Atomic output: a file is written completely or not at all, and whether it can be is checked before long work.

A file is written under a temporary name beside its own, brought to the disk, read back, and only then renamed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from UltrasoundMotionLib.arguments import as_path
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.interrupts import before_sudden_end, raise_if_requested, uninterrupted
from UltrasoundMotionLib.process_state import is_alive

_LONGEST_NAME_BYTES = 255
_PARTIAL = re.compile(r"\.partial-(?P<host>[0-9a-f]{8})-(?P<pid>\d{1,10})-[0-9a-f]{8}(\..*)?")
_STALE_AFTER_S = 7 * 24 * 3600.0
_cleaned_folders: set[str] = set()
_unfinished: set[Path] = set()


def check_output_path(path: str | Path) -> Path:
    """Returns `path` if a file can be written there; called before long work starts.

    Raises:
        OutputError: the folder does not exist or cannot be written to; `path` is a folder, a device, a pipe or a file
            protected against writing; a name that is too long.
    """
    path = as_path(path)
    try:
        if len(os.fsencode(path.name)) > _LONGEST_NAME_BYTES:
            raise OutputError(
                f"{path}: the name is too long: {len(os.fsencode(path.name))} bytes, at most {_LONGEST_NAME_BYTES}"
            )
        if not path.parent.is_dir():
            raise OutputError(f"{path}: the folder {path.parent} does not exist")
        if path.is_dir():
            raise OutputError(f"{path}: is a folder, expected a file name")
        if path.exists():
            if not stat.S_ISREG(path.stat().st_mode):
                raise OutputError(f"{path}: is a device or a pipe, expected the name of a file")
            if not os.access(path, os.W_OK):
                raise OutputError(f"{path}: is protected against writing")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise OutputError(f"{path}: the folder {path.parent} cannot be written to")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise OutputError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from error
    return path


@contextmanager
def atomic_output(path: str | Path, *, read_back: Callable[[Path], object] | None = None) -> Iterator[Path]:
    """Yields a temporary path beside `path`, with the same suffixes, and renames it to `path` if the block succeeds.

    After an error or an interruption the temporary file is removed and `path` is unchanged. The temporary name is
    unlike that of any other thread, process or machine. What processes of this machine left when they were killed is
    removed.

    Args:
        path: the file, or folder, to write.
        read_back: called with the finished temporary file; an error that it raises means that the file is not whole.

    Raises:
        OutputError: as `check_output_path`; nothing was written; the system refuses to write; the file cannot be read
            back.
    """
    path = check_output_path(path)
    _clean_once(path.parent)
    temporary = path.with_name(_temporary_name(path.name))
    _unfinished.add(temporary)
    try:
        yield temporary
        if not temporary.exists():
            raise OutputError(f"{path}: nothing was written")
        _bring_to_disk(temporary)
        if read_back is not None:
            _read_back(path, temporary, read_back)
        raise_if_requested()
        temporary.replace(path)
        _bring_to_disk(path.parent)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with uninterrupted():
            _remove(temporary)
            _unfinished.discard(temporary)


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Yields a new hidden folder beside `path`, for a writer that needs the final name; it is removed at the end."""
    folder = path.with_name(_temporary_name(""))
    _unfinished.add(folder)
    try:
        folder.mkdir()
        yield folder
    finally:
        with uninterrupted():
            _remove(folder)
            _unfinished.discard(folder)


@contextmanager
def atomic_folder(path: Path, *, before: Path | None = None) -> Iterator[Path]:
    """Yields a new hidden folder beside `path`, which takes its name, and its place, if the block succeeds.

    After an error or an interruption the new folder is removed and `path` is unchanged.

    Args:
        before: where a folder that was there goes; it is removed when None.

    Raises:
        OutputError: the system refuses to write.
    """
    _clean_once(path.parent)
    temporary, replaced = (path.with_name(_temporary_name("")) for _ in range(2))
    _unfinished.update((temporary, replaced))
    try:
        temporary.mkdir()
        yield temporary
        _bring_to_disk(temporary)
        raise_if_requested()
        with uninterrupted():
            if path.exists():
                path.replace(before or replaced)
            temporary.replace(path)
        _bring_to_disk(path.parent)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with uninterrupted():
            for folder in (temporary, replaced):
                _remove(folder)
                _unfinished.discard(folder)


def bring_to_disk(path: Path) -> None:
    """Waits until the system has a file on its disk; a full one is said only now."""
    _sync(path, os.O_RDWR)


def write_text_file(path: str | Path, text: str) -> None:
    """Writes a text in UTF-8 atomically.

    Raises:
        OutputError: as `atomic_output`.
    """
    content = text.encode("utf-8", "surrogateescape")

    def check(temporary: Path) -> None:
        if temporary.read_bytes() != content:
            raise OutputError("other bytes than were written")

    with atomic_output(path, read_back=check) as temporary:
        temporary.write_bytes(content)


def _read_back(path: Path, temporary: Path, read_back: Callable[[Path], object]) -> None:
    try:
        read_back(temporary)
    except (InputError, OutputError, OSError) as error:
        reason = str(error).replace(f"{temporary}: ", "").replace(temporary.name, path.name)
        raise OutputError(
            f"{path}: what was written cannot be read back ({reason}); the disk may be full. Nothing was changed"
        ) from error


def _temporary_name(name: str) -> str:
    """Returns a name for the unfinished file: hidden, unlike any other, with the suffixes that writers look at."""
    suffixes = "".join(Path(name).suffixes[-2:])
    if len(os.fsencode(suffixes)) > 64:
        suffixes = Path(name).suffix if len(os.fsencode(Path(name).suffix)) <= 64 else ""
    return f".partial-{_host()}-{os.getpid()}-{secrets.token_hex(4)}{suffixes}"


def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _bring_to_disk(path: Path) -> None:
    """Waits until the system has a file (or the entries of a folder) on its disk; a full one is said only now."""
    if path.is_dir():
        if os.name == "posix":
            with suppress(OSError):  # not every file system can
                _sync(path, os.O_RDONLY)
        return
    bring_to_disk(path)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(temporary: Path) -> None:
    with suppress(OSError):
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def _remove_unfinished() -> None:
    for path in tuple(_unfinished):
        _remove(path)


before_sudden_end.append(_remove_unfinished)


def _clean_once(folder: Path) -> None:
    """Removes unfinished files that processes of this machine left in a folder; looks once in each folder."""
    key = str(folder.absolute())
    if key in _cleaned_folders:
        return
    _cleaned_folders.add(key)
    with suppress(OSError), os.scandir(folder) as entries:
        left = [Path(entry.path) for entry in entries if entry.name.startswith(".partial-") and _is_left(entry)]
        for path in left:
            _remove(path)


def _is_left(entry: os.DirEntry[str]) -> bool:
    match = _PARTIAL.fullmatch(entry.name)
    if match is None or match["host"] != _host():
        return False
    age_s = time.time() - entry.stat(follow_symlinks=False).st_mtime
    return not is_alive(int(match["pid"])) or age_s > _STALE_AFTER_S
