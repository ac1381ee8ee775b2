"""Settings (frozen dataclasses) as what fits in JSON, and back.

The application may give the plain form, since the classes may need torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from UltrasoundMotionLib.errors import InputError


def plain_settings(settings: Any) -> dict[str, Any] | None:
    """Of a dataclass or a mapping from its names to values; None stays.

    Raises:
        InputError: neither.
    """
    if settings is None:
        return None
    if is_dataclass(settings) and not isinstance(settings, type):
        return asdict(settings)
    if isinstance(settings, Mapping):
        return dict(settings)
    raise InputError(f"config: expected settings by name, got {type(settings).__name__}")


def settings_from(kind: type, values: Mapping[str, Any]) -> Any:
    """The dataclass from its plain form; what is not named keeps its default.

    Raises:
        InputError: a name that it does not have, or whatever it says to the values.
    """
    known = {one.name for one in fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise InputError(f"config: {kind.__name__} has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    defaults = kind()
    return kind(**{name: _fitting(getattr(defaults, name), value) for name, value in values.items()})


def _fitting(default: Any, value: Any) -> Any:
    if isinstance(value, Mapping) and is_dataclass(default):
        return settings_from(type(default), value)
    return tuple(_fitting(None, one) for one in value) if isinstance(value, list) else value
