"""Options of a request as keywords of a logic's methods, in the library's spelling or in Slicer's: `hide_graphics` or
`hideGraphics`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.settings import options_of

R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True)
class GivenOptions(Generic[R]):
    """The options that a caller gave.

    Attributes:
        kind: the request's class.
        base: a request to start from, or None.
        given: options by the library's names.
        defaults: of the method, where they differ from the request's.
    """

    kind: type[R]
    base: R | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def request(self, **fallbacks: Any) -> R:
        """Makes the request.

        Args:
            fallbacks: values of options that were not given, or given as None.

        Raises:
            InputError: a value that an option cannot take.
        """
        given = {name: value for name, value in self.given.items() if value is not None or name not in fallbacks}
        if self.base is not None:
            return replace(self.base, **given)  # type: ignore[type-var]
        defaults = {name: value for name, value in self.defaults.items() if value is not None}
        return self.kind(**{**defaults, **fallbacks, **given})


def takesOptions(
    kind: type, *, spelled: Mapping[str, str] | None = None, excluded: Sequence[str] = (), **defaults: Any
) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Decorator of a method that has a parameter `options` of the type `GivenOptions`: its callers give the fields of a
    request as keywords, or a whole request as `request`.

    Args:
        kind: the request's class.
        spelled: the library's names by other spellings; camelCase is always accepted.
        excluded: fields that are no keywords, as the method has its own parameters for them.
        defaults: defaults of the method, where they differ from the request's.
    """
    names = {one.name: one for one in options_of(kind) if one.name not in excluded}
    spellings = {_camelCase(name): name for name in names} | dict(spelled or {})

    def decorate(method: Callable[..., T]) -> Callable[..., T]:
        """Returns the method with the options in its signature."""

        @functools.wraps(method)
        def call(*arguments: Any, request: Any = None, **keywords: Any) -> T:
            """Gathers the keywords that are options and calls the method with them."""
            if request is not None and not isinstance(request, kind):
                raise InputError(f"request: expected {kind.__name__}, got {type(request).__name__}")
            given: dict[str, Any] = {}
            for keyword in [one for one in keywords if one in names or one in spellings]:
                name = spellings.get(keyword, keyword)
                if name in given:
                    raise InputError(f"{keyword}: is given twice, in two spellings")
                given[name] = keywords.pop(keyword)
            return method(*arguments, options=GivenOptions(kind, request, given, defaults), **keywords)

        signature, keyword = inspect.signature(method), inspect.Parameter.KEYWORD_ONLY
        own = [one for one in signature.parameters.values() if one.name != "options"]
        options = [
            inspect.Parameter(name, keyword, default=defaults.get(name, one.default), annotation=one.kind)
            for name, one in names.items()
        ]
        last = inspect.Parameter("request", keyword, default=None, annotation=kind)
        call.__signature__ = signature.replace(parameters=[*own, *options, last])  # type: ignore[attr-defined]
        return call

    return decorate


def _camelCase(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)
