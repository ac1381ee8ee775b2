"""Requests on the command line: their options as arguments of a parser, and a request as the words that repeat it."""

from __future__ import annotations

import argparse
import math
import typing
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from UltrasoundMotionLib.errors import InputError, OptionError
from UltrasoundMotionLib.settings import REQUIRED, Option, alternatives, options_of

T = TypeVar("T")

_LARGEST_NUMBER = 1e9


def add_arguments(parser: argparse.ArgumentParser, kind: type, *, only: Sequence[str] | None = None) -> None:
    """Adds an argument for each option of a request that the command line has, or for some of them by name."""
    for one in options_of(kind):
        if one.on_command_line and (only is None or one.name in only):
            _add_argument(parser, one)


def from_arguments(kind: type[T], arguments: argparse.Namespace, **given: Any) -> T:
    """The request that the arguments ask for; `given` options take precedence.

    Raises:
        InputError: a value that the request refuses; the message names the argument.
    """
    held = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    values = {
        one.name: getattr(arguments, one.name)
        for one in options_of(kind)
        if one.on_command_line and one.name in held and hasattr(arguments, one.name)
    }
    try:
        return kind(**{**values, **given})
    except OptionError as error:
        flags = {one.name: one.command_flag for one in options_of(kind)}
        raise InputError(f"{flags.get(error.option, error.option)}: {error.reason}") from error


def to_arguments(request: Any) -> tuple[str, ...]:
    """The words of the command line that ask for a request: options that differ from their defaults, and those always
    shown.
    """
    words: list[str] = []
    for one in options_of(type(request)):
        value = getattr(request, one.name)
        if not one.on_command_line or (value == one.default and not one.always_shown):
            continue
        words += _words(one, value)
    return tuple(words)


def _words(one: Option, value: Any) -> list[str]:
    positional = one.flag is not None and not one.flag.startswith("-")
    if isinstance(value, bool):
        if one.negative_flag:
            return [] if value else [one.negative_flag]
        if type(None) in alternatives(one.kind):
            return [one.command_flag if value else one.command_flag.replace("--", "--no-", 1)]
        return [one.command_flag] if value else []
    if value is None:
        return [one.command_flag, "none"] if one.parse is not None else []
    texts = [_text(single) for single in (value if isinstance(value, tuple) else (value,))]
    return texts if positional else [one.command_flag, *texts]


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def _add_argument(parser: argparse.ArgumentParser, one: Option) -> None:
    text = one.help.replace("%", "%%")
    kinds = [kind for kind in alternatives(one.kind) if kind is not type(None)]
    flag = one.command_flag
    positional = one.flag is not None and not one.flag.startswith("-")
    settings: dict[str, Any] = {"help": text}
    if not positional:
        settings["dest"] = one.name
    if kinds == [bool]:
        if type(None) in alternatives(one.kind):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=one.default, **settings)
        else:
            action = "store_false" if one.negative_flag else "store_true"
            parser.add_argument(flag, action=action, default=one.default, **settings)
        return
    if one.metavar is not None:
        settings["metavar"] = one.metavar
    elif allowed := one.allowed():
        settings["metavar"] = "|".join(map(str, allowed))
    several = [kind for kind in kinds if typing.get_origin(kind) is tuple]
    if several:
        inner = typing.get_args(several[0])
        settings["nargs"] = "+" if len(inner) == 2 and inner[1] is Ellipsis else len(inner)
        settings["type"] = one.parse or _parser_of(inner[0])
    else:
        settings["type"] = one.parse or _parser_of(kinds[0])
    if positional:
        parser.add_argument(one.name, **settings)
        return
    if one.default is REQUIRED or one.required:
        settings["required"] = True
    else:
        settings["default"] = one.default
    parser.add_argument(flag, **settings)


def _parser_of(kind: Any) -> Any:
    if kind in (int, float):
        return _number(kind)
    return Path if kind is Path else str


def _number(kind: type) -> Any:
    words = "a whole number" if kind is int else "a number"

    def parse(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected {words}, got {text!r}") from None

    return parse


def positive_number(text: str) -> float:
    """Parses an argument that must be a finite number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= _LARGEST_NUMBER:
        raise argparse.ArgumentTypeError(f"expected a number above 0, at most {_LARGEST_NUMBER:g}, got {text[:40]!r}")
    return value


def whole_number(text: str) -> int:
    """Parses an argument that must be a whole number above zero."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)


def _choice_or_number(*words: str) -> Any:
    """A parser of arguments that are one of some words or a whole number."""

    def parse(text: str) -> int | str:
        if text in words:
            return text
        try:
            return int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected a whole number or {' or '.join(words)}, got {text!r}") from None

    return parse


def command(verb: str, inputs: Sequence[Any], *requests: Any) -> tuple[str, ...]:
    """The whole command line that repeats a run: verb, input files, then the words of each request."""
    return ("ultrasound-motion", verb, *map(str, inputs), *(word for one in requests for word in to_arguments(one)))
