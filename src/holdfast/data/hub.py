"""Data sets from the Hugging Face hub, and the error that explains why one could not be loaded."""

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
    """Returns a split of a data set from the hub, or from the hub's cache on this machine.

    Args:
        source: The source as the user wrote it, for messages.
        name: Id of the data set (org/name).
        config: Its config; None for the only one.
        split: Its split.

    Raises:
        HoldfastError: The data set cannot be loaded; the message says whether the cause is the name, the config, the
            split, access rights, the network, the hub, the disk, or the data set itself.
    """
    import datasets

    with _silently(datasets):
        try:
            return datasets.load_dataset(name, config, split=split)
        except Exception as error:
            raise HoldfastError(why_not(source, name, config, split, error)) from error


@contextlib.contextmanager
def _silently(datasets: Any) -> Iterator[None]:
    """Hides the progress bars and log messages of the libraries."""
    shown = datasets.utils.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        with errors_of(("datasets", "huggingface_hub")):
            yield
    finally:
        if shown:
            datasets.enable_progress_bars()


def why_not(source: str, name: str, config: str | None, split: str, error: BaseException) -> str:
    """Returns a sentence: why a data set could not be loaded, and how to mend it."""
    chain = list(_causes(error))
    text = " ".join(str(cause) for cause in chain)
    kinds = {base.__name__ for cause in chain for base in type(cause).__mro__}
    code = next((status for cause in chain if (status := _status(cause))), 0)
    page = f"https://huggingface.co/datasets/{name}"
    if any(isinstance(cause, OSError) and cause.errno == _DISK_FULL for cause in chain):
        return f"'{source}': the disk with the cache of the Hugging Face hub is full; free some space or set HF_HOME."
    return (
        _refused(source, text, kinds, code, page)
        or _unreached(source, name, kinds)
        or _unnamed(source, name, config, split, text)
        or _unreadable(source, text, kinds, page)
        or f"'{source}': the data set on the Hugging Face hub could not be read ({_reason(error)}); see {page}, or give"
        " a local file."
    )


def _refused(source: str, text: str, kinds: Set[str], code: int, page: str) -> str:
    """Returns why the hub refuses the data set; "" if it does not."""
    if "gated" in text or "GatedRepoError" in kinds:
        return f"'{source}': the data set is gated on the Hugging Face hub; ask for access at {page}, and {_LOGIN}."
    if code == 429:
        return (
            f"'{source}': the Hugging Face hub received too many requests from here (429); wait a while, or {_LOGIN}."
        )
    if code >= 500:
        return f"'{source}': the Hugging Face hub answered with a server error ({code}); try again later."
    if code in (401, 403) and "RepositoryNotFoundError" not in kinds:
        return f"'{source}': the Hugging Face hub refuses access ({code}); {_LOGIN}."
    return ""


def _unreached(source: str, name: str, kinds: Set[str]) -> str:
    """Returns why the data set is neither on this machine nor on the hub; "" for other causes."""
    here = f"'{source}' is not a file or folder here and could not be loaded from the Hugging Face hub"
    if "OfflineModeIsEnabled" in kinds or (kinds & {*_NO_NETWORK} and _is_offline()):
        return f"{here} (HF_HUB_OFFLINE is set, so it is not asked); check the name, unset that, or give a local file."
    if kinds & {"DatasetNotFoundError", "RepositoryNotFoundError"}:
        return f"{here} (it has no public data set '{name}'); check the name, and if the data set is private, {_LOGIN}."
    if kinds & {*_NO_NETWORK, *_SLOW}:
        slow = "did not answer in time" if kinds & {*_SLOW} else "cannot be reached"
        return f"{here} (it {slow}); check the name and the network, or give a local file."
    return ""


def _unnamed(source: str, name: str, config: str | None, split: str, text: str) -> str:
    """Returns which config or split the source must name; "" for other causes."""
    if "config name is missing" in text.lower() and (known := _listed(text)):
        return f"'{source}': the data set has several configs; name one, as in {name}/{known[0]} ({_short(known)})."
    if "BuilderConfig" in text and "not found" in text:
        known = _listed(text)
        close = nearest(config or "", known)
        return f"'{source}': the data set has no config '{config}'; choose one of {_short(known)}.{close}"
    if "Unknown split" in text:
        known = _listed(text)
        return (
            f"'{source}': the data set has no split '{split}'; name one, as in {_stem(name, config)}:"
            f"{(known or ['test'])[0]} ({_short(known)}).{nearest(split, known)}"
        )
    return ""


def _unreadable(source: str, text: str, kinds: Set[str], page: str) -> str:
    """Returns why the files of the data set cannot be read; "" if the cause is unknown."""
    if "scripts are no longer supported" in text:
        return (
            f"'{source}': the data set is a script, which is never run; save its rows in a file (.parquet, .jsonl), or"
            " give a data set that holds files."
        )
    if kinds & {"EmptyDatasetError", "DataFilesNotFoundError", "FileNotFoundError"}:
        return f"'{source}': the data set on the Hugging Face hub holds no file that can be read; see {page}."
    return ""


def _is_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error and its causes."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int:
    return int(getattr(getattr(error, "response", None), "status_code", 0) or 0)


def _listed(text: str) -> list[str]:
    """Returns the first list of names in the text of an error."""
    for listing in re.findall(r"\[[^\[\]]*\]", text):
        with contextlib.suppress(ValueError, SyntaxError):
            names = ast.literal_eval(listing)
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
