"""The command that makes a run, a diff or a comparison again, from its recorded options."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping
from typing import Any

from holdfast.bench.given.options import Options, flag_of
from holdfast.bench.run.record import RunRecord


def command(verb: str, spec: type[Options], values: Mapping[str, Any], words: tuple[str, ...] = ()) -> str:
    """Returns a command for a POSIX shell, with each option that differs from its default on a line.

    Args:
        verb: The word after `holdfast`.
        spec: The options of the command.
        values: The recorded options; keys that are not options are ignored.
        words: Options that stand as bare words after the verb, such as the two models of a diff.
    """
    parts = [" ".join(["holdfast", verb, *(shlex.quote(str(values[word])) for word in words if word in values)])]
    for field in sorted(dataclasses.fields(spec), key=lambda field: not _is_needed(field)):
        if field.name in words or field.name not in values or _is_default(field, values[field.name]):
            continue
        parts.append(_flag(field.name, values[field.name]))
    return " \\\n  ".join(parts)


def budget_values(record: RunRecord) -> dict[str, Any]:
    """Returns the budget of a run as its flag takes it; empty without one."""
    if record.verdict is None:
        return {}
    names = {"points": "points", "nats": "nll"}
    values: dict[str, Any] = {names[unit]: limit for unit, limit in record.verdict.limits.items() if unit in names}
    values |= {} if record.verdict.claim == "mean" else {"claim": record.verdict.claim}
    return values | ({} if record.guard is None else {"on_spent": record.guard.on_spent})


def _is_needed(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _is_default(field: dataclasses.Field[Any], value: Any) -> bool:
    default = field.default
    if default is dataclasses.MISSING:
        default = None if field.default_factory is dataclasses.MISSING else field.default_factory()
    return value == default or (isinstance(default, tuple) and list(default) == value)


def _flag(name: str, value: Any) -> str:
    flag = flag_of(name)
    if isinstance(value, bool):
        return flag if value else f"--no-{flag[2:]}"
    if isinstance(value, Mapping):
        words = [f"{key}={_word(entry)}" for key, entry in value.items()]
    else:
        words = [_word(entry) for entry in (value if isinstance(value, (list, tuple)) else [value])]
    return " ".join([flag, *map(shlex.quote, words)])


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
