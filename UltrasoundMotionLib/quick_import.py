"""Imports during which Python's garbage collector rests, in a process that runs one command.

`import torch` makes 150,000 objects that all stay. The collector looks through them at every 700 new ones, and again
while the command works: a tenth of the processor time of a short run.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module

TYPE_CHECKING = False  # as `typing` has it, whose import would be half of the time before signals are handled
if TYPE_CHECKING:
    from types import ModuleType

_rests = False


def rest_collector_during_imports() -> None:
    """Makes the collector rest during the imports of `import_quickly` from now on.

    Not for a program that lives on: a reference cycle that exists when an import ends is never collected.
    """
    global _rests  # noqa: PLW0603
    _rests = True


def import_quickly(name: str) -> ModuleType:
    """Imports a module by its full name; what then exists is left out of later collections."""
    if not _rests or name in sys.modules or not gc.isenabled():
        return import_module(name)
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.freeze()
        gc.enable()
