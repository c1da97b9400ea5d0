"""A hub that does not answer is asked once, and one that answers is asked as before."""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import zlib

import huggingface_hub
import pytest
from huggingface_hub import constants

from holdfast.bench.given.loading import config_of, load_tokenizer
from holdfast.bench.given.model_size import model_size
from holdfast.bench.run.early_checks import check_model
from holdfast.core.errors import HoldfastError
from holdfast.data import hub_reach
from holdfast.data.hub_reach import is_hub_name, without_waiting
from tests.bench.given.test_model_size import folder_of


class Hub(http.server.BaseHTTPRequestHandler):
    """Gives the files of one folder under the name of any model, and counts what it is asked."""

    def do_HEAD(self):
        self.server.asked.append((self.command, self.path))
        file = self.server.folder / self.path.rpartition("/")[2]
        there = "/resolve/" in self.path and file.exists()
        data = file.read_bytes() if there else b""
        self.send_response(200 if there else 404)
        if not there:
            self.send_header("X-Error-Code", "EntryNotFound")
        whole = b"".join(path.read_bytes() for path in sorted(self.server.folder.iterdir()))
        self.send_header("X-Repo-Commit", f"{zlib.crc32(whole):040x}")
        self.send_header("ETag", f'"{zlib.crc32(data)}"')
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        return data

    def do_GET(self):
        self.wfile.write(self.do_HEAD())

    def log_message(self, *words):
        pass


@pytest.fixture
def endpoint(monkeypatch, tmp_path):
    """Sets the address of the hub, with an empty cache and a memory of nothing, and a user who is online."""

    def use(port):
        address = f"http://127.0.0.1:{port}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        return address

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub_reach, "_silent_until", {})
    huggingface_hub.close_session()
    yield use
    huggingface_hub.close_session()


@pytest.fixture
def hub(endpoint, tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked, server.folder = [], folder_of(tmp_path / "m")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint(server.server_port)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def closed(endpoint, monkeypatch):
    """The address of a port at which nobody listens; returns the waits and the questions that follow."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    endpoint(port)
    waits, asked, asks = [], [], hub_reach._asks
    monkeypatch.setattr("time.sleep", waits.append)
    monkeypatch.setattr(hub_reach, "_asks", lambda url: asked.append(url) or asks(url))
    return waits, asked


def test_a_hub_that_does_not_answer_is_asked_once_and_the_sentence_says_so(closed):
    waits, asked = closed
    assert model_size("nobody/nothing") == 0
    for loads in (config_of, load_tokenizer):
        with pytest.raises(HoldfastError, match="the hub did not give it .*there is no network"):
            loads("nobody/nothing")
    assert len(asked) == 1
    assert waits == [1.0]  # before a second try; the library itself would wait 23 seconds for each file
    assert constants.HF_HUB_OFFLINE is False


def test_the_command_says_it_before_it_imports_torch(closed):
    with pytest.raises(HoldfastError, match="Model 'nobody/nothing' is not .* there is no network"):
        check_model("nobody/nothing")
    check_model("ground:base")
    assert len(closed[1]) == 1


def test_it_is_asked_again_a_minute_later(closed, monkeypatch):
    _, asked = closed
    model_size("nobody/nothing")
    monkeypatch.setattr(hub_reach, "REMEMBERED", 0.0)
    hub_reach._silent_until.clear()
    model_size("nobody/nothing")
    model_size("nobody/nothing")
    assert len(asked) >= 3


def test_what_is_in_the_cache_needs_no_hub(hub, endpoint, closed):
    endpoint(hub.server_port)
    size = model_size("someone/model")
    assert size > 100_000_000
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        endpoint(taken.getsockname()[1])
        assert model_size("someone/model") == size
        check_model("someone/model")


def test_a_hub_that_answers_is_asked_as_before(hub):
    size = model_size("someone/model")
    assert size > 100_000_000
    assert ("GET", "/someone/model/resolve/main/config.json") in hub.asked
    config = json.loads((hub.folder / "config.json").read_text())
    (hub.folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 24}))
    assert model_size("someone/model") > 1.5 * size  # a newer file is seen


def test_a_hub_that_answers_that_there_is_no_such_file_is_no_silent_hub(hub):
    for file in hub.folder.iterdir():
        file.unlink()
    assert model_size("someone/nothing") == 0
    with without_waiting("someone/nothing"):
        assert constants.HF_HUB_OFFLINE is False


COMMAND = """
import sys
from holdfast.bench.given.loading import config_of
from holdfast.core.errors import HoldfastError
try:
    print(config_of("someone/model").num_hidden_layers)
except HoldfastError as error:
    print(error)
"""


@pytest.mark.slow
def test_the_environment_names_a_hub_that_answers_or_does_not(hub, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = taken.getsockname()[1]
    said = {}
    for port in (hub.server_port, closed):
        given = {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HOME": str(tmp_path / f"home-{port}")}
        environment = {**os.environ, **given, "HF_HUB_OFFLINE": "0"}
        words = [sys.executable, "-c", COMMAND]
        said[port] = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300, check=True)
    assert said[hub.server_port].stdout.split() == ["12"]
    assert "there is no network" in said[closed].stdout
    assert "Retrying" not in said[closed].stderr


@pytest.mark.parametrize("name", ["ground:base", "/a/b", "./a", "~/a", "a", "a/b/c"])
def test_a_folder_asks_nobody(closed, name):
    assert not is_hub_name(name)
    with without_waiting(name):
        pass
    assert closed == ([], [])
