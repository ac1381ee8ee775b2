"""Options declared once: the fields of a frozen dataclass become command-line arguments, JSON and Python keywords.

    @dataclass(frozen=True)
    class TrackRequest:
        model: str = option("lucas-kanade", help="tracker")
        ahead_frames: int = option(0, minimum=0, unit="frames", help="predict each point so many frames ahead")

        def __post_init__(self) -> None:
            check_options(self)

`to_plain` and `from_plain` are the one way from settings to JSON and back.
"""

from __future__ import annotations

import functools
import inspect
import operator
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from UltrasoundMotionLib.errors import InputError, OptionError

T = TypeVar("T")
S = TypeVar("S", bound=Any)

_KEY = "option"
_LARGEST_NUMBER = sys.maxsize

REQUIRED: Any = inspect.Parameter.empty
"""The default of an option that must be given."""


@dataclass(frozen=True)
class Option:
    """One field of a request or of settings.

    Attributes:
        name: of the field; the command line spells it with hyphens unless `flag` is given.
        kind: its type.
        default: its value where nothing is asked for; `REQUIRED` where it must be given.
        help: one line for users, without the unit and the default.
        unit: of a number ("mm", "frames").
        choices: the values allowed, or a function that gives them.
        minimum, above: a number must be at least, or more than, this.
        flag: of the command line; None: derived from the name.
        negative_flag: of a switch that is on by default: the flag that turns it off.
        metavar: what stands for the value in the command line's help.
        parse: from the text of the command line; None: by the type.
        on_command_line: whether the command line has it.
        required: the command line asks for it, though the dataclass has a default.
        always_shown: the command that repeats a run names it even where it is the default.
    """

    name: str = ""
    kind: Any = str
    default: Any = REQUIRED
    help: str = ""
    unit: str = ""
    choices: tuple[Any, ...] | Callable[[], tuple[Any, ...]] = ()
    minimum: float | None = None
    above: float | None = None
    flag: str | None = None
    negative_flag: str | None = None
    metavar: Any = None
    parse: Callable[[str], Any] | None = None
    on_command_line: bool = True
    required: bool = False
    always_shown: bool = False

    @property
    def command_flag(self) -> str:
        """The flag on the command line, such as `--query-frame`."""
        return self.negative_flag or self.flag or f"--{self.name.replace('_', '-')}"

    def allowed(self) -> tuple[Any, ...]:
        """The values allowed; empty where any will do."""
        return self.choices() if callable(self.choices) else self.choices


def option(default: Any = MISSING, *, default_factory: Any = MISSING, **description: Any) -> Any:
    """Declares a dataclass field as an option; the keywords are the attributes of `Option`."""
    metadata = {_KEY: Option(**description)}
    if default_factory is not MISSING:
        return field(default_factory=default_factory, metadata=metadata)
    return field(default=default, metadata=metadata) if default is not MISSING else field(metadata=metadata)


def options_of(kind: type) -> tuple[Option, ...]:
    """The options of a dataclass, in the order of its fields; fields declared without `option` are left out."""
    return _options_of(kind)


@functools.cache
def _options_of(kind: Any) -> tuple[Option, ...]:
    hints = _hints(kind)
    found = []
    for one in fields(kind):
        if _KEY in one.metadata:
            default = one.default
            if one.default_factory is not MISSING:
                default = one.default_factory()
            default = REQUIRED if default is MISSING else default
            found.append(replace(one.metadata[_KEY], name=one.name, kind=hints.get(one.name, Any), default=default))
    return tuple(found)


def check_options(settings: Any) -> None:
    """Brings the options of a frozen dataclass into shape (lists to tuples, paths, numpy numbers) and checks them.

    Raises:
        OptionError: a value of another type, out of range or not among the choices.
    """
    for one in options_of(type(settings)):
        value = _fitted(one, getattr(settings, one.name))
        object.__setattr__(settings, one.name, value)
        if value is None:
            continue
        allowed = one.allowed()
        if allowed:
            for single in value if isinstance(value, tuple) else (value,):
                if single not in allowed:
                    raise OptionError(one.name, f"expected one of {', '.join(map(str, allowed))}, got {single!r}")
        for number in value if isinstance(value, tuple) else (value,):
            _check_range(one, number)


def to_plain(value: Any) -> Any:
    """Settings as what JSON holds: dataclasses become mappings, tuples and arrays lists, paths text.

    Raises:
        InputError: something that JSON has no form for.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: to_plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): to_plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(one) for one in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise InputError(f"settings: {type(value).__name__} has no form in JSON")


def from_plain(kind: type[T], values: Mapping[str, Any] | T) -> T:
    """The dataclass from its plain form; fields that are not named keep their defaults, lists become tuples.

    Raises:
        InputError: no mapping, a name that the dataclass does not have or one that it needs, or whatever it says to
            the values.
    """
    if isinstance(values, kind):
        return values
    if not isinstance(values, Mapping):
        raise InputError(f"{kind.__name__}: expected settings by name, got {type(values).__name__}")
    known = {one.name: one for one in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - set(known)):
        raise InputError(f"{kind.__name__} has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    hints = _hints(kind)
    given = {name: _from_plain(value, hints.get(name), known[name]) for name, value in values.items()}
    missing = [
        name
        for name, one in known.items()
        if name not in given and one.init and one.default is MISSING and one.default_factory is MISSING
    ]
    if missing:
        raise InputError(f"{kind.__name__} needs {', '.join(missing)}")
    return kind(**given)


def with_changes(settings: S, changes: Mapping[str, Any] | None) -> S:
    """The settings with some of them changed; a mapping changes nested settings by name.

    Raises:
        InputError: a name that the settings do not have, or whatever they say to the values.
    """
    if not changes:
        return settings
    known = {one.name: one for one in fields(settings)}
    if unknown := sorted(set(changes) - set(known)):
        name = type(settings).__name__
        raise InputError(f"{name} has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    hints = _hints(type(settings))
    given = {}
    for name, value in changes.items():
        before = getattr(settings, name)
        if isinstance(value, Mapping) and is_dataclass(before):
            given[name] = with_changes(before, value)
        else:
            given[name] = _from_plain(value, hints.get(name), known[name])
    changed: S = replace(settings, **given)
    return changed


def takes_request(kind: type[Any]) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Decorator: the fields of a request become keyword options of a function that has a parameter `request`.

    The function may be called with `request=`, with options by name, or with both: the names then change the request.
    """
    names = [one.name for one in options_of(kind)]

    def decorate(function: Callable[..., T]) -> Callable[..., T]:
        """Returns the function with the options in its signature."""

        @functools.wraps(function)
        def call(*arguments: Any, request: Any = None, **keywords: Any) -> T:
            """Gathers the keywords that are options into the request and calls the function with it."""
            given = {name: keywords.pop(name) for name in names if name in keywords}
            if request is None:
                request = kind(**given)
            elif not isinstance(request, kind):
                raise InputError(f"request: expected {kind.__name__}, got {type(request).__name__}")
            elif given:
                request = replace(request, **given)
            return function(*arguments, request=request, **keywords)

        signature = inspect.signature(function)
        own = [one for one in signature.parameters.values() if one.name != "request"]
        rest = [one for one in own if one.kind is inspect.Parameter.VAR_KEYWORD]
        own = [one for one in own if one not in rest]
        keyword = inspect.Parameter.KEYWORD_ONLY
        options = [
            inspect.Parameter(one.name, keyword, default=one.default, annotation=one.kind) for one in options_of(kind)
        ]
        last = [inspect.Parameter("request", keyword, default=None, annotation=kind)]
        call.__signature__ = signature.replace(parameters=[*own, *options, *last, *rest])  # type: ignore[attr-defined]
        return call

    return decorate


def _hints(kind: type) -> dict[str, Any]:
    """Types of the fields; empty where they name what is imported for type checkers only."""
    try:
        return typing.get_type_hints(kind)  # each base's in the names of its own module
    except NameError:
        return {}


def _from_plain(value: Any, hint: Any, one: Any) -> Any:
    if isinstance(value, Mapping):
        for inner in (*typing.get_args(hint), hint):
            if isinstance(inner, type) and is_dataclass(inner):
                return from_plain(inner, value)
        default = one.default_factory() if one.default_factory is not MISSING else one.default
        return from_plain(type(default), value) if is_dataclass(default) else {k: _tuples(v) for k, v in value.items()}
    return _tuples(value)


def _tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _tuples(one) for name, one in value.items()}
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The types of a union, or the type itself."""
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _fitted(one: Option, value: Any) -> Any:
    kinds = alternatives(one.kind)
    if value is None and type(None) in kinds:
        return None
    for kind in kinds:
        try:
            return _as_kind(value, kind)
        except (TypeError, ValueError):
            continue
    raise OptionError(one.name, f"expected {_in_words(one)}, got {value!r}")


def _as_kind(value: Any, kind: Any) -> Any:
    """The value as a type; raises TypeError or ValueError where it is none."""
    if kind is Any:
        return value
    if typing.get_origin(kind) is tuple:
        return _as_tuple(value, typing.get_args(kind))
    if kind in _CONVERTERS:
        return _CONVERTERS[kind](value)
    if not isinstance(value, typing.get_origin(kind) or kind):
        raise TypeError
    return value


def _as_tuple(value: Any, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise TypeError
    values = tuple(value)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_as_kind(single, kinds[0]) for single in values)
    return tuple(_as_kind(single, kind) for single, kind in zip(values, kinds, strict=True))


def _as_truth(value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise TypeError
    return bool(value)


def _as_whole(value: Any) -> int:
    if isinstance(value, bool | np.bool_):
        raise TypeError
    return operator.index(value)


def _as_number(value: Any) -> float:
    if isinstance(value, bool | np.bool_ | str) or not np.isscalar(value):
        raise TypeError
    return float(value)  # type: ignore[arg-type]


def _as_path(value: Any) -> Path:
    if not isinstance(value, str | Path):
        raise TypeError
    return Path(value)


_CONVERTERS: dict[Any, Callable[[Any], Any]] = {
    bool: _as_truth,
    int: _as_whole,
    float: _as_number,
    Path: _as_path,
}


def _check_range(one: Option, number: Any) -> None:
    if isinstance(number, bool) or not isinstance(number, int | float):
        return
    low = (one.minimum is not None and number < one.minimum) or (one.above is not None and number <= one.above)
    if low or not -_LARGEST_NUMBER <= number <= _LARGEST_NUMBER:
        shown = f"{number:g}" if isinstance(number, float) or abs(number) < sys.maxsize else str(number)[:40]
        raise OptionError(one.name, f"expected {_in_words(one)}, got {shown}")


def _in_words(one: Option) -> str:
    """The values an option takes, for messages."""
    if allowed := one.allowed():
        return f"one of {', '.join(map(str, allowed))}"
    words = []
    for kind in alternatives(one.kind):
        origin, inner = typing.get_origin(kind), typing.get_args(kind)
        if origin is tuple:
            several = len(inner) == 2 and inner[1] is Ellipsis
            words.append(f"{_noun(inner[0], True)}" if several else f"{len(inner)} {_noun(inner[0], True)}")
        elif kind is not type(None):
            words.append(_noun(kind, False))
    text = " or ".join(dict.fromkeys(words))
    text += f" in {one.unit}" if one.unit else ""
    if one.minimum is not None:
        text += f" from {one.minimum:g} on"
    return text + (f" above {one.above:g}" if one.above is not None else "")


def _noun(kind: Any, several: bool) -> str:
    one, many = {
        int: ("a whole number", "whole numbers"),
        float: ("a number", "numbers"),
        bool: ("True or False", "truth values"),
        str: ("a text", "texts"),
        Path: ("a path", "paths"),
    }.get(kind, (getattr(kind, "__name__", str(kind)), getattr(kind, "__name__", str(kind))))
    return many if several else one
