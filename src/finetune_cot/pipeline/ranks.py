"""Several processes on one piece of work, as ``torchrun`` starts them: who they are, and who does what.

The ranks of a run share a to-do list and a few words; what they make, they write into ``saved/``, which all
of them see. So no tensors are exchanged, and no process group is made: the store through which torchrun's
processes find each other is enough.
"""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from finetune_cot.errors import StoppedByAnotherError, TrainingError
from finetune_cot.pipeline.progress import hushed

Item = TypeVar("Item")

BEAT_SECONDS = 2.0
"""How often a rank shows that it is alive."""
SILENCE_SECONDS = 120.0
"""After how long without it a rank is taken for dead by those who wait for it."""
_PAUSE = 0.1
_FAILED = "failed"
_REMEDY = "what is done is kept, and the same command goes on from there"
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID")


@dataclass(frozen=True)
class Ranks:
    """The processes of this run, seen by one of them; without ``torchrun`` it is the only one."""

    rank: int
    world: int
    local_rank: int
    """Number of the process on its machine."""
    store: Any
    """A ``torch.distributed.Store``, which all ranks reach."""

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

    def tell(self, name: str, value: Any) -> None:
        """Tell the other ranks something that JSON can hold."""
        self.store.set(name, json.dumps(value))

    def hear(self, name: str, rank: int = 0) -> Any:
        """What a rank told; waits for it as long as that rank lives.

        Raises:
            StoppedByAnotherError: another rank has failed.
            TrainingError: the rank shows no sign of life.
        """
        beat, since = -1, 0.0
        while not self.store.check([name]):
            self._check()
            now, found = time.monotonic(), self.store.add(f"beat {rank}", 0)
            if found != beat:
                beat, since = found, now
            elif now - since > SILENCE_SECONDS:
                raise TrainingError(f"process {rank} of {self.world} is silent", remedy=_REMEDY)
            time.sleep(_PAUSE)
        return json.loads(self.store.get(name))

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


@contextlib.contextmanager
def joined() -> Iterator[Ranks]:
    """This process among those of its run, until all of them are done.

    Only the first rank tells its progress. When ranks fail, one of them tells why, and the others end.

    Raises:
        StoppedByAnotherError: another rank has failed, and tells why.
        TrainingError: this rank was told to stop, or another one shows no sign of life.
    """
    import torch

    distributed: Any = torch.distributed
    if not distributed.is_torchelastic_launched() or os.environ["WORLD_SIZE"] == "1":
        yield Ranks(0, 1, 0, distributed.HashStore())
        return
    ranks = _meet()
    with (
        _alone_to_libraries(),
        _beating(ranks),
        _stoppable(),
        contextlib.nullcontext() if ranks.is_first else hushed(),
    ):
        try:
            yield ranks
            ranks.gather("done", None)
        except BaseException as error:
            if _failed_before(ranks):
                raise StoppedByAnotherError("another process of this run has failed") from error
            if isinstance(error, distributed.DistError):
                what = "the store of torchrun, through which its processes work together, is gone"
                raise TrainingError(what, remedy=_REMEDY) from error
            raise


def _meet() -> Ranks:
    import torch
    from torch.distributed.rendezvous import rendezvous

    distributed: Any = torch.distributed
    store, rank, world = next(rendezvous("env://", timeout=timedelta(seconds=SILENCE_SECONDS)))
    # One process may do several pieces of work one after another, with the same words.
    work = store.add(f"ftcot work of {rank}", 1)
    own = distributed.PrefixStore(f"ftcot work {work}", store)
    return Ranks(rank, world, int(os.environ["LOCAL_RANK"]), own)


def _failed_before(ranks: Ranks) -> bool:
    import torch

    distributed: Any = torch.distributed
    try:
        return bool(ranks.store.add(_FAILED, 1) > 1)
    except distributed.DistError:  # the store is gone, and nobody can be asked
        return False


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
        with contextlib.suppress(distributed.DistError):  # without a store there is nobody to tell
            while not stopped.wait(BEAT_SECONDS):
                ranks.store.add(f"beat {ranks.rank}", 1)

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
