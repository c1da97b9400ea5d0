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
        where = f"{type(method).__name__}({name}={value!r})"
        if value is None and defaults[name] is None:
            continue
        if about.choices:
            if value not in about.choices:
                raise HoldfastError(f"{where}: choose one of {', '.join(map(repr, about.choices))}.")
            continue
        if about.low is None and about.high is None:
            if isinstance(defaults[name], str) and not isinstance(value, str):
                raise HoldfastError(f"{where}: give text ({about.unit}).")
            continue
        number = isinstance(value, int if about.integer else (int, float)) and not isinstance(value, bool)
        number = number and (isinstance(value, int) or math.isfinite(value))
        inside = number and (about.low is None or value >= about.low) and (about.high is None or value <= about.high)
        if not inside:
            kind = "a whole number" if about.integer else "a number"
            unit = "" if about.unit == "1" else f" ({about.unit})"
            raise HoldfastError(f"{where}: give {kind} {_range(about)}{unit}.")


def _range(about: Setting) -> str:
    if about.low is not None and about.high is not None:
        return f"from {about.low:g} to {about.high:g}"
    return f"of at least {about.low:g}" if about.high is None else f"of at most {about.high:g}"
