"""The folder of a fit: begun, recognised, and never taken from something else.

<out>/fit-spec.json   the options
      plan.json       the plan
      old.jsonl       old examples that the base wrote, and old.json, their record
      pilot/          the runs of the pilot, and pilot.json, its record
      runs/           the full run and the trials of the search, whose record is search.json;
                      shared/base/ has the base's answers, asked once for all trials
      healed-.../     the healing of the full run, if there was one
      log.txt         the output of all runs
      clock.json      the wall time of all calls so far
      fit.json        the record, written last
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from holdfast.bench.fit.fit_record import FitRecord
from holdfast.bench.fit.stages import Clock
from holdfast.bench.given.fit_spec import FitSpec
from holdfast.bench.given.model_content import model_digest
from holdfast.bench.machine.env import environment
from holdfast.bench.machine.files import write_json
from holdfast.bench.run.folder import digests_of
from holdfast.bench.run.input_digests import folder_contents, sources_of
from holdfast.core.errors import HoldfastError

FILE = "fit-spec.json"
_NOT_ITS_OWN = ("out", "eval_batch_tokens", "memory_check", "engine")
_AFTER = ("cost", "pilot", "search", "heal")
"""Options that may change: the stages that are done stay right."""


def finished(folder: Path, spec: FitSpec) -> bool:
    """Returns whether a folder holds this fit, finished.

    An interrupted one continues, and so does one with another cost or other stages; the stages that are done stay.

    Raises:
        HoldfastError: The folder belongs to another fit or to something else.
    """
    if not folder.exists():
        return False
    if not (folder / FILE).exists():
        if folder.is_file() or any(folder.iterdir()):
            raise HoldfastError(f"{folder} is not the folder of a fit; choose another with --out.")
        return False
    try:
        there = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HoldfastError(f"{folder / FILE} cannot be read ({error}); delete {folder}.") from error
    here = _identity(spec)
    different = sorted(name for name in here if there.get(name) != here[name])
    if others := [name for name in different if name not in _AFTER]:
        raise HoldfastError(f"{folder} holds a fit with another {', '.join(others)}; choose another folder with --out.")
    return not different and (folder / FitRecord.FILE).exists()


def begin(folder: Path, spec: FitSpec) -> None:
    """Writes the options and the environment, and deletes the record of a fit with another cost or other stages."""
    (folder / FitRecord.FILE).unlink(missing_ok=True)
    write_json(folder / FILE, _identity(spec))
    write_json(folder / "env.json", environment())


@contextlib.contextmanager
def timed(folder: Path, clock: Clock) -> Iterator[None]:
    """Adds the wall time of earlier calls to a clock, and writes that of all calls, also when this one is interrupted.

    A call that the system kills leaves no time behind.
    """
    path = folder / "clock.json"
    with contextlib.suppress(OSError, ValueError, KeyError):
        clock.earlier = float(json.loads(path.read_text(encoding="utf-8"))["seconds"])
    try:
        yield
    finally:
        write_json(path, {"seconds": clock.seconds})


def _identity(spec: FitSpec) -> dict[str, Any]:
    options = {name: value for name, value in spec.to_dict().items() if name not in _NOT_ITS_OWN}
    files = {**digests_of(spec), **folder_contents(sources_of(spec))}
    return {**options, "cost": spec.plain_runs(), "files": files, "model_files": model_digest(spec.model)}
