"""The commands and their flags, declared; importing this module imports nothing heavy."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import json
import re
import sys
import types
import typing
from collections.abc import Sequence
from typing import Any, Literal, NoReturn

import holdfast
from holdfast.bench.given.options import Options
from holdfast.bench.given.specs import CompareSpec, DiffSpec, ReportSpec, RunSpec
from holdfast.core.errors import nearest

EPILOG = "Exit codes: 0 kept, 1 error, 2 forgot, 3 not enough evidence, 4 kept, but nothing (or little) was learned."
SEVERAL = "Exit codes: 0 done, whatever the verdicts of the runs; 1 error, or a run that failed."


@dataclasses.dataclass(frozen=True)
class Command:
    """One word after `holdfast`.

    Attributes:
        name: The word.
        help: One line in the list of commands.
        text: What the command's own help begins with.
    """

    name: str
    help: str
    text: str


COMMANDS = (
    Command(
        "demo",
        "the whole story on a small base model that comes along; no network",
        "Fine-tunes the base model that comes with the package, plainly and with methods, and shows what each learned "
        "and forgot.",
    ),
    Command(
        "train",
        "fine-tune a model, and measure what it learned and what it forgot",
        "Fine-tunes a model with a recipe and leaves one folder with the model, every score and the result.",
    ),
    Command(
        "compare",
        "which method, at what price, on your model and your data",
        "Trains with several recipes, each at several doses (times its learning rate), and sets side by side what each "
        "learned, what it lost and what it cost. Given again, it goes on where it was interrupted.",
    ),
    Command(
        "report",
        "runs that are finished, set side by side: a table, the frontier",
        "Reads the folders of finished runs and nothing else, and shows what each recipe learned, lost and cost.",
    ),
    Command(
        "diff",
        "what changed between two models, and whether it is within a budget",
        "Asks two models the same items and says what was kept, lost and gained. Two files of saved answers (of --out, "
        "or samples that lm-eval logged) are compared without loading a model.",
    ),
    Command(
        "methods",
        "what each method does, costs and needs",
        "Lists the methods that a recipe may name, or shows one of them in full.",
    ),
    Command(
        "suites",
        "the public sets that --keep takes by name: purpose, cost, license",
        "Lists the suites that --keep, --test and --transfer take by name, or shows one of them in full, with three of "
        "its items as a model is asked them. Suites come from the folder that HOLDFAST_SUITES names, or from the "
        "Hugging Face hub.",
    ),
)


IN_RECIPE = {"--lr": "lr", "--learning-rate": "lr", "--epochs": "epochs", "--num-train-epochs": "epochs"}
"""Flags that other trainers have, and the setting of `Train` that says the same here."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors end with exit code 1, since 2 says that the model forgot."""

    def error(self, message: str) -> NoReturn:
        """Prints the usage and the error, with what a flag that is none may have meant, and ends the program."""
        self.print_usage(sys.stderr)
        unknown = re.search(r"(--[\w-]+)", message.partition("unrecognized arguments: ")[2])
        flag = unknown[1] if unknown else ""
        setting = IN_RECIPE.get(flag.replace("_", "-"))
        hint = f" Did you mean --recipe 'Train({setting}=...) + ...'?" if setting else nearest(flag, self._flags())
        self.exit(1, f"{self.prog}: {message}{'.' if hint else ''}{hint}\n")

    def _flags(self) -> list[str]:
        """Returns the flags of this parser and of its commands."""
        found = list(self._option_string_actions)
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                found += [flag for below in action.choices.values() for flag in below._option_string_actions]
        return found


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of the whole command line."""
    parser = Parser("holdfast", description="Fine-tune language models without forgetting.", epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"holdfast {holdfast.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    add = {
        "demo": _add_demo,
        "train": _add_train,
        "compare": _add_compare,
        "report": _add_report,
        "diff": _add_diff,
        "methods": _add_methods,
        "suites": _add_suites,
    }
    for command in COMMANDS:
        add[command.name](
            commands.add_parser(
                command.name,
                help=command.help,
                description=command.text,
                epilog=SEVERAL if command.name in ("compare", "report") else EPILOG,
                allow_abbrev=False,
            )
        )
    return parser


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="FOLDER", default="demo-runs", help="folder for the runs (%(default)s)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="seed of everything random (%(default)s)")


def _add_methods(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="method to show in full, as in MaskTheTarget")


def _add_suites(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="suite or part to show in full, as in mmlu/anatomy")


def _add_train(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    _add_fields(parser, RunSpec)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="show what was understood, rows as the model will see them, settings and memory; then end",
    )


def _add_compare(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    _add_fields(parser, CompareSpec)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", metavar="FILE", help="YAML file whose keys are the flags below; a flag given here wins"
    )


def _add_report(parser: argparse.ArgumentParser) -> None:
    _add_fields(parser, ReportSpec, positional=("runs",))


def _add_diff(parser: argparse.ArgumentParser) -> None:
    _add_fields(parser, DiffSpec, positional=("base", "tuned"))
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument(
        "--fail-on",
        choices=("forgot", "unsettled"),
        default="unsettled",
        help="end with 0 unless the model forgot, or (the default) unless it is shown to have kept",
    )


def _add_fields(parser: argparse.ArgumentParser, spec: type[Options], positional: Sequence[str] = ()) -> None:
    """Adds a flag for each field of a record of options, those that are needed first."""
    hints = typing.get_type_hints(spec)
    for field in sorted(dataclasses.fields(spec), key=lambda field: not _is_needed(field)):
        if field.name in positional:
            several: dict[str, Any] = {"nargs": "+"} if typing.get_origin(hints[field.name]) is tuple else {}
            parser.add_argument(field.name, metavar=field.name.upper(), help=field.metadata["help"], **several)
        else:
            _add_option(parser, field, hints[field.name])


def _is_needed(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _add_option(parser: argparse.ArgumentParser, field: dataclasses.Field[Any], hint: Any) -> None:
    """Adds the flag of one field of a record of options; a flag that is not given leaves no trace in the result."""
    flag = "--" + field.name.replace("_", "-")
    options: dict[str, Any] = {"default": argparse.SUPPRESS, "dest": field.name}
    options["help"] = field.metadata["help"].replace("%", "%%") + _default(field)
    if field.metadata["metavar"]:
        options["metavar"] = field.metadata["metavar"]
    origin = typing.get_origin(hint)
    if origin is types.UnionType:
        hint = typing.get_args(hint)[0]
    if hint is bool:
        options["action"] = argparse.BooleanOptionalAction
    elif origin is Literal:
        options["choices"] = typing.get_args(hint)
    elif origin is tuple:
        options.update(nargs="+", action="extend", type=typing.get_args(hint)[0])
    elif origin is dict:
        options.update(nargs="+", action=_Pairs, type=_pair)
    else:
        options["type"] = hint
    parser.add_argument(flag, **options)


class _Pairs(argparse.Action):
    """Gathers keys and values, also of a flag that is given more than once."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        """Adds the pairs of one flag."""
        setattr(namespace, self.dest, {**getattr(namespace, self.dest, {}), **dict(values)})


def _default(field: dataclasses.Field[Any]) -> str:
    """Returns what a flag's help says about its default."""
    if field.default is dataclasses.MISSING:
        return "" if field.default_factory is not dataclasses.MISSING else " (needed)"
    if field.default is None or isinstance(field.default, bool) or field.default == ():
        return ""
    if isinstance(field.default, tuple):
        return f" ({' '.join(map(str, field.default))})"
    return f" ({field.default})"


def _pair(text: str) -> tuple[str, Any]:
    """Returns `KEY=VALUE` as a key and a value: JSON or a Python literal where it is one, else the text itself."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    for read in (json.loads, ast.literal_eval):
        try:
            return key, read(value)
        except (ValueError, SyntaxError):
            continue
    return key, value
