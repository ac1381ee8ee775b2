"""The default engine: a pool of processes on this machine, each with one thread and its own loaded networks."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from UltrasoundMotionLib.cohort.case_run import CaseCancelled, CaseRecord, RunLine, failed, run_case
from UltrasoundMotionLib.cohort.manifest import CohortCase
from UltrasoundMotionLib.errors import Cancelled

_WAITING_PER_WORKER = 2
_CASES_OF_A_WORKER = 1000
"""After so many cases a worker is replaced, so that what libraries leak does not add up."""
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
_CRASHED = "the process crashed or was killed (out of memory?); the others went on"


def default_workers() -> int:
    """Returns the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_pool(
    cases: Sequence[CohortCase],
    out: Path,
    run_line: RunLine,
    *,
    workers: int,
    on_record: Callable[[CaseRecord], None],
) -> None:
    """Runs cases in several processes; whatever happens to one case, the others go on.

    A case during which a process dies is run again alone, to tell it from those that ran beside it.

    Args:
        run_line: a function of a module, which the processes import.
        on_record: called with each outcome as it comes; may raise to stop.

    Raises:
        Cancelled: the user stopped it.
    """
    suspects = _run_together(cases, out, run_line, workers=workers, on_record=on_record)
    while suspects:
        one, *suspects = suspects
        if _run_together([one], out, run_line, workers=1, on_record=on_record):
            on_record(failed(one, out, _CRASHED))


def _run_together(
    cases: Sequence[CohortCase],
    out: Path,
    run_line: RunLine,
    *,
    workers: int,
    on_record: Callable[[CaseRecord], None],
) -> list[CohortCase]:
    """Runs cases until all are done; returns those that were running whenever a process died."""
    suspects: list[CohortCase] = []
    rest = list(cases)
    while rest:
        running: dict[Future[CaseRecord], CohortCase] = {}
        with _pool(workers) as pool:
            try:
                while rest or running:
                    while rest and len(running) < _WAITING_PER_WORKER * workers:
                        future = pool.submit(run_case, rest[0], out, run_line)
                        running[future] = rest.pop(0)
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        record = future.result()
                        del running[future]
                        on_record(record)
            except BrokenProcessPool:
                suspects += [case for future, case in running.items() if not _has_record(future)]
                for future in [future for future in running if _has_record(future)]:
                    on_record(future.result())
            except (CaseCancelled, KeyboardInterrupt):
                pool.shutdown(wait=True, cancel_futures=True)
                raise Cancelled("interrupted: the finished cases are kept; the same command goes on") from None
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    return suspects


def _has_record(future: Future[CaseRecord]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Opens a pool whose processes have one thread each, as they find it in their environment when they start."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        with ProcessPoolExecutor(
            workers, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=_CASES_OF_A_WORKER
        ) as pool:
            yield pool
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
