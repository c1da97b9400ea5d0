"""`setting()`: the one place where a hyperparameter's default, unit, range and search range are written."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from holdfast.core.errors import HoldfastError


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is known of one hyperparameter besides its default.

    `low` and `high` are inclusive bounds of what is accepted; `search` is the (low, high) a tuner should look in,
    and `log` says on which scale. `choices` lists the accepted words of a categorical setting.
    """

    unit: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str | bool, ...] = ()
    search: tuple[float, float] | None = None
    log: bool = False
    integer: bool = False


def setting(
    default: Any = dataclasses.MISSING,
    *,
    unit: str,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str | bool, ...] = (),
    search: tuple[float, float] | None = None,
    log: bool = False,
    integer: bool = False,
) -> Any:
    """Returns a dataclass field for a hyperparameter of a method; `unit` is mandatory ("1" for a pure number)."""
    about = Setting(unit, low, high, choices, search, log, integer)
    return dataclasses.field(default=default, metadata={"setting": about})


def settings_of(cls: Any) -> dict[str, Setting]:
    """Returns the `Setting` of every hyperparameter of a method class, by field name."""
    return {f.name: f.metadata["setting"] for f in dataclasses.fields(cls) if "setting" in f.metadata}


def check_settings(method: Any) -> None:
    """Raises `HoldfastError` naming the method, the setting, the value given and the accepted range."""
    defaults = {field.name: field.default for field in dataclasses.fields(method)}
    for name, about in settings_of(method).items():
        value = getattr(method, name)
        if value is None and defaults[name] is None:
            continue
        if accepted := _accepted(value, about, defaults[name]):
            raise HoldfastError(f"{type(method).__name__}({name}={value!r}): {accepted}.")


def _accepted(value: Any, about: Setting, default: Any) -> str:
    """Returns what a setting accepts, if a value is not among it; else nothing."""
    if about.choices:
        return "" if value in about.choices else f"choose one of {', '.join(map(repr, about.choices))}"
    if about.low is None and about.high is None:
        return f"give text ({about.unit})" if isinstance(default, str) and not isinstance(value, str) else ""
    if _is_number(value, about.integer) and _is_inside(value, about):
        return ""
    kind = "a whole number" if about.integer else "a number"
    unit = "" if about.unit == "1" else f" ({about.unit})"
    return f"give {kind} {_range(about)}{unit}"


def _is_number(value: object, integer: bool) -> bool:
    """Whether a value is a finite number, whole if it must be; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, int if integer else (int, float)):
        return False
    return isinstance(value, int) or math.isfinite(value)  # an int may be too large for a float


def _is_inside(value: float, about: Setting) -> bool:
    return (about.low is None or value >= about.low) and (about.high is None or value <= about.high)


def _range(about: Setting) -> str:
    if about.low is not None and about.high is not None:
        return f"from {about.low:g} to {about.high:g}"
    return f"of at least {about.low:g}" if about.high is None else f"of at most {about.high:g}"
