"""The search on a local Ray cluster: the same trials, several at a time, and a worker that is killed."""

from __future__ import annotations

import builtins
import dataclasses
import os
import signal
import sys
from pathlib import Path

import pytest

from holdfast.bench.fit.engine_ray import RayEngine
from holdfast.bench.fit.search import search
from holdfast.bench.fit.trials import Candidate, TrialOutcome
from holdfast.core.errors import HoldfastError
from tests.bench.fit.synthetic import GIVEN, Synthetic

FIRST = Candidate.of(GIVEN)


def test_without_ray_there_is_one_clear_sentence(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **options):
        if name == "ray":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    with pytest.raises(HoldfastError, match="needs Ray, which is not installed: pip install"):
        RayEngine()


def test_cluster_that_does_not_answer_is_named():
    pytest.importorskip("ray")
    with pytest.raises(HoldfastError, match=r"No Ray cluster answers at 127\.0\.0\.1:9"):
        RayEngine(address="127.0.0.1:9")


@pytest.mark.slow
def test_ray_is_started_here_and_ended():
    ray = pytest.importorskip("ray")
    engine = RayEngine()
    assert ray.is_initialized()
    assert engine.slots >= 1
    engine.close()
    assert not ray.is_initialized()


@pytest.fixture(scope="module")
def ray():
    ray = pytest.importorskip("ray")
    root = Path(__file__).parents[3]
    path = os.pathsep.join(str(root / name) for name in ("src", "", "benchmarks"))
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=100 * 2**20,
        runtime_env={"env_vars": {"PYTHONPATH": path}},
    )
    yield ray
    ray.shutdown()


@dataclasses.dataclass(frozen=True)
class Marked(Synthetic):
    """A problem whose trials leave marks in a folder, and end as told."""

    folder: str = ""
    what: str = ""

    def evaluate(self, candidate, fidelity):
        begun = len([*Path(self.folder).glob("begun-*")])
        (Path(self.folder) / f"begun-{os.getpid()}-{begun}").touch()
        if self.what == "killed once" and begun == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == "killed" and fidelity > 0.2:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == "refused":
            raise HoldfastError("There are no items; give some.")
        return super().evaluate(candidate, fidelity)


def essence(record):
    return [(row.recipe, row.fidelity, row.outcome) for row in record.trials]


@pytest.mark.slow
class TestRay:
    def test_search_is_the_same_and_keeps_its_cost(self, ray, tmp_path):
        problem = Marked(2, 0.24, holds=True, folder=str(tmp_path))
        here = search(problem, [FIRST], cost=3.0, storage=None).record
        there = search(problem, [FIRST], cost=3.0, storage=None, engine=RayEngine(most=1)).record
        assert essence(there) == essence(here)
        assert len({path.name.split("-")[1] for path in tmp_path.glob("begun-*")} - {str(os.getpid())}) >= 1

    def test_several_trials_run_at_a_time(self, ray, tmp_path):
        engine = RayEngine()
        assert engine.slots == 2
        record = search(
            Marked(2, 0.24, holds=True, folder=str(tmp_path)),
            [FIRST],
            cost=3.0,
            storage=tmp_path / "search.db",
            engine=engine,
            wait=0.05,
        ).record
        assert record.spent <= 3.0
        assert record.trials[-1].fidelity == 1.0
        assert len({(row.recipe, row.fidelity) for row in record.trials}) == len(record.trials)

    def test_killed_worker_is_replaced_and_its_trial_made_again(self, ray, tmp_path):
        problem = Marked(2, 0.24, holds=True, folder=str(tmp_path), what="killed once")
        killed = search(problem, [FIRST], cost=3.0, storage=None, engine=RayEngine(most=1)).record
        alone = search(dataclasses.replace(problem, what=""), [FIRST], cost=3.0, storage=None).record
        assert [(row.recipe, row.outcome) for row in killed.trials] == [
            (row.recipe, row.outcome) for row in alone.trials
        ]
        assert len([*tmp_path.glob("begun-*")]) >= 2 * len(alone.trials) + 1

    def test_trial_that_kills_every_worker_has_failed(self, ray, tmp_path):
        problem = Marked(2, 0.24, holds=True, folder=str(tmp_path), what="killed")
        record = search(problem, [FIRST], cost=1.6, storage=None, engine=RayEngine(most=1)).record
        whole = [row.outcome for row in record.trials if row.fidelity == 1.0]
        assert whole
        assert all(outcome.state == "failed" and "ended 3 times" in outcome.why for outcome in whole)
        assert record.best is None
        assert record.sentence.startswith("No candidate finished all its steps")

    def test_error_that_a_user_can_mend_arrives_as_it_is(self, ray, tmp_path):
        problem = Marked(2, folder=str(tmp_path), what="refused")
        with pytest.raises(HoldfastError, match=r"^There are no items; give some\.$"):
            search(problem, [FIRST], cost=3.0, storage=None, engine=RayEngine(most=1))

    def test_trial_that_fits_nowhere_is_refused(self, ray):
        with pytest.raises(HoldfastError, match="A trial needs 64 CPUs"):
            RayEngine(cpus=64)


def test_outcomes_are_plain_values():
    outcome = TrialOutcome(state="finished", learned=1.0, lost=0.1, used=0.2, cost=1.0)
    assert TrialOutcome.from_dict(outcome.to_dict()) == outcome
