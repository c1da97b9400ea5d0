"""Trials on a Ray cluster: the same search, with as many trials at a time as the cluster has room for.

The storage and the folder of the runs must be reachable from every machine of the cluster, because a trial whose worker
ends begins again on another one and continues from its last checkpoint.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import socket
from typing import TYPE_CHECKING, Any

from holdfast.bench.fit.history import ATTEMPTS, Entry
from holdfast.bench.fit.trials import TrialOutcome, failed
from holdfast.core.errors import HoldfastError

if TYPE_CHECKING:
    from holdfast.bench.fit.search import Problem


CONNECTING = 10.0
"""Seconds after which a cluster counts as unreachable."""
OBJECTS = 2**27
"""Bytes of memory for objects that a Ray started here takes."""


@dataclasses.dataclass
class RayEngine:
    """Trials as tasks of Ray.

    Attributes:
        slots: Number of trials at a time.

    Args:
        address: Address of the cluster; "auto" for the one that this machine belongs to; None starts Ray here.
        cpus: Processors of a trial.
        gpus: GPUs of a trial.
        most: Most trials at a time; as many as fit by default.

    Raises:
        HoldfastError: Ray is not installed, no cluster answers, or not even one trial fits.
    """

    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    most: int | None = None
    slots: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        """Connects to the cluster, and counts the trials that fit."""
        ray = _ray()
        if not ray.is_initialized():
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            _check_answers(self.address)
            here: dict[str, Any] = {}
            if self.address is None:  # outcomes are small, so that little memory for objects suffices
                here = {"include_dashboard": False, "object_store_memory": OBJECTS}
            try:
                ray.init(address=self.address, log_to_driver=False, **here)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise _no_cluster(self.address, error) from error
        there = ray.cluster_resources()
        fits = [int(there.get("CPU", 0.0) / self.cpus)] if self.cpus else []
        fits += [int(there.get("GPU", 0.0) / self.gpus)] if self.gpus else []
        room = min(fits, default=1)
        if room < 1:
            raise HoldfastError(
                f"A trial needs {self.cpus:g} CPUs and {self.gpus:g} GPUs, and the Ray cluster has"
                f" {there.get('CPU', 0):g} and {there.get('GPU', 0):g}; give less to each trial."
            )
        self.slots = room if self.most is None else min(room, self.most)

    def submit(self, problem: Problem, entry: Entry) -> concurrent.futures.Future[TrialOutcome]:
        """Begins a trial on the cluster; one whose worker ends begins again there."""
        ray = _ray()
        make = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=ATTEMPTS - 1)(_make)
        answer = make.remote(problem, entry).future()
        outcome: concurrent.futures.Future[TrialOutcome] = concurrent.futures.Future()
        answer.add_done_callback(lambda done: _pass_on(done, outcome, entry))
        return outcome

    def close(self) -> None:
        """Leaves the cluster; one that was started here ends."""
        _ray().shutdown()


def _check_answers(address: str | None) -> None:
    """Raises `HoldfastError` if nothing answers at an address, which Ray itself tries for many minutes."""
    host, colon, port = (address or "").rpartition("://")[2].rpartition(":")
    if colon and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=CONNECTING).close()
        except OSError as error:
            raise _no_cluster(address, error) from error


def _no_cluster(address: str | None, error: Exception) -> HoldfastError:
    reason = " ".join(str(error).split())[:200]
    return HoldfastError(
        f"No Ray cluster answers at {address or 'this machine'} ({reason}); start one with `ray start --head`, or leave"
        " out --engine ray."
    )


def _make(problem: Problem, entry: Entry) -> TrialOutcome:
    """Makes a trial, on a machine of the cluster."""
    return problem.evaluate(entry.candidate, entry.fidelity)


def _pass_on(done: Any, outcome: concurrent.futures.Future[TrialOutcome], entry: Entry) -> None:
    """Passes the outcome of a task on; a worker that ended too often is a failed trial."""
    from ray.exceptions import RayTaskError, WorkerCrashedError

    error = done.exception()
    if error is None:
        outcome.set_result(done.result())
    elif isinstance(error, RayTaskError):
        outcome.set_exception(error.cause)
    elif isinstance(error, WorkerCrashedError):
        outcome.set_result(failed(entry.reserved, f"The worker that made it ended {ATTEMPTS} times."))
    else:
        outcome.set_exception(error)


def _ray() -> Any:
    """Returns the module; raises `HoldfastError` if it is not installed."""
    try:
        import ray
    except ImportError as error:
        raise HoldfastError(
            "--engine ray needs Ray, which is not installed: pip install 'holdfast[ray]', or leave out --engine."
        ) from error
    return ray
