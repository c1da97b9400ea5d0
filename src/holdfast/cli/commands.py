"""Declares the commands and their flags; importing this module imports nothing heavy."""

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

from holdfast.bench.given.fit_spec import FitSpec
from holdfast.bench.given.heal_spec import HealSpec
from holdfast.bench.given.options import Options
from holdfast.bench.given.specs import CompareSpec, DiffSpec, PlanSpec, ReportSpec, RunSpec
from holdfast.bench.given.verify_spec import VerifySpec
from holdfast.core.errors import nearest

EPILOG = "Exit codes: 0 kept, 1 error, 2 forgot, 3 not enough evidence, 4 kept, but learned nothing or little."
SEVERAL = "Exit codes: 0 done, with any verdicts of the runs; 1 error, or a failed run."
LISTED = "Exit codes: 0 done, 1 error."
EPILOGS = {
    "demo": SEVERAL,
    "compare": SEVERAL,
    "report": SEVERAL,
    "methods": LISTED,
    "suites": LISTED,
    "plan": "Exit codes: 0 done, whatever the advice; 1 error.",
    "verify": "Exit codes: 0 the certificate holds, 1 error, 2 it does not hold, 3 that cannot be told.",
}
"""Epilogs of commands that have another one than `EPILOG`."""


@dataclasses.dataclass(frozen=True)
class Command:
    """A command: the word after `holdfast`.

    Attributes:
        name: The word.
        help: Line in the list of commands.
        text: First paragraph of the command's help.
    """

    name: str
    help: str
    text: str


COMMANDS = (
    Command(
        "demo",
        "a demonstration on the small base model that comes with the package; no network",
        "Fine-tunes the base model that comes with the package, with plain training and with methods, and shows what"
        " each learned and forgot.",
    ),
    Command(
        "fit",
        "fine-tune a model inside a budget at a stated cost: the front door",
        "Plans, tries recipes on a tenth of the data, searches for better settings as far as the cost allows, makes the"
        " full run, brings it back inside the budget if need be, and judges it on test items. Give the same command"
        " again to continue after an interruption.",
    ),
    Command(
        "plan",
        "look at a model and its data, and advise how to train; or check a config",
        "Shows facts about a model and its data, then advice on recipe, rate and the rest, each with its source and "
        "evidence, and ends with what to type next. It trains nothing but a few steps to measure their time.",
    ),
    Command(
        "train",
        "fine-tune a model, and measure what it learned and forgot",
        "Fine-tunes a model with a recipe, and writes the model, every score and the result to one folder.",
    ),
    Command(
        "compare",
        "compare methods and their costs on your model and your data",
        "Trains with several recipes, each at several doses (learning-rate multipliers), and compares what each"
        " learned, lost and cost. Give the same command again to continue after an interruption.",
    ),
    Command(
        "report",
        "compare finished runs: a table, and a plot of the Pareto front",
        "Reads only the folders of finished runs, and shows what each recipe learned, lost and cost.",
    ),
    Command(
        "diff",
        "measure the change between two models, and judge it by a budget",
        "Asks two models the same items, and shows what was kept, lost and gained. It compares two files of saved"
        " answers (from --out, or samples that lm-eval logged) without loading a model.",
    ),
    Command(
        "heal",
        "bring a finished fine-tune inside a budget",
        "Searches on validation items for the edit of the weights that keeps the most learning inside the budget,"
        " writes the healed model, and judges it on test items. Give the same command again to continue after an"
        " interruption.",
    ),
    Command(
        "verify",
        "check whether the certificate of a model holds",
        "Compares a model with the digests in its proof.json, asks it and its base the same questions again, and says"
        " whether the verdict holds.",
    ),
    Command(
        "methods",
        "show the effect, cost and needs of each method",
        "Lists the methods for a recipe, or shows one of them in full.",
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
"""Flags of other trainers, and the corresponding setting of `Train`."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors end with exit code 1, because 2 means that the model forgot."""

    def error(self, message: str) -> NoReturn:
        """Prints the usage and the error, with a suggestion for an unknown flag, and ends the program."""
        self.print_usage(sys.stderr)
        unknown = re.search(r"(--[\w-]+)", message.partition("unrecognized arguments: ")[2])
        flag = unknown[1] if unknown else ""
        setting = IN_RECIPE.get(flag.replace("_", "-"))
        hint = f" Did you mean --recipe 'Train({setting}=...) + ...'?" if setting else nearest(flag, self._flags())
        self.exit(1, f"{self.prog}: {message}{'.' if hint else ''}{hint}\n")

    def _flags(self) -> list[str]:
        """Returns the flags of this parser and of its commands."""
        flags = list(self._option_string_actions)
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                flags += [flag for below in action.choices.values() for flag in below._option_string_actions]
        return flags


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of the whole command line."""
    parser = Parser("holdfast", description="Fine-tune language models without forgetting.", epilog=EPILOG)
    parser.add_argument("--version", action="store_true", help="print the version; with -v, what a bug report needs")
    parser.add_argument("-v", "--verbose", action="store_true", help="print more with --version")
    parser.add_argument(
        "--completion", choices=("bash", "zsh", "tcsh"), help="print the completion of commands and flags for a shell"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    add = {
        "demo": _add_demo,
        "fit": _add_fit,
        "plan": _add_plan,
        "train": _add_train,
        "compare": _add_compare,
        "report": _add_report,
        "diff": _add_diff,
        "heal": _add_heal,
        "verify": _add_verify,
        "methods": _add_methods,
        "suites": _add_suites,
    }
    for command in COMMANDS:
        add[command.name](
            commands.add_parser(
                command.name,
                help=command.help,
                description=command.text,
                epilog=EPILOGS.get(command.name, EPILOG),
                allow_abbrev=False,
            )
        )
    return parser


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="FOLDER", default="demo-runs", help="folder for the runs (%(default)s)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="seed of everything random (%(default)s)")
    parser.add_argument(
        "--task",
        choices=("generate", "rerank"),
        default="generate",
        help="the base to show: the language model, or the reranker (%(default)s)",
    )


def _add_methods(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="method to show in full, for example MaskTheTarget")


def _add_suites(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="suite or part to show in full, as in mmlu/anatomy")


def _add_train(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    _add_fields(parser, RunSpec)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="show rows as the model will see them, the settings and the memory estimate, then stop",
    )


def _add_fit(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    _add_fields(parser, FitSpec)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_plan(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    _add_fields(parser, PlanSpec)
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")


def _add_compare(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    _add_fields(parser, CompareSpec)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="YAML file whose keys are the flags below; flags on the command line take precedence",
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
        help="fail only if the model forgot, or (the default) unless it is shown to have kept",
    )


def _add_heal(parser: argparse.ArgumentParser) -> None:
    _add_fields(parser, HealSpec, positional=("base", "tuned"))
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_verify(parser: argparse.ArgumentParser) -> None:
    _add_fields(parser, VerifySpec, positional=("model",))
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_fields(parser: argparse.ArgumentParser, spec: type[Options], positional: Sequence[str] = ()) -> None:
    """Adds a flag for each field of an options class, required ones first."""
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
    """Adds the flag of a field of an options class; an absent flag is absent from the result too."""
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
    """Collects keys and values, also from a flag that occurs more than once."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        """Adds the pairs of one occurrence of the flag."""
        setattr(namespace, self.dest, {**getattr(namespace, self.dest, {}), **dict(values)})


def _default(field: dataclasses.Field[Any]) -> str:
    """Returns the part of a flag's help about its default."""
    if field.default is dataclasses.MISSING:
        return "" if field.default_factory is not dataclasses.MISSING else " (required)"
    if field.default is None or isinstance(field.default, bool) or field.default == ():
        return ""
    if isinstance(field.default, tuple):
        return f" ({' '.join(map(str, field.default))})"
    return f" ({field.default})"


def _pair(text: str) -> tuple[str, Any]:
    """Returns the key and value of `KEY=VALUE`; the value is JSON or a Python literal, otherwise the text itself."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE, as in points=2 or seed=1")
    for read in (json.loads, ast.literal_eval):
        try:
            return key, read(value)
        except (ValueError, SyntaxError):
            continue
    return key, value
