"""Running a plan: masters first, groups side by side, what is done already kept, a failure told and left behind."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from keyhole.calibration import CalibrationStore
from keyhole.errors import KeyholeError
from keyhole.night.executors import Executor, Promise, Work
from keyhole.night.memory import Memory
from keyhole.night.plan import Group, NightPlan, order_of
from keyhole.night.work import Job, Outcome, reduce_group

__all__ = ["DATABASE", "GroupResult", "NightResult", "State", "run_plan"]

DATABASE = "calibrations.db"
_GLANCE_SECONDS = 0.05

State = str  # waiting, running, done, kept, failed, skipped


@dataclass
class GroupResult:
    """What became of a group.

    Attributes
    ----------
    group : Group
        As planned.
    state : str
        ``waiting``, ``running``, ``done``, ``kept`` (from an earlier run), ``failed`` or ``skipped``.
    outcome : Outcome or None
        Of those that were reduced.
    reason : str
        Why it failed or was skipped.
    """

    group: Group
    state: State = "waiting"
    outcome: Outcome | None = None
    reason: str = ""

    @property
    def master(self) -> str | None:
        """File name of the master that other groups use."""
        if self.outcome is None:
            return None
        return next((name for name in self.outcome.products if name.endswith(f"_{self.group.makes}.fits")), None)


@dataclass
class NightResult:
    """What became of a night.

    Attributes
    ----------
    out : Path
        Folder of the products.
    groups : dict of str to GroupResult
        In the order of the plan.
    seconds : float
        Wall time.
    """

    out: Path
    groups: dict[str, GroupResult] = field(default_factory=dict)
    seconds: float = 0.0

    def of_state(self, *states: State) -> list[GroupResult]:
        """Groups in one of these states."""
        return [result for result in self.groups.values() if result.state in states]

    @property
    def whole(self) -> bool:
        """Whether every group has its products."""
        return not self.of_state("failed", "skipped")


Teller = Callable[[GroupResult], None]


def run_plan(
    plan: NightPlan,
    out: Path,
    *,
    executor: Executor,
    best_effort: bool = False,
    tell: Teller = lambda _: None,
    work: Work = reduce_group,
) -> NightResult:
    """Reduce all groups of a plan.

    A group whose inputs, masters, parameters and program are those of an earlier run, and whose products still are
    what they were, is kept. One that fails does not stop the others, but those that need it are skipped, unless
    `best_effort`.

    Parameters
    ----------
    plan : NightPlan
        What to do.
    out : Path
        Folder for products; made if its parent exists.
    executor : Executor
        Where to do it. Not closed.
    best_effort : bool
        Go on where a calibration is missing.
    tell : callable
        Told of each change of state.
    work : callable
        What is done with a group; a seam for tests.

    Raises
    ------
    SetupError
        The folder cannot be used, or another run works there.
    """
    begin = time.perf_counter()
    memory = Memory(out)
    result = NightResult(out, {group.name: GroupResult(group) for group in plan.groups})
    with memory.locked():
        scratch = memory.folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        _Run(plan, result, memory, executor, scratch / str(os.getpid()), best_effort, tell, work).all()
        shutil.rmtree(scratch, ignore_errors=True)
    result.seconds = time.perf_counter() - begin
    return result


def _root(group: Group) -> str:
    """What the names of the products of a group begin with."""
    return Path(group.files[0]).name.split(".fits")[0]


@dataclass
class _Run:
    plan: NightPlan
    result: NightResult
    memory: Memory
    executor: Executor
    scratch: Path
    best_effort: bool
    tell: Teller
    work: Work
    shared: Counter[str] = field(default_factory=Counter)
    running: dict[str, tuple[Promise, Job, str]] = field(default_factory=dict)

    def all(self) -> None:
        self.shared = Counter(_root(group) for group in self.plan.groups)
        waiting = order_of(self.plan.groups)
        while waiting or self.running:
            for group in list(self._ready(waiting)):
                waiting.remove(group)
                self._begin(group)
            ended = [name for name, (promise, _, _) in self.running.items() if promise.done()]
            for name in ended:
                self._end(name)
            if self.running and not ended:
                time.sleep(_GLANCE_SECONDS)

    def _ready(self, waiting: list[Group]) -> Iterator[Group]:
        for group in waiting:
            makers = [self.result.groups[need.group] for need in group.needs.values() if need.group is not None]
            if len(self.running) < self.executor.slots and all(m.state not in ("waiting", "running") for m in makers):
                yield group
                return

    def _begin(self, group: Group) -> None:
        found = self.result.groups[group.name]
        masters, lacking = self._masters(group)
        if lacking and not self.best_effort:
            self._settle(found, "skipped", reason="; ".join(lacking))
            return
        job = Job(
            group.name,
            group.makes,
            tuple(str(self.plan.raw / name) for name in group.files),
            masters,
            group.parameters,
            self.best_effort or any(group.needs[kind].reason == "left out by the plan" for kind in group.lacks),
            str(self.result.out.absolute()),
            str((self.scratch / group.name).absolute()),
            str((self.memory.folder / "events" / f"{group.name}.jsonl").absolute()),
            group.name if self.shared[_root(group)] > 1 else "",
        )
        try:
            key = self.memory.key_of(job)
        except OSError as error:
            self._settle(found, "failed", reason=f"{error.filename}: {error.strerror}; plan the night again")
            return
        earlier = self.memory.recall(job, key)
        if earlier is not None:
            self._settle(found, "kept", outcome=earlier)
            return
        found.state = "running"
        self.tell(found)
        self.running[group.name] = (self.executor.submit(self.work, job), job, key)

    def _masters(self, group: Group) -> tuple[dict[str, str], list[str]]:
        """Paths of the masters of a group, and why there are none."""
        masters: dict[str, str] = {}
        lacking = []
        for kind, need in group.needs.items():
            if need.path is not None:
                masters[kind] = need.path
            elif need.group is not None:
                made = self.result.groups[need.group]
                if made.master is not None:
                    masters[kind] = str((self.result.out / made.master).absolute())
                else:
                    lacking.append(f"its {kind} is missing: {need.group} {made.state} ({made.reason})")
            elif kind in group.lacks and need.reason != "left out by the plan":
                lacking.append(need.reason)
        return masters, lacking

    def _end(self, name: str) -> None:
        promise, job, key = self.running.pop(name)
        found = self.result.groups[name]
        try:
            outcome: Outcome = promise.result()
        except KeyboardInterrupt:
            raise
        except Exception as error:
            # The process or the machine was lost again and again.
            self._settle(found, "failed", reason=f"its worker was lost ({type(error).__name__}: {error}); run again")
            return
        self.memory.forget_sums(outcome.products)
        if outcome.error is not None:
            self._settle(found, "failed", outcome=outcome, reason=outcome.error)
            return
        self.memory.remember(job, key, outcome)
        self._settle(found, "done", outcome=outcome)

    def _settle(self, found: GroupResult, state: State, *, outcome: Outcome | None = None, reason: str = "") -> None:
        found.state, found.outcome, found.reason = state, outcome, reason
        if found.master is not None:
            self._register(found)
        self.tell(found)

    def _register(self, found: GroupResult) -> None:
        store = CalibrationStore(self.result.out / DATABASE)
        try:
            store.create()
            store.add(self.result.out / str(found.master))
        except KeyholeError as error:
            found.reason = f"the master stands, but is not registered: {error}"
