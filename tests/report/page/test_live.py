"""The page while a run trains: what it says, whom the server answers, and when the page is new."""

from __future__ import annotations

import http.client
import threading

import pytest

from holdfast.bench.given.specs import ReportSpec
from holdfast.bench.machine.files import append_jsonl, write_json
from holdfast.core.errors import HoldfastError
from holdfast.report.page.live import HOST, STATE, live_page, server, state_of
from tests.bench.comparison import write


@pytest.fixture
def training(tmp_path):
    folder = tmp_path / "run"
    write_json(
        folder / "spec.json", {"model": "base", "data": "new.jsonl", "recipe": "LoRA()", "resolved": {"steps": 9}}
    )
    return folder


@pytest.fixture
def serving(training):
    with server(ReportSpec(runs=(str(training),), live=True)) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running.server_port
        running.shutdown()


def get(port, path, host=None):
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    connection.request("GET", path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), dict(answer.getheaders())


def test_the_page_says_how_far_a_run_is(training):
    spec = ReportSpec(runs=(str(training),))
    assert live_page(spec).parts[0].sentence == "The run has begun."
    append_jsonl(training / "log.jsonl", {"step": 3, "loss": 1.0})
    append_jsonl(training / "log.jsonl", {"step": 4, "loss": 0.9})
    (part,) = live_page(spec).parts
    assert part.sentence == "Step 4 of 9."
    assert [section.heading for section in part.sections] == ["Training", "What is done"]
    append_jsonl(training / "log.jsonl", {"step": 9, "loss": 0.5})
    assert live_page(spec).parts[0].sentence == "All 9 steps are done; the model is being asked again."


def test_a_finished_run_has_its_own_page(training):
    write(training, "Train(lr=0.0001)", learned=0.9, kept=0.5)
    assert live_page(ReportSpec(runs=(str(training),))).parts[0].kind == "One run"


def test_the_server_answers_the_page_and_a_state_that_changes_with_the_files(training, serving):
    status, text, headers = get(serving, "/")
    assert status == 200
    assert f'data-live="{STATE}"' in text
    assert "connect-src" in text
    assert headers["X-Content-Type-Options"] == "nosniff"
    first = get(serving, STATE)[1]
    assert first == get(serving, STATE)[1] == state_of([str(training)])
    append_jsonl(training / "log.jsonl", {"step": 1, "loss": 1.0})
    assert get(serving, STATE)[1] != first


def test_the_server_refuses_other_names_of_this_machine_and_other_paths(serving):
    assert get(serving, "/", host="example.org")[0] == 403
    assert get(serving, "/", host=f"example.org:{serving}")[0] == 403
    assert get(serving, f"{STATE}?x=1", host=f"localhost:{serving}")[0] == 200
    assert get(serving, "/../../etc/passwd")[0] == 404
    assert get(serving, "/spec.json")[0] == 404


def test_a_wrong_folder_and_a_taken_port_are_errors(training, serving, tmp_path):
    with pytest.raises(HoldfastError, match="no such folder exists"):
        server(ReportSpec(runs=(str(tmp_path / "none"),), live=True))
    with pytest.raises(HoldfastError, match=f"--port {serving} cannot be used"):
        server(ReportSpec(runs=(str(training),), live=True, port=serving))
    with pytest.raises(HoldfastError, match="--port 99999 cannot be used"):
        server(ReportSpec(runs=(str(training),), live=True, port=99999))
