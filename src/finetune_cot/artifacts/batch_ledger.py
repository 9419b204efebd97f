"""``batches``: what was sent to a server's batch interface, and what is on its way from there.

Of each completion file there may be a ledger of batches, and, where an answer takes two steps, a journal of
the reasoning that came back and whose answer is still to be asked for.
"""

import contextlib
import dataclasses
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from finetune_cot.artifacts.completions import Key, made_otherwise
from finetune_cot.artifacts.files import read_json, write_json_atomic
from finetune_cot.artifacts.ids import CompletionId
from finetune_cot.artifacts.journal import append_records, begin_journal, read_journal
from finetune_cot.artifacts.lock import artifact_lock
from finetune_cot.errors import ArtifactError

ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
"""What a server says of a batch that will not go on."""
_PLACE = frozenset({"endpoint", "base_url"})
"""Metadata in which batches of the same completion file may differ, one after another."""


@dataclass(frozen=True)
class Batch:
    """Requests that go to a server, or went there, in one file."""

    name: str
    """Of the file; the server has no other of this name."""
    step: int
    """1, or 2 where the answer after a rationale is asked for."""
    custom_ids: tuple[str, ...]
    """Of each request: its sample index, completion index and step, and a hash of what is asked."""
    file_id: str | None = None
    """The server's name of the file; None until it is known to be there."""
    batch_id: str | None = None
    """The server's name of the batch; None until it is known to be there."""
    status: str = "planned"
    """What the server said of it last."""
    collected: bool = False
    """Whether everything that came of it is here."""
    refused: tuple[str, ...] = ()
    """Parameters that were left out, as the server had refused them."""
    at_most: Mapping[str, int] = field(default_factory=dict)
    """Tokens that it may take, by kind."""
    counted: Mapping[str, int] | None = None
    """Tokens that the server counted; None until it is collected, and where it counted none."""


@dataclass(frozen=True)
class Reasoning:
    """The first of two steps, until the second is there."""

    sample_index: int
    completion_index: int
    step: Mapping[str, Any]
    """Its prompt, text, finish reason and token counts."""

    @property
    def key(self) -> Key:
        """Sample index and completion index."""
        return self.sample_index, self.completion_index


def key_of(custom_id: str) -> Key:
    """Sample index and completion index, which a custom id begins with."""
    sample_index, completion_index = custom_id.split("-")[:2]
    return int(sample_index), int(completion_index)


class BatchLedger:
    """The batches of a completion file, which this process holds; every change is on the disk at once."""

    def __init__(
        self,
        path: Path,
        header: Mapping[str, Any],
        batches: Sequence[Batch],
        reasoning: Iterable[Reasoning],
        refused: Sequence[str] = (),
    ) -> None:
        self._path = path
        self._header = header
        self.batches = list(batches)
        self.refused = tuple(refused)
        """Parameters that the server has refused, and that no further batch holds."""
        self.reasoning = {item.key: item for item in reasoning}

    @property
    def under_way(self) -> list[Batch]:
        """Those from which something is still to come."""
        return [batch for batch in self.batches if not batch.collected]

    def add(self, step: int, custom_ids: Sequence[str], at_most: Mapping[str, int]) -> Batch:
        """Note requests that are about to be sent, and the tokens that they may take.

        Raises:
            ArtifactError: it cannot be written.
        """
        name = f"ftcot-{uuid.uuid4().hex}.jsonl"
        batch = Batch(name, step, tuple(custom_ids), refused=self.refused, at_most=at_most)
        self.batches.append(batch)
        self._write()
        return batch

    def change(self, batch: Batch, **changes: Any) -> Batch:
        """Note what became of a batch, and give it as it is now.

        Raises:
            ArtifactError: it cannot be written.
        """
        changed = dataclasses.replace(batch, **changes)
        if changed != batch:
            self.batches = [changed if known.name == batch.name else known for known in self.batches]
            self._write()
        return changed

    def leave_out(self, refused: Sequence[str]) -> None:
        """Note which parameters the server has refused.

        Raises:
            ArtifactError: it cannot be written.
        """
        if tuple(refused) != self.refused:
            self.refused = tuple(refused)
            self._write()

    def drop(self, batch: Batch) -> None:
        """Forget a batch that never came to the server.

        Raises:
            ArtifactError: it cannot be written.
        """
        self.batches = [known for known in self.batches if known.name != batch.name]
        self._write()

    def keep(self, reasoning: Iterable[Reasoning]) -> None:
        """Keep the first of two steps.

        Raises:
            ArtifactError: it cannot be written.
        """
        new = {item.key: item for item in reasoning}
        journal = reasoning_path(self._path)
        if new:
            if not journal.exists():
                begin_journal(journal, self._header)
            append_records(journal, read_journal(journal).size, map(asdict, new.values()))
            self.reasoning |= new

    def forget_reasoning(self) -> None:
        """Remove reasoning whose answers are all there."""
        reasoning_path(self._path).unlink(missing_ok=True)
        self.reasoning = {}

    def _write(self) -> None:
        if self.batches:
            rows = [asdict(batch) for batch in self.batches]
            content = {"metadata": self._header, "refused": self.refused, "batches": rows}
            write_json_atomic(self._path, content)
        else:
            self._path.unlink(missing_ok=True)


def ledger_path(id: CompletionId, saved_dir: Path) -> Path:
    """Where the ledger of a completion file lies."""
    path = id.path(saved_dir)
    return saved_dir / "batches" / path.parent.name / path.name


def reasoning_path(path: Path) -> Path:
    """Where the reasoning beside a ledger lies."""
    return path.with_suffix(".reasoning.jsonl")


@contextlib.contextmanager
def open_ledger(
    path: Path, header: Mapping[str, Any], identity: Sequence[str], command: str
) -> Iterator[BatchLedger]:
    """Hold the ledger of a completion file; one from which nothing is to come gives place to another kind.

    Args:
        path: The ledger.
        header: What is asked, how and where.
        identity: Which of the header must agree with that of batches under way.
        command: The command that holds it, for the message to others.

    Raises:
        ArtifactError: another run holds it, it is torn, or batches of another kind are under way.
    """
    with artifact_lock(path, command):
        known, batches, refused = _read(path)
        ledger = BatchLedger(path, header, batches, _read_reasoning(path), refused)
        differing = made_otherwise(known, header, identity)
        if differing and (ledger.under_way or ledger.reasoning):
            told = " and ".join(f"{name} {known[name]!r}, not {header.get(name)!r}" for name in differing)
            raise ArtifactError(
                f"batches were sent with {told}, and are not all back",
                where=path,
                remedy="use the options that they were sent with, or cancel and collect them and remove this",
            )
        if differing:
            ledger.refused = ()
        if set(differing) - _PLACE:  # these batches were for another file, which gave place to this one
            ledger.batches = []
        yield ledger


def read_batches(path: Path, metadata: Mapping[str, Any], identity: Collection[str]) -> list[Batch]:
    """All batches that were sent for a completion file; none where it gives place to one of another kind.

    Args:
        path: The ledger, which need not be there.
        metadata: What the file's completions are.
        identity: Which of it must agree.

    Raises:
        ArtifactError: the ledger is torn.
    """
    known, batches, _ = _read(path)
    return [] if made_otherwise(known, metadata, identity) else batches


def keys_under_way(path: Path) -> set[Key]:
    """Which completions are asked for by batches that are not back; none where there is no ledger.

    Raises:
        ArtifactError: the ledger is torn.
    """
    return {key_of(id) for batch in _read(path)[1] if not batch.collected for id in batch.custom_ids}


def _read(path: Path) -> tuple[Mapping[str, Any], list[Batch], tuple[str, ...]]:
    """Metadata, batches, and parameters that were refused."""
    if not path.exists():
        return {}, [], ()
    content = read_json(path)
    try:
        rows = [
            {**row, "custom_ids": tuple(row["custom_ids"]), "refused": tuple(row.get("refused", ()))}
            for row in content["batches"]
        ]
        refused = tuple(content.get("refused", ()))
        return dict(content["metadata"]), [Batch(**row) for row in rows], refused
    except (KeyError, TypeError, ValueError):
        raise ArtifactError(
            "is no ledger of batches", where=path, remedy="restore it; `ftcot teach --batch` writes it"
        ) from None


def _read_reasoning(path: Path) -> list[Reasoning]:
    journal = reasoning_path(path)
    return [Reasoning(**record) for record in read_journal(journal).records] if journal.exists() else []
