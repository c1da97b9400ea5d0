"""The study in a database: whose it is, who may begin a trial, and what a locked or foreign file says."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from holdfast.bench.fit.history import ATTEMPTS, Entry
from holdfast.bench.fit.shared_study import SharedStudy
from holdfast.bench.fit.study import MemoryStudy
from holdfast.bench.fit.trials import Candidate, TrialOutcome
from holdfast.core.errors import HoldfastError

CANDIDATES = [Candidate.of(f"Train(lr={number}e-5)") for number in range(1, 6)]
OUTCOME = TrialOutcome(state="finished", learned=3.0, lost=0.5, used=0.4, cost=0.5, folder="runs/a")


def entry(number=0, reserved=1.0):
    return Entry(-1, CANDIDATES[number], 1.0, "given", reserved)


@pytest.fixture
def opened(tmp_path):
    studies = []

    def make(identity="this", **options):
        studies.append(SharedStudy(str(tmp_path / "deep" / "search.db"), "search", identity, **options))
        return studies[-1]

    yield make
    for study in studies:
        study.close()


def kinds(opened):
    return {"memory": MemoryStudy, "database": opened}


@pytest.mark.parametrize("kind", ["memory", "database"])
class TestStudy:
    def test_trials_come_back_as_they_were(self, opened, kind):
        study = kinds(opened)[kind]()
        first = study.claim(entry(0), 3.0)
        second = study.claim(entry(1), 3.0)
        study.finish(first, OUTCOME)
        history = study.history()
        assert [(e.number, e.candidate, e.standing) for e in history] == [
            (0, CANDIDATES[0], "done"),
            (1, CANDIDATES[1], "running"),
        ]
        assert history[0].outcome == OUTCOME
        study.abandon(second)
        assert study.history()[1].standing == "stopped"

    def test_cost_is_reserved_and_given_back(self, opened, kind):
        study = kinds(opened)[kind]()
        first = study.claim(entry(0), 2.2)
        assert study.claim(entry(1), 2.2) is not None
        assert study.claim(entry(2, 0.5), 2.2) is None
        study.finish(first, OUTCOME)
        assert study.claim(entry(3, 0.5), 2.2) is not None

    def test_nobody_makes_a_trial_twice(self, opened, kind):
        study = kinds(opened)[kind]()
        first = study.claim(entry(0), 9.0)
        assert study.claim(entry(0), 9.0) is None
        study.abandon(first)
        assert study.claim(entry(0), 9.0) is not None


class TestSharing:
    def test_processes_see_one_another(self, opened):
        here, there = opened(), opened()
        assert here.claim(entry(0), 1.5) is not None
        assert there.claim(entry(1), 1.5) is None
        assert [e.standing for e in there.history()] == ["running", "withdrawn"]

    def test_many_at_once_never_exceed_the_cost(self, opened):
        studies, granted = [opened(patience=60.0) for _ in range(4)], []

        def work(number):
            for which in range(len(CANDIDATES)):
                if (claimed := studies[number].claim(entry(which, 0.6), 2.0)) is not None:
                    granted.append(claimed)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(e.reserved for e in granted) <= 2.0
        assert len({e.candidate for e in granted}) == len(granted) >= 1

    def test_trial_without_a_sign_of_life_is_given_up(self, opened, monkeypatch):
        here = opened(beat=1, grace=1)
        with here.beating():
            here.claim(entry(0), 3.0)
        there = opened(beat=1, grace=1)
        monkeypatch.setattr("holdfast.bench.fit.shared_study._has_ended", lambda owner: False)
        standing = "running"
        for _ in range(100):
            standing = there.history()[0].standing
            if standing != "running":
                break
            threading.Event().wait(0.1)
        assert standing == "abandoned"

    def test_signs_of_life_keep_a_trial(self, opened):
        here = opened(beat=1, grace=2)
        with here.beating():
            here.claim(entry(0), 3.0)
            threading.Event().wait(4.0)
            assert opened(beat=1, grace=2).history()[0].standing == "running"

    def test_trial_that_ends_its_process_again_and_again_has_failed(self, opened, monkeypatch):
        monkeypatch.setattr("holdfast.bench.fit.shared_study._has_ended", lambda owner: True)
        for attempt in range(ATTEMPTS):
            study = opened()
            assert study.history() == [] or study.history()[-1].standing == "abandoned"
            study.claim(Entry(-1, CANDIDATES[0], 1.0, "given", 1.0, attempt=attempt), 9.0)
        last = opened().history()[-1]
        assert (last.standing, last.outcome.state, last.charge) == ("done", "failed", 1.0)
        assert f"ended {ATTEMPTS} times" in last.outcome.why


class TestRefusals:
    def test_study_of_another_problem(self, opened):
        opened("this")
        with pytest.raises(HoldfastError, match="of another problem"):
            opened("that")

    def test_locked_file(self, opened, tmp_path):
        study = opened(patience=0.2)
        lock = sqlite3.connect(tmp_path / "deep" / "search.db", isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        with pytest.raises(HoldfastError, match="is locked by another program"):
            study.claim(entry(0), 3.0)
        with pytest.raises(HoldfastError, match="is locked by another program"):
            opened(patience=0.2)
        lock.execute("ROLLBACK")
        lock.close()
        assert study.claim(entry(0), 3.0) is not None

    def test_file_that_is_no_database(self, tmp_path):
        (tmp_path / "notes.db").write_text("notes " * 1000)
        with pytest.raises(HoldfastError, match="cannot be used"):
            SharedStudy(str(tmp_path / "notes.db"), "search", "this")

    @pytest.mark.parametrize("url", ["nodb://host/x", "postgresql+nodriver://host/x"])
    def test_url_that_nothing_reads(self, url):
        with pytest.raises(HoldfastError, match="cannot be used"):
            SharedStudy(url, "search", "this")


def test_tables_that_another_process_makes_at_the_same_moment_are_waited_for(opened, monkeypatch):
    import optuna
    from sqlalchemy.exc import OperationalError

    failures = iter(["table trials already exists", "UNIQUE constraint failed"])

    class Racing(optuna.storages.RDBStorage):
        def __init__(self, *words, **options):
            if (why := next(failures, None)) is not None:
                raise OperationalError("CREATE TABLE trials", {}, Exception(why))
            super().__init__(*words, **options)

    monkeypatch.setattr(optuna.storages, "RDBStorage", Racing)
    monkeypatch.setattr("holdfast.bench.fit.shared_study.PAUSE", 0.0)
    assert opened().history() == []
    monkeypatch.setattr("holdfast.bench.fit.shared_study.OPENINGS", 3)
    failures = iter(["table trials already exists"] * 3)
    with pytest.raises(HoldfastError, match="table trials already exists"):
        opened()
