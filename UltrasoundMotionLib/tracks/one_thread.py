"""Trackers work in one thread, whatever PyTorch is set to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """For a `with` block or as a decorator: patches are too small to share. On two busy cores waiting for the second made a frame ten times slower."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
