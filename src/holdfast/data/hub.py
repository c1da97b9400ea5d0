"""Data sets from the Hugging Face hub, and in one sentence why one could not be had."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterator, Sequence, Set
from typing import Any

from holdfast.core.errors import HoldfastError, nearest
from holdfast.core.loggers import errors_of

_NO_NETWORK = ("LocalEntryNotFoundError", "ConnectionError", "ConnectError", "NameResolutionError")
_SLOW = ("Timeout", "TimeoutException", "ReadTimeout", "ConnectTimeout", "ReadTimeoutError", "TimeoutError")
_DISK_FULL = 28
_LOGIN = "log in with `hf auth login`"


def load(source: str, name: str, config: str | None, split: str) -> Any:
    """Returns a split of a data set of the hub, or of the hub's cache on this machine.

    Args:
        source: What the user wrote, for messages.
        name: Its id (org/name).
        config: Its config; None for the only one.
        split: Its split.

    Raises:
        HoldfastError: It cannot be had; the sentence says whose fault that is: of the name, the config, the split, the
            rights, the network, the hub, the disk, or the data set itself.
    """
    import datasets

    with _silently(datasets):
        try:
            return datasets.load_dataset(name, config, split=split)
        except Exception as error:
            raise HoldfastError(why_not(source, name, config, split, error)) from error


@contextlib.contextmanager
def _silently(datasets: Any) -> Iterator[None]:
    """Holds back the bars and the advice of the library, and what the hub says of each try."""
    shown = datasets.utils.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        with errors_of(("datasets", "huggingface_hub")):
            yield
    finally:
        if shown:
            datasets.enable_progress_bars()


def why_not(source: str, name: str, config: str | None, split: str, error: BaseException) -> str:
    """Returns why a data set could not be loaded, and how to mend it."""
    chain = list(_causes(error))
    said = " ".join(str(one) for one in chain)
    kinds = {base.__name__ for one in chain for base in type(one).__mro__}
    code = next((found for one in chain if (found := _status(one))), 0)
    page = f"https://huggingface.co/datasets/{name}"
    if any(isinstance(one, OSError) and one.errno == _DISK_FULL for one in chain):
        return f"'{source}': the disk with the cache of the Hugging Face hub is full; free some space or set HF_HOME."
    return (
        _refused(source, said, kinds, code, page)
        or _unreached(source, name, kinds)
        or _unnamed(source, name, config, split, said)
        or _unreadable(source, said, kinds, page)
        or f"'{source}': the data set on the Hugging Face hub could not be read ({_reason(error)}); see {page}, or give"
        " a local file."
    )


def _refused(source: str, said: str, kinds: Set[str], code: int, page: str) -> str:
    """Returns what the hub says in place of the data set; "" if it does not refuse it."""
    if "gated" in said or "GatedRepoError" in kinds:
        return f"'{source}': the data set is gated on the Hugging Face hub; ask for access at {page}, and {_LOGIN}."
    if code == 429:
        return f"'{source}': the Hugging Face hub had too many requests from here (429); wait a while, or {_LOGIN}."
    if code >= 500:
        return f"'{source}': the Hugging Face hub answered with an error of its own ({code}); try again later."
    if code in (401, 403) and "RepositoryNotFoundError" not in kinds:
        return f"'{source}': the Hugging Face hub refuses access ({code}); {_LOGIN}."
    return ""


def _unreached(source: str, name: str, kinds: Set[str]) -> str:
    """Returns why the data set is neither here nor found there; "" if the hub has it."""
    here = f"'{source}' is no file or folder here and could not be loaded from the Hugging Face hub"
    if "OfflineModeIsEnabled" in kinds or (kinds & {*_NO_NETWORK} and _is_offline()):
        return f"{here} (HF_HUB_OFFLINE is set, and it is not asked); check the name, unset that, or give a local file."
    if kinds & {"DatasetNotFoundError", "RepositoryNotFoundError"}:
        return f"{here} (it shows no data set '{name}'); check the name, and if the data set is private, {_LOGIN}."
    if kinds & {*_NO_NETWORK, *_SLOW}:
        slow = "did not answer in time" if kinds & {*_SLOW} else "cannot be reached"
        return f"{here} (it {slow}); check the name and the network, or give a local file."
    return ""


def _unnamed(source: str, name: str, config: str | None, split: str, said: str) -> str:
    """Returns which config or split of the data set is to be named; "" if that is not what is wrong."""
    if "config name is missing" in said.lower() and (known := _listed(said)):
        return f"'{source}': the data set has several configs; name one, as in {name}/{known[0]} ({_short(known)})."
    if "BuilderConfig" in said and "not found" in said:
        known = _listed(said)
        close = nearest(config or "", known)
        return f"'{source}': the data set has no config '{config}'; choose one of {_short(known)}.{close}"
    if "Unknown split" in said:
        known = _listed(said)
        return (
            f"'{source}': the data set has no split '{split}'; name one, as in {_stem(name, config)}:"
            f"{(known or ['test'])[0]} ({_short(known)}).{nearest(split, known)}"
        )
    return ""


def _unreadable(source: str, said: str, kinds: Set[str], page: str) -> str:
    """Returns why the files of the data set cannot be read; "" if that is not known."""
    if "scripts are no longer supported" in said:
        return (
            f"'{source}': the data set is a script, which is not run; save it in a file (.parquet, .jsonl), or give"
            " another that holds files."
        )
    if kinds & {"EmptyDatasetError", "DataFilesNotFoundError", "FileNotFoundError"}:
        return f"'{source}': the data set on the Hugging Face hub holds no file that is understood; see {page}."
    return ""


def _is_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error and what it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int:
    return int(getattr(getattr(error, "response", None), "status_code", 0) or 0)


def _listed(said: str) -> list[str]:
    """Returns the names that an error lists."""
    for found in re.findall(r"\[[^\[\]]*\]", said):
        with contextlib.suppress(ValueError, SyntaxError):
            names = ast.literal_eval(found)
            if isinstance(names, list) and all(isinstance(name, str) for name in names):
                return names
    return []


def _short(names: Sequence[str], most: int = 10) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest if names else "others"


def _stem(name: str, config: str | None) -> str:
    return name if config is None else f"{name}/{config}"


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
