"""Decompression of gzip, zlib and bzip2 streams in small steps, with their checksums compared."""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from UltrasoundMotionLib.errors import InputError

LARGEST_STEP_BYTES = 2**22
_CHUNK_BYTES = 2**16


def decompress_stream(named: Path, file: BinaryIO, encoding: str) -> Iterator[bytes]:
    """Yields what a compressed file holds, at most 4 MB at a time; the checksums of its members are compared."""
    try:
        decompress = _decompress_bzip2 if encoding == "bzip2" else _decompress_deflate
        yield from decompress(file)
    except (zlib.error, OSError, EOFError) as error:
        raise InputError(f"{named}: its compressed pixels are damaged or truncated: {error}") from error


def _decompress_deflate(file: BinaryIO) -> Iterator[bytes]:
    detecting = zlib.MAX_WBITS | 32  # zlib and gzip headers
    decompressor = zlib.decompressobj(wbits=detecting)
    while compressed := file.read(_CHUNK_BYTES):
        while compressed:
            if decompressor.eof:  # a gzip file may have several members, and zeros after them
                compressed = compressed.lstrip(b"\0")
                if not compressed:
                    break
                decompressor = zlib.decompressobj(wbits=detecting)
            yield decompressor.decompress(compressed, LARGEST_STEP_BYTES)
            compressed = decompressor.unused_data if decompressor.eof else decompressor.unconsumed_tail
    if not decompressor.eof:
        yield decompressor.flush()
    if not decompressor.eof:
        raise EOFError("it ends before its last byte")


def _decompress_bzip2(file: BinaryIO) -> Iterator[bytes]:
    decompressor = bz2.BZ2Decompressor()
    while compressed := file.read(_CHUNK_BYTES):
        while compressed or not (decompressor.eof or decompressor.needs_input):
            if decompressor.eof:
                decompressor = bz2.BZ2Decompressor()
            yield decompressor.decompress(compressed, LARGEST_STEP_BYTES)
            compressed = decompressor.unused_data if decompressor.eof else b""
    if not decompressor.eof:
        raise EOFError("it ends before its last byte")
