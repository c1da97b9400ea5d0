"""Writes the page of the command line from the declarations: `python -m holdfast.cli.reference FILE`."""

from __future__ import annotations

import argparse
import sys

from holdfast.bench.machine.files import write_atomically
from holdfast.cli.commands import COMMANDS, EPILOG, EPILOGS, build_parser
from holdfast.report.markdown import table_row, wrapped


def page() -> str:
    """Returns the commands and their flags as Markdown."""
    lines = ["# Command line", "", "Written by `make docs` from the declarations; do not edit.", ""]
    lines += wrapped(f"{EPILOG} A command with other ones says so.")
    parsers = _parsers(build_parser())
    for command in COMMANDS:
        lines += ["", f"## holdfast {command.name}", "", *wrapped(command.text), ""]
        lines += [*wrapped(EPILOGS[command.name]), ""] if command.name in EPILOGS else []
        lines += ["| Flag | Meaning |", "|---|---|"]
        lines += [_row(action) for action in parsers[command.name]._actions if action.dest != "help"]
    return "\n".join(lines) + "\n"


def _parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Returns the parser of each command."""
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return dict(commands.choices)


def _row(action: argparse.Action) -> str:
    values = str(action.metavar or "|".join(action.choices or ()))
    several = " ..." if action.nargs == "+" else ""
    flag = " ".join(filter(None, (" / ".join(action.option_strings), f"{values}{several}")))
    return table_row([f"`{flag}`", (action.help or "") % {"default": action.default}])


if __name__ == "__main__":
    write_atomically(sys.argv[1], page())
