"""Finds out before long work whether every file of a verb can be written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from UltrasoundMotionLib.atomic_output import check_output_path
from UltrasoundMotionLib.errors import OutputError


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
