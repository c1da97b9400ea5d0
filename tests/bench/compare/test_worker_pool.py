"""The processes of a comparison: started, shared, failing, killed, ended."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from rich.console import Console

from holdfast.bench.compare import worker_pool
from holdfast.bench.compare.compare import compare


def go(spec):
    said = io.StringIO()
    done = compare(spec, Console(file=said, width=200))
    return done, said.getvalue()


def test_a_run_that_fails_is_reported_and_the_rest_go_on(compared, worker):
    spec = compared("Train(lr=1e30) + MoFO()", "Finch()")
    done, said = go(spec)
    assert done.exit_code == 1
    assert len(done.folders) == 2
    ((name, why),) = done.failed.items()
    assert "loss" in why or "no numbers" in why
    assert f"failed: {name}" in said
    assert f"logs/{name}.txt" in said
    assert "FAILED" in said
    (record,) = (json.loads(path.read_text()) for path in (done.folders[0].parent).glob("compare-*.json"))
    assert [run["error"] for run in record["runs"] if "error" in run] == [why]


def test_what_edits_a_run_that_failed_is_left_out_with_the_reason(compared, worker):
    spec = compared("WiSEFT()", "Finch()", settings="Train(lr=1e30)")
    done, _ = go(spec)
    assert any("which has not finished" in why for why in done.failed.values())


def test_a_process_that_dies_takes_nothing_with_it(compared, worker):
    """A job that kills its own process, and one after it that does not."""
    worker(
        "import os\n"
        "real = w.run_job\n"
        "def run_job(job, console):\n"
        "    os.kill(os.getpid(), 9) if 'Finch' in job['spec']['recipe'] else real(job, console)\n"
        "w.run_job = run_job\n"
    )
    done, _ = go(compared("Finch()", "MoFO()"))
    assert len(done.folders) == 2
    (why,) = done.failed.values()
    assert "killed" in why


def test_a_worker_that_is_gone_is_started_again(compared, worker):
    """The first job ends the process that makes runs; what it prints before is no answer."""
    worker(
        "import os\n"
        "real = w._run_in_fork\n"
        "def run_in_fork(job):\n"
        "    return os._exit(3) if 'Finch' in job['spec']['recipe'] else real(job)\n"
        "w._run_in_fork = run_in_fork\n"
        "print('a greeting')\n"
    )
    done, _ = go(compared("Finch()", "MoFO()"))
    assert len(done.folders) == 2
    (why,) = done.failed.values()
    assert "ended (exit code 3)" in why


def test_each_worker_has_one_of_the_gpus_that_there_are(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    with worker_pool.WorkerPool(3) as made:
        assert [member.env["CUDA_VISIBLE_DEVICES"] for member in made.members] == ["2", "5", "2"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(worker_pool.torch.cuda, "device_count", lambda: 2)
    with worker_pool.WorkerPool(2) as made:
        assert [member.env["CUDA_VISIBLE_DEVICES"] for member in made.members] == ["0", "1"]
    monkeypatch.setattr(worker_pool.torch.cuda, "device_count", lambda: 1)
    with worker_pool.WorkerPool(2) as made:
        assert not any("CUDA_VISIBLE_DEVICES" in member.env for member in made.members)


def test_the_processors_are_shared(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with worker_pool.WorkerPool(1) as one, worker_pool.WorkerPool(2) as two:
        threads = [int(made.members[0].env["OMP_NUM_THREADS"]) for made in (one, two)]
    assert threads == [len(os.sched_getaffinity(0)), max(1, len(os.sched_getaffinity(0)) // 2)]


def test_they_are_shared_on_systems_without_an_affinity(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    with worker_pool.WorkerPool(2) as made:
        assert [member.env["OMP_NUM_THREADS"] for member in made.members] == ["4", "4"]


@pytest.mark.slow
def test_where_a_gpu_may_be_in_use_each_job_has_a_new_process(compared, worker):
    worker("w.torch.cuda.is_available = lambda: True\nw._run_in_fork = None\n")
    done, _ = go(compared("Finch()"))
    assert len(done.folders) == 2


@pytest.mark.slow  # without a process of its own: test_an_interrupt_starts_no_process_for_the_runs_that_wait
def test_told_to_end_it_ends_what_it_started(compared, tmp_path):
    spec = compared("MoFO()", settings="Train(lr=0.01, epochs=400)")
    script = tmp_path / "go.py"
    script.write_text(
        "import json, sys\nfrom holdfast.bench.compare.compare import compare\n"
        "from holdfast.bench.given.specs import CompareSpec\n"
        "compare(CompareSpec.from_dict(json.loads(sys.argv[1])))\n"
    )
    words = [sys.executable, str(script), json.dumps(spec.to_dict())]
    first = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "out").glob("*/log.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(first.pid, signal.SIGTERM)
    first.communicate(timeout=300)
    assert first.returncode == 143
    time.sleep(0.5)
    sizes = {log: log.stat().st_size for log in (tmp_path / "out").glob("*/log.jsonl")}
    time.sleep(1.5)
    assert {log: log.stat().st_size for log in (tmp_path / "out").glob("*/log.jsonl")} == sizes


@pytest.mark.slow
def test_interrupted_it_leaves_nothing_running_and_goes_on(compared, tmp_path):
    spec = compared("MoFO()", "MaskTheTarget()", settings="Train(lr=0.01, epochs=40)")
    script = tmp_path / "go.py"
    script.write_text(
        "import json, sys\nfrom holdfast.bench.compare.compare import compare\n"
        "from holdfast.bench.given.specs import CompareSpec\n"
        "compare(CompareSpec.from_dict(json.loads(sys.argv[1])))\n"
    )
    words = [sys.executable, str(script), json.dumps(spec.to_dict())]
    first = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 120
    out = tmp_path / "out"
    while not list(out.glob("*/log.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(first.pid, signal.SIGINT)
    first.communicate(timeout=300)
    assert first.returncode != 0
    done, _ = go(spec)
    assert len(done.folders) == 3
    assert not done.failed


def test_all_processes_start_while_the_first_is_asked(monkeypatch):
    started = []
    monkeypatch.setattr(worker_pool._Worker, "start", lambda member: started.append(member))
    monkeypatch.setattr(worker_pool._Worker, "ask", lambda member, job: {"before": str(len(started))})
    with worker_pool.WorkerPool(3) as some:
        assert some.first({}) == {"before": "3"}
        assert started == some.members


def test_an_interrupt_starts_no_process_for_the_runs_that_wait(monkeypatch):
    """The first job is answered at once; the second never is."""
    real, started = subprocess.Popen, []
    script = """import sys, time
for number, line in enumerate(sys.stdin):
    time.sleep(600 * number)
    print("\\x1e{}", flush=True)
"""

    def start(words, **options):
        started.append(real([sys.executable, "-c", script], **options))
        return started[-1]

    monkeypatch.setattr(worker_pool.subprocess, "Popen", start)

    def interrupted():
        with worker_pool.WorkerPool(1) as pool:
            for _ in pool.all([(number, {}) for number in range(4)]):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    time.sleep(0.5)  # the thread that asked sees the end of its process after it
    assert len(started) == 1
    assert started[0].poll() == -signal.SIGKILL


def test_a_process_that_cannot_start_fails_its_run_and_not_the_pool(monkeypatch):
    def refuse(words, **options):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(worker_pool.subprocess, "Popen", refuse)
    with worker_pool.WorkerPool(1) as pool:
        answer = pool.members[0].ask({})
    assert answer == {"error": "No worker process can start (Cannot allocate memory).", "kind": "crash"}
