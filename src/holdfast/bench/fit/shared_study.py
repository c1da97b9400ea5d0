"""A search as a study in a database of Optuna, which several processes and machines share.

A trial enters the study together with the cost that it reserves, and its number tells which trials were there before.
A process may make it if these and it cost no more than is allowed; otherwise the process withdraws it. As a trial never
costs more than it reserved, all trials together never cost more than is allowed, whoever makes them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from holdfast.bench.fit.history import ATTEMPTS, Entry
from holdfast.bench.fit.study import may_begin
from holdfast.bench.fit.trials import Candidate, TrialOutcome, failed
from holdfast.core.errors import HoldfastError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

BEAT, GRACE = 15, 90
"""Seconds between two signs of life of a trial, and seconds without one after which its process counts as ended."""
PATIENCE = 30.0
"""Seconds for which a process waits for a locked SQLite file."""
OPENINGS, PAUSE = 10, 0.3
"""Attempts to open a database in which another process makes the tables, and seconds between them."""


class SharedStudy:
    """The trials of a search in a database.

    Attributes:
        url: URL of the database.
        name: Name of the study.
    """

    def __init__(
        self, url: str, name: str, identity: str, *, beat: int = BEAT, grace: int = GRACE, patience: float = PATIENCE
    ) -> None:
        """Opens the study, or begins it.

        Args:
            url: URL of a database as SQLAlchemy reads it, or the path of an SQLite file.
            name: Name of the study, of which a database may hold several.
            identity: What is searched; a study of something else is refused.
            beat: Seconds between two signs of life of a running trial.
            grace: Seconds without one after which its process counts as ended.
            patience: Seconds to wait for a locked SQLite file.

        Raises:
            HoldfastError: The database cannot be opened or is locked, or the study belongs to another search.
        """
        self.url, self.name = _url(url), name
        self._beat = beat
        self._mine: dict[int, int] = {}
        with self._errors():
            self._storage = _open(self.url, beat, grace, patience)
            self._id = self._study(identity)

    def _study(self, identity: str) -> int:
        """Returns the number of the study in the database."""
        from optuna.exceptions import DuplicatedStudyError
        from optuna.study import StudyDirection

        try:
            number = self._storage.create_new_study([StudyDirection.MAXIMIZE], self.name)
            self._storage.set_study_user_attr(number, "identity", identity)
        except DuplicatedStudyError:
            number = self._storage.get_study_id_from_name(self.name)
            there = self._storage.get_study_user_attrs(number).get("identity", identity)
            if there != identity:
                raise HoldfastError(
                    f"{self.url} holds a search named {self.name!r} of another problem (its model, data, what is"
                    " measured, budget or seed differ); give another --storage, or another folder with --out."
                ) from None
        return number

    def history(self) -> list[Entry]:
        """Returns all trials, in the order in which they began."""
        self._bury()
        with self._errors():
            return [_entry(trial) for trial in self._storage.get_all_trials(self._id, deepcopy=False)]

    def claim(self, entry: Entry, limit: float) -> Entry | None:
        """Enters a trial into the study, and returns it with its number; None if another process was first.

        Args:
            entry: The trial, without its number.
            limit: What all trials together may cost.
        """
        from optuna.trial import TrialState, create_trial

        about = {
            "candidate": [entry.candidate.recipe, entry.candidate.settings],
            "fidelity": entry.fidelity,
            "source": entry.source,
            "reserved": entry.reserved,
            "attempt": entry.attempt,
            "owner": _owner(),
        }
        with self._errors():
            template = create_trial(state=TrialState.RUNNING, user_attrs={"trial": about})
            trial_id = self._storage.create_new_trial(self._id, template_trial=template)
            self._storage.record_heartbeat(trial_id)
            number = self._storage.get_trial(trial_id).number
            earlier = [_entry(t) for t in self._storage.get_all_trials(self._id, deepcopy=False) if t.number < number]
        if may_begin(entry, earlier, limit):
            self._mine[number] = trial_id
            return dataclasses.replace(entry, number=number)
        with self._errors():
            self._storage.set_trial_user_attr(trial_id, "withdrawn", True)
            self._storage.set_trial_state_values(trial_id, TrialState.FAIL)
        return None

    def finish(self, entry: Entry, outcome: TrialOutcome) -> None:
        """Writes the outcome of a trial of this process."""
        import optuna
        from optuna.trial import TrialState

        trial_id = self._mine.pop(entry.number)
        states = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        with self._errors(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._storage.set_trial_user_attr(trial_id, "outcome", json.dumps(outcome.to_dict()))
            if outcome.used is not None:
                study = optuna.load_study(study_name=self.name, storage=self._storage)
                optuna.trial.Trial(study, trial_id).set_constraint("budget", outcome.used - 1.0)
            values = [outcome.learned] if outcome.state == "finished" and outcome.learned is not None else None
            self._storage.set_trial_state_values(trial_id, states[outcome.state], values)

    def abandon(self, entry: Entry) -> None:
        """Gives a trial of this process up, so that it can begin again."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        trial_id = self._mine.pop(entry.number)
        with self._errors(), contextlib.suppress(UpdateFinishedTrialError):
            self._storage.set_trial_user_attr(trial_id, "stopped", True)
            self._storage.set_trial_state_values(trial_id, TrialState.FAIL)

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Shows in the study, inside the context, that the trials of this process still run."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(self._beat):
                for trial_id in [*self._mine.values()]:
                    with contextlib.suppress(Exception):  # the next beat may succeed
                        self._storage.record_heartbeat(trial_id)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def close(self) -> None:
        """Closes the connections to the database."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _bury(self) -> None:
        """Marks running trials whose process has ended: on this machine at once, on others without a sign of life."""
        import optuna
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        with self._errors(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for trial in self._storage.get_all_trials(self._id, deepcopy=False, states=(TrialState.RUNNING,)):
                owner = str(trial.user_attrs.get("trial", {}).get("owner", ""))
                if trial.number not in self._mine and _has_ended(owner):
                    with contextlib.suppress(UpdateFinishedTrialError):
                        self._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
            optuna.storages.fail_stale_trials(optuna.load_study(study_name=self.name, storage=self._storage))

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turns errors of the database into a `HoldfastError`."""
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import ArgumentError, SQLAlchemyError

        try:
            yield
        except (SQLAlchemyError, StorageInternalError, ArgumentError, ImportError, RuntimeError) as error:
            reason = " ".join(str(error.__cause__ or error).split())[:200]
            if "locked" in reason:
                raise HoldfastError(
                    f"{self.url} is locked by another program; end it, or give another --storage."
                ) from error
            raise HoldfastError(
                f"{self.url} cannot be used ({reason}); give the URL of a database, as in sqlite:///search.db."
            ) from error


def _url(text: str) -> str:
    """Returns the URL of a database; a path means an SQLite file, whose folder is made."""
    url = text if "://" in text else f"sqlite:///{Path(text).expanduser()}"
    if url.startswith("sqlite:///") and (path := url.removeprefix("sqlite:///")) not in ("", ":memory:"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    return url


def _open(url: str, beat: int, grace: int, patience: float) -> RDBStorage:
    """Opens a database, in which another process may be making the tables at the same moment."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    options: dict[str, Any] = {"connect_args": {"timeout": patience}} if url.startswith("sqlite") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for left in reversed(range(OPENINGS)):
            try:
                return optuna.storages.RDBStorage(
                    url, engine_kwargs=options, heartbeat_interval=beat, grace_period=grace
                )
            except SQLAlchemyError as error:  # RDBStorage looks for each table before it makes it
                if not left or not re.search("already exists|UNIQUE|unique", str(error)):
                    raise
                time.sleep(PAUSE)
    raise AssertionError("the last attempt returns or raises")


def _entry(trial: FrozenTrial) -> Entry:
    """Returns a trial of the database."""
    about = trial.user_attrs["trial"]
    outcome = trial.user_attrs.get("outcome")
    entry = Entry(
        number=trial.number,
        candidate=Candidate(*about["candidate"]),
        fidelity=about["fidelity"],
        source=about["source"],
        reserved=about["reserved"],
        attempt=about["attempt"],
    )
    if not trial.state.is_finished():
        return entry
    if outcome is not None:
        return dataclasses.replace(
            entry, standing="done", outcome=TrialOutcome.from_dict(json.loads(outcome), "a trial of the study")
        )
    for standing in ("withdrawn", "stopped"):
        if trial.user_attrs.get(standing):
            return dataclasses.replace(entry, standing=standing)
    if entry.attempt + 1 < ATTEMPTS:
        return dataclasses.replace(entry, standing="abandoned")
    return dataclasses.replace(
        entry, standing="done", outcome=failed(entry.reserved, f"The process that made it ended {ATTEMPTS} times.")
    )


def _owner() -> str:
    """Returns the machine, number and begin of this process."""
    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time():.2f}"


def _has_ended(owner: str) -> bool:
    """Returns whether the process of a trial ran on this machine and has ended."""
    host, _, rest = owner.partition(" ")
    if host != socket.gethostname() or not rest:
        return False
    number, began = rest.split()
    try:
        return bool(abs(psutil.Process(int(number)).create_time() - float(began)) > 1.0)
    except psutil.NoSuchProcess:
        return True
