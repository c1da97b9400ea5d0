"""`holdfast`: parses the command, imports its modules, runs it, and prints an error as one sentence."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from holdfast.bench.machine.verbosity import is_main_process
from holdfast.cli.commands import build_parser
from holdfast.core.errors import HoldfastError

ERROR, FORGOT = 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns the exit code: 0 kept, 1 error, 2 forgot, 3 not enough evidence, 4 nothing learned.

    Args:
        argv: The words after `holdfast`; those of the process if absent.
    """
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if any((arguments.command is None, arguments.version, arguments.completion, arguments.verbose)):
        return _about(arguments, parser)
    if "RANK" in os.environ:
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # torch would warn about a choice of transformers
    if not is_main_process():
        _discard_output()
    try:
        code = _RUN[arguments.command](arguments)
        sys.stdout.flush()
        return code
    except HoldfastError as error:
        if is_main_process() or _are_connected():
            print(f"holdfast: {error}", file=sys.stderr)
    except BrokenPipeError:
        # The reader of our output has closed it (`holdfast methods | head`), so nobody reads the rest of the buffer.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.filename is None:  # not an error about a given path
            raise
        print(f"holdfast: {error.filename}: {error.strerror}; check the given paths.", file=sys.stderr)
    except KeyboardInterrupt as interrupt:
        reason = str(interrupt) or "interrupted"
        if is_main_process():
            print(f"\nholdfast: {reason}; {_NEXT_STEP[arguments.command]}.", file=sys.stderr)
    return ERROR


def _about(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Prints the version, the facts for a bug report, the completion for a shell, or the help."""
    if arguments.completion:
        import shtab

        print(shtab.complete(parser, shell=arguments.completion))
        return 0
    if not (arguments.version or arguments.verbose):
        parser.print_help()
        return 0
    if not arguments.version:
        parser.error("-v says more with --version: holdfast --version -v")
    import holdfast

    print(f"holdfast {holdfast.__version__}")
    if arguments.verbose:
        from holdfast.report.bug_report import lines

        print("\n".join(lines()))
    return 0


def _discard_output() -> None:
    """Discards the standard output of the other processes of a distributed run; errors still print."""
    sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _are_connected() -> bool:
    """Returns whether the processes of a run are connected; before that, an error is the same in all of them."""
    distributed = sys.modules.get("torch.distributed")
    return distributed is not None and distributed.is_available() and bool(distributed.is_initialized())


def _train(arguments: argparse.Namespace) -> int:
    from holdfast.bench.given.specs import RunSpec
    from holdfast.bench.run.early_checks import check_early
    from holdfast.bench.run.folder import folder_of
    from holdfast.cli.config import spec_from

    spec = spec_from(arguments, RunSpec)
    check_early(spec)
    # torch and the Trainer take seconds to import: whoever mistyped an option sees it before.
    if is_main_process() and not arguments.dry_run:
        given = f"{spec.model} on {spec.data} with {spec.recipe}, folder {folder_of(spec)}"
        print(f"train: {given}; loading the libraries (some seconds)", flush=True)

    from holdfast.bench.plan.auto import recipe_of, train_planned

    if arguments.dry_run:
        from holdfast.bench.run.inputs import dry_run
        from holdfast.report.dry_run import show as show_dry

        show_dry(dry_run(spec, recipe_of(spec)))
        return 0

    from holdfast.report.table import show

    done = train_planned(spec)
    show(done)
    return done.exit_code


def _fit(arguments: argparse.Namespace) -> int:
    from holdfast.bench.given.fit_spec import FitSpec
    from holdfast.bench.run.early_checks import check_early
    from holdfast.cli.config import spec_from

    spec = spec_from(arguments, FitSpec)
    check_early(spec)
    print("fit: loading the libraries (some seconds)", file=sys.stderr, flush=True)

    from holdfast.bench.fit.fit import fit
    from holdfast.report.fit import show

    done = fit(spec)
    show(done, as_json=arguments.json)
    return done.exit_code


def _plan(arguments: argparse.Namespace) -> int:
    from holdfast.bench.given.specs import PlanSpec
    from holdfast.bench.run.early_checks import check_early
    from holdfast.cli.config import spec_from

    spec = spec_from(arguments, PlanSpec)
    check_early(spec)

    from holdfast.bench.forecast.plan import plan
    from holdfast.bench.plan.answers import answers_to
    from holdfast.report.plan import show

    for answer in answers_to(spec, plan):
        show(answer, as_json=arguments.json)
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    from holdfast.bench.given.specs import CompareSpec
    from holdfast.bench.run.early_checks import check_early
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
    from holdfast.bench.run.early_checks import check_places

    names = {field.name for field in dataclasses.fields(ReportSpec)}
    spec = ReportSpec.from_dict({k: v for k, v in vars(arguments).items() if k in names}, "the flags")
    check_places(spec)

    from holdfast.report.compare import show

    show(spec)
    return 0


def _diff(arguments: argparse.Namespace) -> int:
    from holdfast.bench.given.specs import DiffSpec
    from holdfast.bench.run.early_checks import check_early

    names = {field.name for field in dataclasses.fields(DiffSpec)}
    spec = DiffSpec.from_dict({name: value for name, value in vars(arguments).items() if name in names}, "the flags")
    if arguments.fail_on == "forgot" and not spec.budget:
        raise HoldfastError("--fail-on forgot needs a budget, as in --budget points=2.")
    check_early(spec)

    from holdfast.bench.diff.diff import diff
    from holdfast.report.diff import show
    from holdfast.report.reliability import draw_reliability

    done = diff(spec)
    show(done, as_json=arguments.json)
    if spec.out is not None:
        draw_reliability(done.calibration, Path(spec.out), f"{done.base} -> {done.tuned}")
    return 0 if arguments.fail_on == "forgot" and done.exit_code != FORGOT else done.exit_code


def _heal(arguments: argparse.Namespace) -> int:
    from holdfast.bench.given.heal_spec import HealSpec
    from holdfast.bench.run.early_checks import check_early

    names = {field.name for field in dataclasses.fields(HealSpec)}
    spec = HealSpec.from_dict({name: value for name, value in vars(arguments).items() if name in names}, "the flags")
    check_early(spec)

    from holdfast.bench.heal.heal import heal
    from holdfast.report.heal import show

    done = heal(spec)
    show(done, as_json=arguments.json)
    return done.exit_code


def _verify(arguments: argparse.Namespace) -> int:
    from holdfast.bench.given.verify_spec import VerifySpec

    names = {field.name for field in dataclasses.fields(VerifySpec)}
    spec = VerifySpec.from_dict({k: v for k, v in vars(arguments).items() if k in names}, "the flags")

    from holdfast.bench.verify.verify import verify
    from holdfast.report.verify import show

    done = verify(spec)
    show(done, as_json=arguments.json)
    return done.exit_code


def _demo(arguments: argparse.Namespace) -> int:
    from holdfast.bench.compare.demo import demo
    from holdfast.report.demo import show

    done = demo(out=arguments.out, seed=arguments.seed, task=arguments.task)
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
    "fit": _fit,
    "plan": _plan,
    "train": _train,
    "compare": _compare,
    "report": _report,
    "diff": _diff,
    "heal": _heal,
    "verify": _verify,
    "demo": _demo,
    "methods": _methods,
    "suites": _suites,
}

_NEXT_STEP = {
    "fit": "give the same command again to continue; finished stages stay",
    "plan": "give the same command again, with --no-steps if the steps took long",
    "train": "give the same command with --resume to continue from the last checkpoint",
    "demo": "give the same command again; it takes a few minutes",
    "compare": "give the same command again to continue; finished runs stay",
    "report": "give the same command again",
    "diff": "give the same command again",
    "heal": "give the same command again to continue; what was asked stays",
    "verify": "give the same command again, or --quick to ask nothing",
    "methods": "give the same command again",
    "suites": "give the same command again",
}
