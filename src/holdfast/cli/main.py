"""`holdfast`: reads the command, imports what it needs, runs it, and turns mistakes into one sentence."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence

from holdfast.bench.machine.quiet import is_first
from holdfast.cli.commands import build_parser
from holdfast.core.errors import HoldfastError

ERROR, FORGOT = 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code: 0 kept, 1 error, 2 forgot, 3 not enough evidence, 4 nothing learned.

    Args:
        argv: The words after `holdfast`; those of the process if not given.
    """
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 0
    if "RANK" in os.environ:
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # it advises on what transformers chose
    if not is_first():
        _say_nothing()
    try:
        code = _RUN[arguments.command](arguments)
        sys.stdout.flush()
        return code
    except HoldfastError as error:
        if is_first() or _are_connected():
            print(f"holdfast: {error}", file=sys.stderr)
    except BrokenPipeError:
        # Whoever read our output has gone (`holdfast methods | head`); what is left in the buffer has no reader.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.filename is None:  # no path that was given
            raise
        print(f"holdfast: {error.filename}: {error.strerror}; check the paths that are given.", file=sys.stderr)
    except KeyboardInterrupt as interrupt:
        said = str(interrupt) or "interrupted"
        if is_first():
            print(f"\nholdfast: {said}; {_HOW_TO_GO_ON[arguments.command]}.", file=sys.stderr)
    return ERROR


def _say_nothing() -> None:
    """Sends what the other processes of a distributed run would print to where nobody reads it, but for errors."""
    sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _are_connected() -> bool:
    """Returns whether the processes of a run have met; what fails before fails in all alike, and the first says it."""
    distributed = sys.modules.get("torch.distributed")
    return distributed is not None and distributed.is_available() and bool(distributed.is_initialized())


def _train(arguments: argparse.Namespace) -> int:
    from holdfast.bench.given.specs import RunSpec
    from holdfast.bench.run.early import check_early
    from holdfast.cli.config import spec_from

    spec = spec_from(arguments, RunSpec)
    check_early(spec)
    if arguments.dry_run:
        from holdfast.bench.run.understood import dry_run
        from holdfast.report.dry import show as show_dry

        show_dry(dry_run(spec))
        return 0

    from holdfast.bench.run.run import train
    from holdfast.report.table import show

    done = train(spec)
    show(done)
    return done.exit_code


def _compare(arguments: argparse.Namespace) -> int:
    from holdfast.bench.given.specs import CompareSpec
    from holdfast.bench.run.early import check_early
    from holdfast.cli.config import spec_from

    spec = spec_from(arguments, CompareSpec)
    check_early(spec)

    from holdfast.bench.compare.compare import compare
    from holdfast.report.compare import show_compared

    done = compare(spec)
    show_compared(done)
    return done.exit_code


def _report(arguments: argparse.Namespace) -> int:
    from holdfast.bench.given.specs import ReportSpec

    names = {field.name for field in dataclasses.fields(ReportSpec)}
    spec = ReportSpec.from_dict({k: v for k, v in vars(arguments).items() if k in names}, "the flags")

    from holdfast.report.compare import show

    show(spec)
    return 0


def _diff(arguments: argparse.Namespace) -> int:
    from holdfast.bench.given.specs import DiffSpec
    from holdfast.bench.run.early import check_early

    names = {field.name for field in dataclasses.fields(DiffSpec)}
    spec = DiffSpec.from_dict({name: value for name, value in vars(arguments).items() if name in names}, "the flags")
    if arguments.fail_on == "forgot" and not spec.budget:
        raise HoldfastError("--fail-on forgot needs a budget: say what may be lost, as in --budget points=2.")
    check_early(spec)

    from holdfast.bench.diff.diff import diff
    from holdfast.report.diff import show

    done = diff(spec)
    show(done, as_json=arguments.json)
    return 0 if arguments.fail_on == "forgot" and done.exit_code != FORGOT else done.exit_code


def _demo(arguments: argparse.Namespace) -> int:
    from holdfast.bench.compare.demo import demo
    from holdfast.report.demo import show

    done = demo(out=arguments.out, seed=arguments.seed)
    show(done)
    return done.exit_code


def _methods(arguments: argparse.Namespace) -> int:
    from holdfast.report.catalogue import show

    show(arguments.name)
    return 0


def _suites(arguments: argparse.Namespace) -> int:
    from holdfast.report.suites import show

    show(arguments.name)
    return 0


_RUN = {
    "train": _train,
    "compare": _compare,
    "report": _report,
    "diff": _diff,
    "demo": _demo,
    "methods": _methods,
    "suites": _suites,
}

_HOW_TO_GO_ON = {
    "train": "give the same command with --resume to go on from the last checkpoint",
    "demo": "give the same command again; it takes a few minutes",
    "compare": "give the same command again to go on; what is finished stays",
    "report": "give the same command again",
    "diff": "give the same command again",
    "methods": "give the same command again",
    "suites": "give the same command again",
}
