"""The temporary folder of a job: large arrays as .npy files that both processes map, removed with the processes."""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from UltrasoundMotionLib.errors import Cancelled, InputError, OutputError
from UltrasoundMotionLib.process_state import is_alive

_PREFIX = "ultrasound-motion-jobs"
_CHUNK_BYTES = 1 << 22


class JobFolder:
    """A folder of arrays by name.

    A file appears under its final name only when its header and all its bytes have been written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def make(cls, path: Path) -> JobFolder:
        """Makes a new folder.

        Raises:
            OutputError: the folder cannot be made.
        """
        with _writing_to(path.parent):
            path.mkdir()
        return cls(path)

    def write(self, name: str, values: Any, stopped: Callable[[], bool] = lambda: False) -> None:
        """Writes an array, or a `FrameSource` one frame at a time.

        Args:
            stopped: called every few megabytes; when it returns True the writing ends.

        Raises:
            OutputError: the disk is full or the folder cannot be written to.
            Cancelled: `stopped` returned True.
            InputError: an array of Python objects, or of frames that differ in size.
        """
        self._write(name, tuple(values.shape), np.dtype(values.dtype), _chunks(name, values), stopped)

    def create(self, name: str, shape: tuple[int, ...], dtype: Any, fill: Any) -> np.memmap:
        """Creates a mapped array that is filled from now on, visibly to the other process.

        Its disk space is taken at once, so that a full disk is noticed here.

        Raises:
            OutputError: the disk is full or the folder cannot be written to.
        """
        dtype = np.dtype(dtype)
        chunk = np.full(max(1, _CHUNK_BYTES // dtype.itemsize), fill, dtype)
        count = int(np.prod(shape))
        chunks = (chunk[: min(len(chunk), count - start)] for start in range(0, count, len(chunk)))
        self._write(name, shape, dtype, chunks)
        return np.load(self._file(name), mmap_mode="r+")

    def has(self, name: str) -> bool:
        """Returns True if an array has been written."""
        return self._file(name).exists()

    def open(self, name: str) -> np.ndarray:
        """Maps an array that has been written; changes to it stay private to this process."""
        return np.load(self._file(name), mmap_mode="c", allow_pickle=False)

    def read(self, name: str) -> np.ndarray:
        """Reads an array that has been written into memory."""
        return np.load(self._file(name), allow_pickle=False)

    def required(self, name: str, *, in_memory: bool = True) -> np.ndarray:
        """Reads, or only maps, an array that must have been written.

        Raises:
            OutputError: it is not there.
        """
        values = self.read(name) if in_memory else self.open(name)
        if values is None:
            raise OutputError(f"{self._file(name)}: the job's data are gone")
        return values

    def remove(self) -> None:
        """Removes the folder and everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _write(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype,
        chunks: Iterator[np.ndarray],
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        path = self._file(name)
        unfinished = path.with_suffix(".unfinished")
        with _writing_to(self.path):
            try:
                with unfinished.open("wb") as file:
                    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(file, header)
                    _write_chunks(file, chunks, stopped)
                unfinished.replace(path)
            finally:
                unfinished.unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.npy"


def _chunks(name: str, values: Any) -> Iterator[np.ndarray]:
    """Yields the elements in C order, a few megabytes or one frame at a time."""
    if np.dtype(values.dtype).hasobject:
        raise InputError(f"{name}: expected numbers, got an array of {values.dtype}")
    if isinstance(values, np.ndarray) and values.flags.c_contiguous:
        flat = values.reshape(-1)
        step = max(1, _CHUNK_BYTES // values.dtype.itemsize)
        for start in range(0, len(flat), step):
            yield flat[start : start + step]
        return
    for index in range(values.shape[0]):
        one = np.ascontiguousarray(values[index], dtype=values.dtype)
        if one.shape != tuple(values.shape[1:]):
            raise InputError(f"{name}: frame {index} has shape {one.shape}, expected {tuple(values.shape[1:])}")
        yield one


def _write_chunks(file: BinaryIO, chunks: Iterator[np.ndarray], stopped: Callable[[], bool]) -> None:
    for chunk in chunks:
        if stopped():
            raise Cancelled("cancelled while its data were written")
        file.write(chunk.reshape(-1).view(np.uint8).data)


@contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """Turns a system error during writing into an OutputError that names the folder."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{folder}: the job's data cannot be written: {error.strerror or error};"
            " make room there, or set TMPDIR to a folder on a larger disk"
        ) from error


def make_root(parent: Path | None = None) -> Path:
    """Makes a folder for the jobs of this process, and removes the folders of processes that are gone.

    Args:
        parent: the folder to make it in; the system's temporary folder when None.

    Raises:
        OutputError: the folder cannot be made.
    """
    parent = Path(parent or tempfile.gettempdir())
    _remove_stale_folders(parent)
    with _writing_to(parent):
        return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}-{_host()}-{os.getpid()}-", dir=parent))


def _remove_stale_folders(parent: Path) -> None:
    """Removes the folders that processes of this machine left behind when they died."""
    for path in parent.glob(f"{_PREFIX}-{_host()}-*-*"):
        pid = path.name.removeprefix(f"{_PREFIX}-{_host()}-").split("-", maxsplit=1)[0]
        if pid.isdigit() and not is_alive(int(pid)):
            shutil.rmtree(path, ignore_errors=True)


def _host() -> str:
    """The machine's name as part of a folder's: containers may share a temporary folder but not each other's pids."""
    return re.sub(r"[^A-Za-z0-9]", "", platform.node())[:32] or "host"
