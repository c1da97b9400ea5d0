"""`setting()` declares a hyperparameter: its default, unit, accepted range and search range in one place."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

from holdfast.core.errors import HoldfastError

Role = Literal["", "strength", "tokens", "memory"]
"""What a setting means to other code than its method.

    "strength"    coefficient of the method's effect; at 0 the trainer leaves the method out
    "tokens"      the tokens that its token hooks receive: "new", "memory" or "all"
    "memory"      names, paths or hub ids of old examples, separated by commas
"""


@dataclasses.dataclass(frozen=True)
class Setting:
    """The declaration of one hyperparameter, without its default.

    Attributes:
        unit: Unit of the value; "1" for a pure number.
        low: Smallest accepted value; None if there is no bound.
        high: Largest accepted value; None if there is no bound.
        choices: The accepted values of a categorical setting.
        search: The (low, high) range in which a tuner should search.
        log: Whether the search scale is logarithmic.
        integer: Whether the value must be an integer.
        role: What the setting means to other code, see `Role`.
    """

    unit: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str | bool, ...] = ()
    search: tuple[float, float] | None = None
    log: bool = False
    integer: bool = False
    role: Role = ""


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
    role: Role = "",
) -> Any:
    """Returns a dataclass field for a hyperparameter of a method; `Setting` documents the arguments."""
    about = Setting(unit, low, high, choices, search, log, integer, role)
    return dataclasses.field(default=default, metadata={"setting": about})


def settings_of(cls: Any) -> dict[str, Setting]:
    """Returns the `Setting` of every hyperparameter of a method class, by field name."""
    return {f.name: f.metadata["setting"] for f in dataclasses.fields(cls) if "setting" in f.metadata}


def check_settings(method: Any) -> None:
    """Raises `HoldfastError` for a value outside its range, with method, setting, value and accepted range."""
    defaults = {field.name: field.default for field in dataclasses.fields(method)}
    for name, about in settings_of(method).items():
        value = getattr(method, name)
        if value is None and defaults[name] is None:
            continue
        if accepted := _accepted(value, about, defaults[name]):
            raise HoldfastError(f"{type(method).__name__}({name}={value!r}): {accepted}.")


def _accepted(value: Any, about: Setting, default: Any) -> str:
    """Returns the message on what a setting accepts, or "" if it accepts the value."""
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
    """Returns whether a value is a finite number, an int if `integer`; bools are not numbers."""
    if isinstance(value, bool) or not isinstance(value, int if integer else (int, float)):
        return False
    return isinstance(value, int) or math.isfinite(value)  # an int may be too large for a float


def _is_inside(value: float, about: Setting) -> bool:
    return (about.low is None or value >= about.low) and (about.high is None or value <= about.high)


def _range(about: Setting) -> str:
    if about.low is not None and about.high is not None:
        return f"from {about.low:g} to {about.high:g}"
    return f"of at least {about.low:g}" if about.high is None else f"of at most {about.high:g}"


def value_of(method: Any, role: Role, absent: Any = None) -> Any:
    """Returns the value of a method's setting with a role, or `absent` if the method has no such setting."""
    for name, about in settings_of(type(method)).items():
        if about.role == role:
            return getattr(method, name)
    return absent


def parted(names: str) -> tuple[str, ...]:
    """Returns the names in a text that separates them by commas, in order."""
    return tuple(name.strip() for name in names.split(",") if name.strip())
