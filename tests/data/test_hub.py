"""Why a data set of the hub could not be had: the sentence names what is to be mended, and nothing else."""

from __future__ import annotations

import errno
import importlib

import datasets
import pytest
from huggingface_hub import errors

from holdfast.core.errors import HoldfastError
from holdfast.data.examples import read
from holdfast.data.hub import why_not

httpx = importlib.import_module(errors.HTTPError.__module__.split(".")[0])  # the name differs between versions


def answered(kind, code):
    response = httpx.Response(code, request=httpx.Request("GET", "https://huggingface.co/api/datasets/org/set"))
    return kind(f"{code} for the request", response=response)


def caused(error, cause):
    error.__cause__ = cause
    return error


NOT_FOUND = datasets.exceptions.DatasetNotFoundError
CASES = {
    "gated": (
        caused(NOT_FOUND("Dataset 'org/set' is a gated dataset on the Hub."), answered(errors.GatedRepoError, 401)),
        "'org/set': the data set is gated on the Hugging Face hub; ask for access at "
        "https://huggingface.co/datasets/org/set, and log in with `hf auth login`.",
    ),
    "not there or private": (
        caused(
            NOT_FOUND("Dataset 'org/set' doesn't exist on the Hub or cannot be accessed."),
            answered(errors.RepositoryNotFoundError, 401),
        ),
        "'org/set' is not a file or folder here and could not be loaded from the Hugging Face hub (it has no public "
        "data set 'org/set'); check the name, and if the data set is private, log in with `hf auth login`.",
    ),
    "too many requests": (
        answered(errors.HfHubHTTPError, 429),
        "too many requests from here (429); wait a while",
    ),
    "the hub is down": (answered(errors.HfHubHTTPError, 503), "a server error (503); try again later."),
    "no rights": (answered(errors.HfHubHTTPError, 403), "the Hugging Face hub refuses access (403); log in with"),
    "offline": (
        caused(ConnectionError("Couldn't reach 'org/set' on the Hub"), errors.OfflineModeIsEnabled("offline")),
        "(HF_HUB_OFFLINE is set, so it is not asked); check the name, unset that, or give a local file.",
    ),
    "no network": (
        caused(ConnectionError("Couldn't reach 'org/set' on the Hub"), httpx.ConnectError("no route")),
        "(it cannot be reached); check the name and the network, or give a local file.",
    ),
    "slow": (httpx.ReadTimeout("timed out"), "(it did not answer in time); check the name and the network"),
    "several configs": (
        ValueError("Config name is missing.\nPlease pick one among the available configs: ['main', 'socratic']"),
        "'org/set': the data set has several configs; name one, as in org/set/main (main, socratic).",
    ),
    "another config": (
        ValueError("BuilderConfig 'mian' not found. Available: ['main', 'socratic']"),
        "'org/set': the data set has no config 'mian'; choose one of main, socratic. Did you mean 'main'?",
    ),
    "another split": (
        ValueError("Unknown split \"trian\". Should be one of ['train', 'test']."),
        "'org/set': the data set has no split 'trian'; name one, as in org/set/mian:train (train, test). Did you mean "
        "'train'?",
    ),
    "a script": (
        RuntimeError("Dataset scripts are no longer supported, but found set.py"),
        "'org/set': the data set is a script, which is never run; save its rows in a file",
    ),
    "no files": (
        datasets.exceptions.DataFilesNotFoundError("No (supported) data files found in org/set"),
        "the data set on the Hugging Face hub holds no file that can be read; see https://huggingface.co/datasets/",
    ),
    "a full disk": (
        OSError(errno.ENOSPC, "No space left on device"),
        "the disk with the cache of the Hugging Face hub is full; free some space or set HF_HOME.",
    ),
    "anything else": (
        datasets.exceptions.DatasetGenerationError("An error occurred while generating the dataset"),
        "could not be read (DatasetGenerationError: An error occurred while generating the dataset); see https://",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_sentence_names_what_is_to_be_mended(case, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    error, said = CASES[case]
    told = why_not("org/set", "org/set", "mian", "trian", error)
    assert said in told
    assert "\n" not in told
    if case not in ("offline", "no network", "slow", "not there or private"):
        assert "check the name" not in told, "the name is not to blame"


def test_an_error_of_the_library_is_turned_into_the_sentence_and_its_bars_are_back_afterwards(monkeypatch):
    seen = []

    def load(name, config, *, split):
        seen.append(datasets.utils.is_progress_bar_enabled())
        raise ValueError("Unknown split \"trian\". Should be one of ['train', 'test'].")

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(HoldfastError, match=r"has no split 'trian'.*org/set:train .*Did you mean 'train'\?"):
        read("org/set:trian")
    assert seen == [False]
    assert datasets.utils.is_progress_bar_enabled()
