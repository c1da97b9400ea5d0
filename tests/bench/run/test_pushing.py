"""A run that pushes its model: a stand-in for a hub on this machine gets the model, the card and the certificate."""

from __future__ import annotations

import base64
import http.server
import json
import threading

import huggingface_hub
import pytest
from huggingface_hub import ModelCard, constants
from rich.console import Console

from holdfast.bench.given.specs import RunSpec
from holdfast.bench.run.proof import ProofRecord
from holdfast.bench.run.pushing import push
from holdfast.bench.run.run import train
from holdfast.core.errors import HoldfastError


class Hub(http.server.BaseHTTPRequestHandler):
    """The few addresses of a hub that an upload asks; it keeps what it gets."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        if self.server.refuses:
            return self.answer({"error": "You may not write here."}, 403)
        if self.path == "/api/repos/create":
            self.server.made = json.loads(body)
            parts = (self.server.made.get("organization"), self.server.made["name"])
            name = self.server.made["whole"] = "/".join(filter(None, parts))
            return self.answer({"url": f"http://{self.headers['Host']}/{name}", "id": name})
        if "/preupload/" in self.path:
            files = json.loads(body)["files"]
            modes = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]
            return self.answer({"files": modes})
        if "/commit/" in self.path:
            for line in map(json.loads, body.decode().splitlines()):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            return self.answer(
                {"commitUrl": f"http://{self.headers['Host']}/me/lamps/commit/1", "commitOid": "1", "success": True}
            )
        return self.answer({"errors": [], "warnings": []})  # the check of a card's metadata

    def do_GET(self):
        self.answer({"id": "me/lamps", "sha": "0", "siblings": []})

    def answer(self, values, status=200):
        data = json.dumps(values).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words):
        pass


@pytest.fixture
def hub(monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked, server.files, server.refuses, server.made = [], {}, False, {}
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_word")
    huggingface_hub.close_session()
    yield server
    huggingface_hub.close_session()
    server.shutdown()
    server.server_close()


def spec(room, tmp_path, **training):
    return RunSpec(
        model=str(room / "model"), data=str(room / "facts.jsonl"), keep=(str(room / "texts.txt"),),
        out=str(tmp_path / "runs"), name="run", recipe="Train(lr=0.01, epochs=1)", budget={"nll": 0.5},
        training=training,
    )  # fmt: skip


def test_the_judged_model_is_pushed_once_with_its_card_and_its_certificate(room, tmp_path, hub):
    done = train(
        spec(room, tmp_path, push_to_hub=True, hub_model_id="me/lamps", hub_private_repo=True), Console(quiet=True)
    )
    assert sum("/commit/" in path for path, _ in hub.asked) == 1
    assert {token for _, token in hub.asked} == {"Bearer hf_word"}
    assert (hub.made["whole"], hub.made["visibility"]) == ("me/lamps", "private")
    folder = done.folder / "model"
    assert hub.files == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert f"verdict:{done.record.verdict.word}" in ModelCard(hub.files["README.md"].decode()).data.tags
    assert ProofRecord.from_dict(json.loads(hub.files["proof.json"])).verdict == done.record.verdict
    assert "hf_word" not in (done.folder / "spec.json").read_text()


def test_a_hub_that_refuses_leaves_the_run_and_says_how_to_upload(room, tmp_path, hub):
    hub.refuses = True
    with pytest.raises(HoldfastError, match="The run is done, and .* was not pushed to me/lamps .*hf upload me/lamps"):
        train(spec(room, tmp_path, push_to_hub=True, hub_model_id="me/lamps"), Console(quiet=True))
    assert (tmp_path / "runs" / "run" / "result.json").exists()
    assert (tmp_path / "runs" / "run" / "model" / "proof.json").exists()


@pytest.mark.parametrize(
    ("training", "says"),
    [
        ({"push_to_hub": True}, "give hub_model_id=NAME/MODEL too"),
        ({"hub_model_id": "me/lamps"}, "hub_model_id has no effect without push_to_hub"),
        ({"hub_token": "hf_word"}, "set the variable HF_TOKEN"),
        ({"hub_strategy": "end"}, "hub_strategy has no effect"),
    ],
    ids=["name", "push", "token", "strategy"],
)
def test_a_push_that_would_do_something_else_is_refused(room, tmp_path, training, says):
    with pytest.raises(HoldfastError, match=says):
        train(spec(room, tmp_path, **training), Console(quiet=True))


def test_nothing_is_pushed_by_default(tmp_path):
    assert push(tmp_path, {}) is None
