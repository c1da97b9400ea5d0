"""Writes the page of the command line from the declarations: `python -m holdfast.cli.reference FILE`."""

from __future__ import annotations

import argparse
import sys

from holdfast.bench.machine.files import write_atomically
from holdfast.cli.commands import COMMANDS, EPILOG, build_parser
from holdfast.report.markdown import wrapped


def page() -> str:
    """Returns the commands and their flags as Markdown."""
    lines = ["# Command line", "", "Written by `make docs` from the declarations; do not edit.", "", *wrapped(EPILOG)]
    parsers = _parsers(build_parser())
    for command in COMMANDS:
        lines += ["", f"## holdfast {command.name}", "", *wrapped(command.text), "", "| Flag | Meaning |", "|---|---|"]
        lines += [_row(action) for action in parsers[command.name]._actions if action.dest != "help"]
    return "\n".join(lines) + "\n"


def _parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Returns the parser of each command."""
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return dict(commands.choices)


def _row(action: argparse.Action) -> str:
    values = action.metavar or ("\\|".join(action.choices) if action.choices else "")
    several = " ..." if action.nargs == "+" else ""
    flag = " ".join(filter(None, (" / ".join(action.option_strings), f"{values}{several}")))
    meaning = (action.help or "") % {"default": action.default}
    return f"| `{flag}` | {meaning.replace('|', chr(92) + '|')} |"


if __name__ == "__main__":
    write_atomically(sys.argv[1], page())
