"""Reads the file of a config, whichever trainer it is for: YAML, JSON, or a script with the command."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from holdfast.bench.given.yaml_files import read_config
from holdfast.bench.plan.check import axolotl, llama_factory, ms_swift, ours, trl
from holdfast.bench.plan.check.config import Format, TrainingConfig
from holdfast.core.errors import HoldfastError

FORMATS: tuple[Format, ...] = (ours.FORMAT, axolotl.FORMAT, llama_factory.FORMAT, ms_swift.FORMAT, trl.FORMAT)
COMMANDS = {
    re.compile(r"\bswift\s+(sft|pt|rlhf)\b"): ms_swift.FORMAT,
    re.compile(r"\bllamafactory-cli\s+train\b|\bllamafactory\.cli\b"): llama_factory.FORMAT,
    re.compile(r"\btrl\s+sft\b"): trl.FORMAT,
    re.compile(r"\baxolotl\s+train\b|\baxolotl\.cli\.train\b"): axolotl.FORMAT,
}
"""Commands whose arguments a script may hold."""
SETTINGS = (".yaml", ".yml", ".json")
"""Endings of files that hold the settings of a command."""
SET = re.compile(r"^\s*(?:export\s+)?(\w+)=(\S+)\s*$", re.MULTILINE)
USED = re.compile(r"\$\{?(\w+)\}?")
"""A shell variable where a script sets it, and where it uses it."""
TWICE = 2
"""Weight of a key that only one trainer has, beside that of a shared one."""


def read_training(path: str) -> TrainingConfig:
    """Returns the training that a file describes.

    Raises:
        HoldfastError: The file cannot be read, or it is the config of no known trainer.
    """
    file = Path(path).expanduser()
    if file.suffix in (".sh", ".bash", ".txt"):
        try:
            text = file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise HoldfastError(f"Cannot read {path}: {getattr(error, 'strerror', None) or error}.") from error
        return _from_script(text, path)
    values = read_config(str(file))
    return _read(format_of(values, path), values, path)


def _read(form: Format, values: dict[str, Any], path: str) -> TrainingConfig:
    """Returns the training that values of a format describe; its errors name the file."""
    try:
        return form.read(values)
    except HoldfastError as error:
        raise HoldfastError(f"{path}: {error}") from error


def format_of(values: dict[str, Any], path: str) -> Format:
    """Returns the format whose keys a config has.

    Raises:
        HoldfastError: No format has these keys, or two have equally many.
    """
    keys = {key.replace("-", "_") for key in values}
    points = {form.name: TWICE * len(keys & form.marks) + len(keys & form.shared) for form in FORMATS}
    ranked = sorted(FORMATS, key=lambda form: -points[form.name])
    best, second = ranked[0], ranked[1]
    if points[best.name] < TWICE:
        some = ", ".join(sorted(keys)[:5]) or "no key"
        raise HoldfastError(
            f"{path}: no config that we know has these keys ({some}); give one of "
            f"{', '.join(form.name for form in FORMATS)}."
        )
    if points[best.name] == points[second.name]:
        raise HoldfastError(
            f"{path}: it may be a config of {best.name} or of {second.name}; add a key that only one of them has "
            f"({min(best.marks)}, {min(second.marks)})."
        )
    return best


def _from_script(text: str, path: str) -> TrainingConfig:
    """Returns the training of the first known command in a script.

    Raises:
        HoldfastError: The script holds no such command, its settings are in another file, or a value is a variable that
            the script does not set.
    """
    known = {name: value.strip("\"'") for name, value in SET.findall(text)}
    joined = re.sub(r"\\\s*\n", " ", text)
    for line in joined.split("\n"):
        for pattern, form in COMMANDS.items():
            match = pattern.search(line)
            if match and not line.lstrip().startswith("#"):
                given = USED.sub(lambda used: known.get(used[1], used[0]), line[match.end() :])
                values = arguments(given)
                _check_arguments(values, given, path)
                pretrains = form is ms_swift.FORMAT and match[1] == "pt"
                return _read(form, {**({"loss_scale": "all"} if pretrains else {}), **values}, path)
    raise HoldfastError(
        f"{path}: holds no command of `swift sft`, `llamafactory-cli train`, `trl sft` or `axolotl train`."
    )


def _check_arguments(values: dict[str, Any], line: str, path: str) -> None:
    """Refuses a command whose settings are in a file of their own, or in the variables of a shell."""
    first = next(iter(shlex.split(line, comments=True)), "")
    file = str(values.get("config") or (first if first.endswith(SETTINGS) else ""))
    if file:
        more = ", ".join(f"--{name}" for name in values if name != "config")
        also = f" (and in {more} of the command, which take their place)" if more else ""
        raise HoldfastError(f"{path}: its settings are in {file}{also}; check that file.")
    for name, value in values.items():
        if used := USED.search(str(value)):
            raise HoldfastError(f"{path}: --{name} is {used[0]}, which the script does not set; write its value.")


def arguments(line: str) -> dict[str, Any]:
    """Returns the arguments of a command line by name; several values make a list, a lone flag is true."""
    values: dict[str, Any] = {}
    name = ""
    for word in shlex.split(line, comments=True):
        if word in ("&&", "||", "|", ";", ">", "2>&1", "&"):
            break
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            name = name.replace("-", "_")
            values[name] = _value(value) if equals else True
        elif name:
            before = values[name]
            several = before if isinstance(before, list) else [before]
            values[name] = _value(word) if before is True else [*several, _value(word)]
    return values


def _value(word: str) -> Any:
    """Returns a word as YAML reads it: a number, a truth value, or text."""
    try:
        value = yaml.safe_load(word)
    except yaml.YAMLError:
        return word
    return value if isinstance(value, (int, float, bool)) else word
