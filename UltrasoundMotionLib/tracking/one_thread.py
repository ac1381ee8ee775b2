"""Trackers work in one thread, whatever PyTorch is set to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """A block or, as `@one_thread()`, a function: patches are too small to share.

    Waiting for a busy second core made frames ten times slower.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
