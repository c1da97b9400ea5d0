"""The folder of a run: opened, begun, written to, and left so that nothing half-written stays."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.env import environment
from holdfast.bench.machine.files import write_json
from holdfast.bench.machine.verbosity import is_main_process
from holdfast.core.errors import HoldfastError


def folder_of(spec: RunSpec) -> Path:
    """Returns the folder of a run, which is named after its settings where nobody names it."""
    return Path(spec.out) / (spec.name or _name(spec))


def open_folder(folder: Path, spec: RunSpec) -> bool:
    """Returns whether the folder holds this run, finished; if not, there is something to do.

    Raises:
        HoldfastError: The folder belongs to another run or to something else, or holds an unfinished one and `resume`
            is not set.
    """
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise HoldfastError(f"{folder} is a file; choose another folder with --out or --name.")
    if not (folder / "spec.json").exists():
        if any(path.is_file() for path in folder.rglob("*")):
            raise HoldfastError(f"{folder} is not the folder of a run; choose another with --out or --name.")
        return False
    other = _read(folder / "spec.json")
    asked = identity(spec)
    done = (folder / "result.json").exists()
    otherwise = "choose another folder with --out or --name"
    otherwise = otherwise if done else f"delete it, or {otherwise}"
    different = sorted(key for key in {*asked, *({"budget"} & other.keys())} if other.get(key) != asked.get(key))
    if different:
        raise HoldfastError(f"{folder} holds a run with another {', '.join(different)}; {otherwise}.")
    then, now = other.get("files", {}), _digests(spec)
    changed = sorted(path for path in now if then.get(path, now[path]) != now[path])
    if changed:
        raise HoldfastError(f"{folder} holds a run from before {', '.join(changed)} was changed; {otherwise}.")
    if not done and not spec.resume:
        raise HoldfastError(f"{folder} holds a run that was interrupted; go on with --resume, or delete the folder.")
    return done


def already_finished(folder: Path) -> str:
    """Returns a sentence about a run that is asked for again: that it is finished, since when, and how to run anew."""
    since = datetime.datetime.fromtimestamp((folder / "result.json").stat().st_mtime).astimezone()
    return (
        f"{folder} is finished, since {since:%Y-%m-%d %H:%M}: nothing is run, and what follows was found then. To run "
        "it anew, give another --name or --seed, or delete the folder."
    )


def begin_folder(folder: Path, spec: RunSpec, recipe: Any, resolved: Mapping[str, Any]) -> None:
    """Writes what was asked for, how that was resolved, a digest of each file that is read, and what it runs on."""
    asked = {**identity(spec), "resolved_recipe": repr(recipe), "resolved": dict(resolved)}
    write_json(folder / "spec.json", {**asked, "files": _digests(spec)})
    write_json(folder / "env.json", environment())


def identity(spec: RunSpec) -> dict[str, Any]:
    """Returns the settings that make a run another one.

    A budget is one of them if its guard acts; what is only judged by can be asked again later. The size of a batch
    while measuring is none.
    """
    judged = () if spec.budget and spec.guard().on_spent != "log" else ("budget",)
    free = ("resume", "out", "name", "eval_batch_tokens", "memory_check", *judged)
    return {key: value for key, value in spec.to_dict().items() if key not in free}


@contextlib.contextmanager
def removing_empty_folders(folder: Path) -> Iterator[None]:
    """Takes away, when something fails, the folders that were made for a run and hold nothing.

    What the user can mend before anything was measured leaves no record of what was asked for either.
    """
    if not is_main_process():  # another process makes them, and may still need them
        yield
        return
    made = [path for path in (folder / "checkpoints", folder, *folder.parents) if not path.exists()]
    try:
        yield
    except BaseException as error:
        begun = {folder / "spec.json", folder / "env.json"}
        mistake = isinstance(error, HoldfastError) and not isinstance(error.__cause__, OSError)  # no full disk
        if mistake and folder in made and {path for path in folder.rglob("*") if path.is_file()} <= begun:
            for path in begun:
                path.unlink(missing_ok=True)
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()
        raise


@contextlib.contextmanager
def reporting_write_errors(target: Path) -> Iterator[None]:
    """Turns a file that cannot be written below `target` into one sentence, whoever wrote it.

    Python raises OSError; safetensors an error of its own; torch a RuntimeError of its archive writer.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not re.search("inline_container|PytorchStreamWriter", str(error)):
            raise
        raise HoldfastError(
            f"Cannot write {target}: {_reason(error)}; free some space or choose another folder with --out."
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, SafetensorError):
        return re.sub(r" \(os error \d+\)$", "", str(error)).rsplit(": ", 1)[-1]
    below = error.__cause__ or error.__context__
    return _reason(below) if isinstance(below, OSError) else "the file could not be written in full"


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise HoldfastError(f"{path} cannot be read; delete {path.parent}, or choose another folder with --name.")
    return found


def _digests(spec: RunSpec) -> dict[str, str]:
    """Returns the hash of each file that the run names; folders and hub ids have none."""
    named = [spec.data, *filter(None, (spec.test, spec.transfer)), *spec.keep, *spec.memories().values()]
    found = {}
    for source in named:
        path = Path(source).expanduser()
        if path.is_file():
            with path.open("rb") as file:
                found[source] = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    return found


def _name(spec: RunSpec) -> str:
    digest = hashlib.sha256(json.dumps(identity(spec), sort_keys=True).encode()).hexdigest()[:8]
    stem = re.sub(r"[^\w-]+", "-", Path(spec.data).name.split(".", 1)[0]) or "run"
    return f"{stem}-{digest}-seed{spec.seed}"
