"""How far the batches of a completion file are, as it is shown."""

from dataclasses import dataclass

from finetune_cot.artifacts.batch_ledger import Batch
from finetune_cot.teachers.server_files import BatchState


@dataclass(frozen=True)
class BatchRow:
    """A batch, as it is shown."""

    batch: str
    """The server's name of it."""
    step: int
    status: str
    requests: int
    completed: int | None = None
    """Requests that the server has answered, by its own count; None where it was not asked."""
    failed: int | None = None


@dataclass(frozen=True)
class BatchReport:
    """How far the batches of a completion file are."""

    submitted: int
    """Requests sent now."""
    under_way: int
    """Requests in batches that are not collected."""
    reasoned: int
    """Rationales that are there, and whose answers the next ``submit`` asks for."""
    batches: tuple[BatchRow, ...]
    """Those under way, and those that this command collected."""


def batch_row(batch: Batch, state: BatchState | None) -> BatchRow:
    """A batch with what the server said of it now, where it was asked."""
    counts = (state.completed, state.failed) if state else (None, None)
    return BatchRow(batch.batch_id or batch.name, batch.step, batch.status, len(batch.custom_ids), *counts)
