"""The verbs of cases: which columns a manifest may have for each, and how a case becomes a command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_origin

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.settings import REQUIRED, Option, alternatives, options_of

DEFAULT_VERB = "track"
_YES, _NO = ("1", "true", "yes"), ("0", "false", "no")


@dataclass(frozen=True)
class CaseVerb:
    """A verb of the command line that a case can ask for.

    Attributes:
        name: of the verb.
        requests: the dataclasses whose options are columns, as `module:class`.
        outputs: names of files in the case's folder, by the argument that takes them.
        labelled: further outputs, of cases that have `moving_labels`.
    """

    name: str
    requests: tuple[str, ...]
    outputs: Mapping[str, str]
    labelled: Mapping[str, str]

    def options(self) -> dict[str, Option]:
        """Returns the options by the names of their columns."""
        found: dict[str, Option] = {}
        for request in self.requests:
            module, _, kind = request.partition(":")
            for one in options_of(getattr(import_module(f"UltrasoundMotionLib.{module}"), kind)):
                if one.on_command_line:
                    found[one.name] = one
        return found


VERBS = {
    one.name: one
    for one in (
        CaseVerb("track", ("cli.track:TrackInputs", "tracking.request:TrackRequest"), {"--out": "tracks.csv"}, {}),
        CaseVerb(
            "strain",
            ("cli.strain:StrainInputs", "strain.request:StrainRequest"),
            {"--out": "strain.csv", "--report": "strain.json"},
            {},
        ),
        CaseVerb(
            "register",
            ("cli.register:RegisterInputs", "registration.request:RegisterRequest"),
            {"--out-displacement": "displacement.nrrd", "--report": "report.json"},
            {"--out-labels": "labels.nii.gz"},
        ),
    )
}


def option_words(one: Option, text: str, base: Path) -> tuple[list[str], list[Path]]:
    """Returns the words of the command line for the value of a column, and the files among them.

    Args:
        text: of the cell, not empty; several numbers are divided by spaces, several files or names by semicolons.
        base: folder that relative paths start from.

    Raises:
        InputError: a switch that is neither yes nor no, or a file that does not exist.
    """
    kinds = [kind for kind in alternatives(one.kind) if kind is not type(None)]
    if kinds == [bool]:
        if text.lower() not in _YES + _NO:
            raise InputError(f"{one.name} must be yes or no, got {text!r}")
        wanted = text.lower() in _YES
        if one.negative_flag:
            return ([] if wanted else [one.negative_flag]), []
        if type(None) in alternatives(one.kind):
            return [one.command_flag if wanted else one.command_flag.replace("--", "--no-", 1)], []
        return ([one.command_flag] if wanted else []), []
    inner = _inner(kinds)
    values = [text]
    if inner is Path or (_several(kinds) and inner is str):
        values = [part.strip() for part in text.split(";")]
    elif _several(kinds):
        values = text.split()
    files = []
    if inner is Path and one.name != "weights":
        files = [base / value for value in values]
        missing = next((file for file in files if not file.exists()), None)
        if missing is not None:
            raise InputError(f"{one.name}: {missing}: no such file")
        values = [str(file) for file in files]
    elif inner is Path and (base / text).is_file():  # weights may also be a name
        files = [base / text]
        values = [str(base / text)]
    positional = one.flag is not None and not one.flag.startswith("-")
    return (values if positional else [one.command_flag, *values]), files


def missing_columns(verb: CaseVerb, given: Mapping[str, Any]) -> list[str]:
    """Returns the columns that a verb needs and a case lacks."""
    return [one.name for one in verb.options().values() if one.default is REQUIRED and not given.get(one.name)]


def _several(kinds: list[Any]) -> bool:
    return any(get_origin(kind) is tuple for kind in kinds)


def _inner(kinds: list[Any]) -> Any:
    if Path in kinds:
        return Path
    tuples = [kind for kind in kinds if get_origin(kind) is tuple]
    return get_args(tuples[0])[0] if tuples else kinds[0]
