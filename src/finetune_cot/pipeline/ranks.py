"""Several processes on one piece of work, as ``torchrun`` or ``srun`` starts them: who does what.

The ranks of a run share a to-do list and a few words through the store by which they find each other. What
they make, they write into ``saved/``, which all of them see. Tensors are exchanged by `train` alone, whose
process group Lightning makes.
"""

import contextlib
import functools
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from finetune_cot.errors import StoppedByAnotherError, TrainingError, UsageError
from finetune_cot.pipeline.progress import hushed

Item = TypeVar("Item")

BEAT_SECONDS = 2.0
"""How often a rank shows that it is alive."""
SILENCE_SECONDS = 120.0
"""After how long without it a rank is taken for dead by those who wait for it."""
_PAUSE = 0.1
_FAILED, _CODE = "failed", "exit code"
_REMEDY = "what is done is kept, and the same command goes on from there"
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID")


class OwnStore:
    """What a single process tells itself: the methods of a ``torch.distributed.Store`` that are needed."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def add(self, name: str, amount: int) -> int:
        """Add to a number, which is 0 at first; returns the sum."""
        self._values[name] = self._values.get(name, 0) + amount
        return int(self._values[name])

    def set(self, name: str, value: str) -> None:
        """Keep a text."""
        self._values[name] = value

    def get(self, name: str) -> str:
        """The text of a name."""
        return str(self._values[name])

    def check(self, names: list[str]) -> bool:
        """Whether all of the names are there."""
        return all(name in self._values for name in names)


@dataclass(frozen=True)
class Ranks:
    """The processes of this run, seen by one of them; by itself it is the only one."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    """Number of the process on its machine."""
    store: Any = field(default_factory=OwnStore)
    """A ``torch.distributed.Store``, which all ranks reach."""
    local_world: int = 1
    """Processes on this machine."""

    @property
    def is_first(self) -> bool:
        """Whether this rank begins, finishes and reports."""
        return self.rank == 0

    def share(self, name: str, items: Sequence[Item]) -> Iterator[tuple[int, Item]]:
        """Items of a list that all ranks have alike, each with its place; a free rank takes the next one.

        Raises:
            StoppedByAnotherError: another rank has failed.
        """
        while True:
            self._check()
            place = self.store.add(name, 1) - 1
            if place >= len(items):
                return
            yield place, items[place]

    def sharer(self, name: str) -> Callable[[list[Any]], Iterator[Any]]:
        """`share` as a function that gives the items alone."""
        return lambda items: (item for _, item in self.share(name, items))

    def tell(self, name: str, value: Any) -> None:
        """Tell the other ranks something that JSON can hold."""
        self.store.set(name, json.dumps(value))

    def has_told(self, name: str) -> bool:
        """Whether something has been told under a name."""
        return bool(self.store.check([name]))

    def hear(self, name: str, rank: int = 0) -> Any:
        """What a rank told; waits for it as long as that rank lives.

        Raises:
            StoppedByAnotherError: another rank has failed.
            TrainingError: the rank shows no sign of life.
        """
        beat, since = -1, 0.0
        while not self.has_told(name):
            self._check()
            now, found = time.monotonic(), self.store.add(f"beat {rank}", 0)
            if found != beat:
                beat, since = found, now
            elif now - since > SILENCE_SECONDS:
                raise TrainingError(f"process {rank} of {self.world} is silent", remedy=_REMEDY)
            time.sleep(_PAUSE)
        return json.loads(self.store.get(name))

    def agree(self, name: str, decide: Callable[[], Any]) -> Any:
        """What the first rank finds, does or decides, told to all; so it is done once, before they go on.

        Raises:
            StoppedByAnotherError: another rank has failed.
            TrainingError: the first rank shows no sign of life.
        """
        if self.is_first:
            self.tell(name, decide())
        return self.hear(name)

    def gather(self, name: str, value: Any) -> list[Any]:
        """What every rank tells, by rank; so all have come this far.

        Raises:
            StoppedByAnotherError: another rank has failed.
            TrainingError: a rank shows no sign of life.
        """
        self.tell(f"{name} {self.rank}", value)
        return [self.hear(f"{name} {rank}", rank) for rank in range(self.world)]

    def _check(self) -> None:
        if self.store.check([_FAILED]):
            raise StoppedByAnotherError("another process of this run has failed", remedy=_REMEDY)


def started_by_others() -> bool:
    """Whether this process is one of those that ``torchrun`` or ``srun`` started together."""
    return "TORCHELASTIC_RUN_ID" in os.environ or _is_slurm_task()


@contextlib.contextmanager
def joined(collective: bool = False) -> Iterator[Ranks]:
    """This process among those of its run, until all of them are done.

    Only the first rank tells its progress. When ranks fail, one of them tells why, and the others end.

    Args:
        collective: Whether libraries may know of the other processes, to compute together with them.

    Raises:
        StoppedByAnotherError: another rank has failed, and tells why.
        TrainingError: this rank was told to stop, or another one shows no sign of life.
    """
    if _is_slurm_task() and "TORCHELASTIC_RUN_ID" not in os.environ:
        _as_torchrun_tells()
    if not started_by_others() or os.environ["WORLD_SIZE"] == "1":
        yield Ranks()
        return
    import torch

    distributed: Any = torch.distributed
    ranks = _meet()
    with (
        contextlib.nullcontext() if collective else _alone_to_libraries(),
        _stoppable(),
        contextlib.nullcontext() if ranks.is_first else hushed(),
    ):
        try:
            with _beating(ranks):
                yield ranks
                ranks.gather("done", None)
            _leave(ranks)
        except BaseException as error:
            if code := _code_of_another(ranks, getattr(error, "exit_code", 1)):
                stopped = StoppedByAnotherError("another process of this run has failed")
                stopped.exit_code = code  # whichever process ends first
                raise stopped from error
            if isinstance(error, distributed.DistError):
                what = "the store through which the processes of this run work together is gone"
                raise TrainingError(what, remedy=_REMEDY) from error
            raise


def _is_slurm_task() -> bool:
    # A batch script has the variables of its job too, but only what srun starts is one of several tasks.
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1


def _as_torchrun_tells() -> None:
    """Say of SLURM's tasks what ``torchrun`` says of its processes.

    Raises:
        UsageError: SLURM does not say enough.
    """
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

    try:
        slurm = SLURMEnvironment(auto_requeue=False)
        told = {
            "RANK": slurm.global_rank(),
            "WORLD_SIZE": slurm.world_size(),
            "LOCAL_RANK": slurm.local_rank(),
            "LOCAL_WORLD_SIZE": os.environ["SLURM_NTASKS_PER_NODE"],
            "MASTER_ADDR": slurm.main_address,
            "MASTER_PORT": slurm.main_port,
        }
    except (RuntimeError, KeyError) as error:
        raise UsageError(
            f"SLURM does not say how its tasks are placed: {error}", remedy="give --ntasks-per-node"
        ) from None
    os.environ.update({name: str(value) for name, value in told.items()})


@functools.cache
def _met() -> tuple[Any, int, int]:
    """The store, this rank and how many there are; a process meets the others once, for all its work."""
    from torch.distributed.rendezvous import rendezvous

    store, rank, world = next(rendezvous("env://", timeout=timedelta(seconds=SILENCE_SECONDS)))
    return store, rank, world


def _meet() -> Ranks:
    import torch

    distributed: Any = torch.distributed
    store, rank, world = _met()
    # One process may do several pieces of work one after another, with the same words.
    work = store.add(f"ftcot work of {rank}", 1)
    own = distributed.PrefixStore(f"ftcot work {work}", store)
    return Ranks(
        rank, world, int(os.environ["LOCAL_RANK"]), own, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    )


def _leave(ranks: Ranks) -> None:
    """Let the first rank, whose process may be where the store is, end last."""
    if ranks.is_first:
        for rank in range(1, ranks.world):
            ranks.hear(f"left {rank}", rank)
    else:
        ranks.tell(f"left {ranks.rank}", None)


def _code_of_another(ranks: Ranks, code: int) -> int | None:
    """The exit code of the rank that failed first; None where it is this one, with a code of its own."""
    import torch

    distributed: Any = torch.distributed
    try:
        if not ranks.store.check([_FAILED]):
            ranks.store.set(_CODE, str(code))
        return int(ranks.store.get(_CODE)) if ranks.store.add(_FAILED, 1) > 1 else None
    except distributed.DistError:  # the store is gone, and nobody can be asked
        return None


@contextlib.contextmanager
def _alone_to_libraries() -> Iterator[None]:
    """Keep from Lightning that there are other processes: each rank trains models of its own."""
    kept = {name: os.environ.pop(name) for name in _VARIABLES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


@contextlib.contextmanager
def _beating(ranks: Ranks) -> Iterator[None]:
    import torch

    distributed: Any = torch.distributed
    stopped = threading.Event()

    def beat() -> None:
        try:
            while not stopped.wait(BEAT_SECONDS):
                ranks.store.add(f"beat {ranks.rank}", 1)
        except distributed.DistError:  # without a store the run is over, whatever this rank does just now
            if not stopped.is_set():
                os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(BEAT_SECONDS)


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """End in order when told to: ``torchrun`` tells the other processes when one of them is gone."""

    def stop(*_: object) -> None:
        what = "told to stop, as all processes of a run are when one of them is killed"
        raise TrainingError(what, remedy=_REMEDY)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
