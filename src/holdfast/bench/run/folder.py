"""The folder of a run: opens, begins and cleans it, so that nothing half-written stays."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from holdfast.bench.given.specs import RunSpec, TrainingSpec
from holdfast.bench.machine.env import environment
from holdfast.bench.machine.files import write_json
from holdfast.bench.machine.verbosity import is_main_process
from holdfast.bench.run.input_digests import input_digests, path_of, sources_of
from holdfast.core.errors import HoldfastError

if TYPE_CHECKING:
    from holdfast.bench.run.part import Part


def folder_of(spec: RunSpec) -> Path:
    """Returns the folder of a run; its default name follows from the settings."""
    return Path(spec.out) / (spec.name or _name(spec))


def folder_of_runs(place: str | Path) -> Path:
    """Returns the folder of a run, or one that holds runs.

    Raises:
        HoldfastError: It does not exist, or is a file.
    """
    folder = Path(place).expanduser()
    if not folder.is_dir():
        wrong = " is a file" if folder.exists() else ": no such folder exists"
        raise HoldfastError(f"{place}{wrong}; give the folder of a run, or one that holds runs.")
    return folder


def open_folder(folder: Path, spec: RunSpec, part: Part | None = None) -> bool:
    """Returns whether the folder holds this run, finished.

    Args:
        folder: The folder.
        spec: The options of the run.
        part: The part of the data that it takes; all of it if None.

    Raises:
        HoldfastError: The folder belongs to another run or to something else, or holds an unfinished run and `resume`
            is False.
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
    settings = {**identity(spec), "part": _fields_of(part)}
    done = (folder / "result.json").exists()
    mend = "choose another folder with --out or --name"
    mend = mend if done else f"delete it, or {mend}"
    different = sorted(key for key in {*settings, *({"budget"} & other.keys())} if other.get(key) != settings.get(key))
    if different:
        raise HoldfastError(f"{folder} holds a run with another {', '.join(different)}; {mend}.")
    digests_then = {**other.get("inputs", {}), **other.get("files", {})}  # older folders have no inputs
    digests_now = {**input_digests(spec), **digests_of(spec)}
    changed = sorted(path for path in digests_now if digests_then.get(path, digests_now[path]) != digests_now[path])
    if changed:
        raise HoldfastError(f"{folder} holds a run from before {', '.join(changed)} was changed; {mend}.")
    if not done and not spec.resume:
        raise HoldfastError(f"{folder} holds an interrupted run; continue with --resume, or delete the folder.")
    return done


def already_finished(folder: Path) -> str:
    """Returns the note on a finished run: when it finished, and how to run it again."""
    since = datetime.datetime.fromtimestamp((folder / "result.json").stat().st_mtime).astimezone()
    return (
        f"{folder} is finished, since {since:%Y-%m-%d %H:%M}: nothing runs now, and the output below is from then. To "
        "run it again, give another --name or --seed, or delete the folder."
    )


def begin_folder(
    folder: Path, spec: RunSpec, recipe: Any, resolved: Mapping[str, Any], part: Part | None = None
) -> None:
    """Writes spec.json (options, part of the data, resolved settings, digests of what is read) and env.json."""
    settings = {**identity(spec), "resolved_recipe": repr(recipe), "resolved": dict(resolved)}
    settings |= {} if part is None else {"part": part.to_dict()}
    # memory_check is no part of the identity; a retraining that heals the run obeys it too
    digests = {"files": digests_of(spec), "inputs": input_digests(spec)}
    write_json(folder / "spec.json", {**settings, "memory_check": spec.memory_check, **digests})
    write_json(folder / "env.json", environment())


def identity(spec: RunSpec) -> dict[str, Any]:
    """Returns the settings that identify a run.

    A budget belongs to them only if its guard acts, because a finished run can be judged again under another budget.
    The batch size of measurements does not.
    """
    judged_only = () if spec.budget and spec.guard().on_spent != "log" else ("budget",)
    ignored = ("resume", "out", "name", "eval_batch_tokens", "memory_check", *judged_only)
    return {key: value for key, value in spec.to_dict().items() if key not in ignored}


@contextlib.contextmanager
def removing_empty_folders(folder: Path) -> Iterator[None]:
    """Removes the empty folders of a run that fails.

    After a `HoldfastError` before any measurement, it removes spec.json and env.json too.
    """
    if not is_main_process():  # the main process makes the folders
        yield
        return
    new_folders = [path for path in (folder / "checkpoints", folder, *folder.parents) if not path.exists()]
    try:
        yield
    except BaseException as error:
        records = {folder / "spec.json", folder / "env.json"}
        is_user_error = isinstance(error, HoldfastError) and not isinstance(
            error.__cause__, OSError
        )  # a full disk is not the user's mistake
        if (
            is_user_error
            and folder in new_folders
            and {path for path in folder.rglob("*") if path.is_file()} <= records
        ):
            for path in records:
                path.unlink(missing_ok=True)
        for path in new_folders:
            with contextlib.suppress(OSError):
                path.rmdir()
        raise


@contextlib.contextmanager
def reporting_write_errors(target: Path) -> Iterator[None]:
    """Turns an error in writing below `target` into a `HoldfastError`.

    Python raises OSError, safetensors its own error, and torch a RuntimeError of its archive writer.
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
        contents = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        contents = None
    if not isinstance(contents, dict):
        raise HoldfastError(f"{path} cannot be read; delete {path.parent}, or choose another folder with --name.")
    return contents


def _fields_of(part: Part | None) -> dict[str, Any] | None:
    return None if part is None else part.to_dict()


def digests_of(spec: TrainingSpec) -> dict[str, str]:
    """Returns a digest of each file that the run names, with or without `:N`; folders and hub ids have none here."""
    digests = {}
    for source in sources_of(spec):
        if (path := path_of(source)).is_file():
            with path.open("rb") as file:
                digests[source] = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    return digests


def _name(spec: RunSpec) -> str:
    digest = hashlib.sha256(json.dumps(identity(spec), sort_keys=True).encode()).hexdigest()[:8]
    stem = re.sub(r"[^\w-]+", "-", Path(spec.data).name.split(".", 1)[0]) or "run"
    return f"{stem}-{digest}-seed{spec.seed}"
