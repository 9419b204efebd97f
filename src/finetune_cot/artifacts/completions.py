"""Completion files: ``{"metadata": {...}, "data": {"<sample_index>": [{...}]}}``, and their journals.

While completions are being written they go to a journal, a line each. When all are there, the JSON file is
written from it at once and the journal removed. Files without our checksum, such as published ones, are read
as they are.
"""

import contextlib
import time
from collections import ChainMap, Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO

from finetune_cot.artifacts.completion_json import write_by_sample
from finetune_cot.artifacts.files import read_json, sha256_json, write_file_atomic
from finetune_cot.artifacts.ids import CompletionId, parse_completion_path
from finetune_cot.artifacts.journal import (
    JournalContent,
    append_records,
    begin_journal,
    parse_line,
    read_journal,
)
from finetune_cot.artifacts.lock import artifact_lock
from finetune_cot.artifacts.manifest import Manifest, parse_manifest, to_dict
from finetune_cot.errors import ArtifactError

Key = tuple[int, int]

LOST_TOKENS = "lost_tokens"
"""Name of tokens that were paid for and of which no completion came, in the metadata and in journals."""
SECONDS_UNSYNCHRONIZED = 1.0
"""How long completions may be on their way to the disk."""


@dataclass(frozen=True)
class Completion:
    """What a model wrote for a question."""

    sample_index: int
    completion_index: int
    question: str
    answer: str
    """The right answer, by the data set."""
    prompt: str
    """What the answer was asked with; in two steps, the second step's prompt."""
    completion: str
    reasoning_prompt: str | None = None
    reasoning_completion: str | None = None
    finish_reason: str | None = None
    """``stop``, ``length``, ``content_filter``; None where it is not known."""
    reasoning_finish_reason: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the file, such as token counts."""

    @property
    def key(self) -> Key:
        """Sample index and completion index."""
        return self.sample_index, self.completion_index


@dataclass(frozen=True)
class CompletionFile:
    """Completions of one id, sorted by sample and completion index."""

    path: Path
    metadata: Mapping[str, Any]
    completions: tuple[Completion, ...]
    manifest: Manifest | None = None
    """None of a file without one, such as a published one, or one under way."""


_FIELDS = tuple(item.name for item in fields(Completion) if item.name != "extra")
_REQUIRED = {
    **dict.fromkeys(("sample_index", "completion_index"), int),
    **dict.fromkeys(("question", "answer", "prompt", "completion"), str),
}
_OPTIONAL = tuple(name for name in _FIELDS if name not in _REQUIRED)


def find_completions(id: CompletionId, saved_dir: Path) -> Path | None:
    """The file of an id, also under the older order of published names, or with a journal alone."""
    path = id.path(saved_dir)
    if is_begun(path):
        return path
    return next((other for other, found in completion_files(path.parent) if found == id), None)


def is_begun(path: Path) -> bool:
    """Whether a completion file is there, or its journal."""
    return path.exists() or journal_path(path).exists()


def completion_files(folder: Path) -> Iterator[tuple[Path, CompletionId]]:
    """The completion files of a folder, by name; files that are named otherwise are passed over."""
    for path in sorted(folder.glob("[!.]*.json")):
        with contextlib.suppress(ArtifactError):
            yield path, parse_completion_path(path)


def read_completions(path: Path) -> CompletionFile:
    """Completions of a file and of the journal beside it.

    Raises:
        ArtifactError: neither is there, or one is torn or was edited.
    """
    # The journal first: a run that ends just now removes it only after the file holds all of it.
    journal = journal_path(path)
    try:
        begun = read_journal(journal)
    except FileNotFoundError:
        begun = None
    if not path.exists() and begun is None:
        raise ArtifactError(
            "there are no such completions",
            where=path,
            remedy="`ftcot teach` or `ftcot evaluate` writes them",
        )
    metadata: dict[str, Any]
    metadata, completions = _read_finished(path) if path.exists() else ({}, {})
    made = metadata.pop("manifest", None)
    if begun is not None:
        metadata = metadata or dict(begun.header)
        completions |= {item.key: item for item in _journaled(journal, begun.records)}
        if lost := _lost(begun):
            metadata[LOST_TOKENS] = dict(lost)
    manifest = None if made is None else parse_manifest(made, path)
    return CompletionFile(path, metadata, _sorted(completions), manifest)


@contextlib.contextmanager
def open_completions(
    path: Path, metadata: Mapping[str, Any], identity: Collection[str], command: str, *, replace: bool = False
) -> Iterator["CompletionStore"]:
    """Hold a completion file for adding to it.

    Args:
        path: The completion file.
        metadata: What the completions are, such as base model, prediction template and temperature.
        identity: Which of the metadata must agree with what the file and its journal say of themselves.
        command: The command that holds the file, for the message to others.
        replace: Whether a file that was made in another way gives place to what is added, once something is.

    Raises:
        ArtifactError: another run holds it, it was made in another way, or it is torn or was edited.
    """
    with artifact_lock(path, command):
        finished_metadata, finished = _read_finished(path) if path.exists() else ({}, {})
        finished_metadata.pop("manifest", None)
        outdated = replace and bool(made_otherwise(finished_metadata, metadata, identity))
        if outdated:
            finished_metadata, finished = {}, {}
        lost = lost_before = Counter(finished_metadata.pop(LOST_TOKENS, {}))
        refuse_other(path, finished_metadata, metadata, identity)
        journal = journal_path(path)
        journaled = JournaledCompletions(journal)
        size = 0
        content = read_journal(journal) if journal.exists() else None
        if content and not (replace and made_otherwise(content.header, metadata, identity)):
            refuse_other(journal, content.header, metadata, identity)
            places = zip(content.starts, content.records, strict=True)
            starts = [start for start, record in places if LOST_TOKENS not in record]
            journaled.note([item.key for item in _journaled(journal, content.records)], starts)
            lost = _lost(content)
            size = content.size
        store = CompletionStore(path, {**finished_metadata, **metadata}, finished, journaled, size, outdated)
        store.lost, store.lost_before = lost.copy(), lost_before
        yield store


class JournaledCompletions(Mapping[Key, Completion]):
    """Completions of a journal; in memory are only their places, whatever they hold.

    Args:
        journal: The journal, which need not be there yet.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._starts: dict[Key, int] = {}
        self._file: BinaryIO | None = None

    def note(self, keys: Iterable[Key], starts: Iterable[int]) -> None:
        """Take up completions that are in the journal now, by where their lines begin, in bytes."""
        self._starts.update(zip(keys, starts, strict=True))
        if self._file is None and self._starts:  # which stays readable when the journal is removed
            self._file = self._journal.open("rb")

    def __getitem__(self, key: Key) -> Completion:
        start = self._starts[key]
        assert self._file is not None
        self._file.seek(start)
        record = parse_line(self._file.readline())
        return _from_record(record, f"{self._journal}, byte {start}")

    def __iter__(self) -> Iterator[Key]:
        return iter(self._starts)

    def __len__(self) -> int:
        return len(self._starts)


class CompletionStore:
    """A completion file that this process holds: what is in it, and what it adds."""

    def __init__(
        self,
        path: Path,
        metadata: Mapping[str, Any],
        finished: Mapping[Key, Completion],
        journaled: "JournaledCompletions",
        journal_size: int,
        outdated: bool = False,
    ) -> None:
        self.path = path
        self.finished = finished
        """Completions of the JSON file."""
        self.journaled = journaled
        """Completions of the journal, of this run and of an interrupted one."""
        self.lost: Counter[str] = Counter()
        """Tokens that were paid for and of which no completion came, by kind."""
        self.lost_before: Counter[str] = Counter()
        """Those of them that the JSON file tells of."""
        self._metadata = metadata
        self._journal_size = journal_size
        self._synchronized = 0.0
        self._outdated = outdated

    @property
    def completions(self) -> Mapping[Key, Completion]:
        """Everything so far, and what is added from now on."""
        return ChainMap(self.journaled, self.finished)  # type: ignore[arg-type]

    def append(self, completions: Iterable[Completion], lost: Mapping[str, int] | None = None) -> None:
        """Add completions; they survive a kill once this returns, and a power cut after a second.

        Args:
            completions: What there is now.
            lost: Tokens that were paid for and of which no completion came, by kind.

        Raises:
            ArtifactError: they cannot be written.
        """
        new = {completion.key: completion for completion in completions}
        records = [*map(to_record, new.values()), *([{LOST_TOKENS: dict(lost)}] if lost else [])]
        if not records:
            return
        journal = journal_path(self.path)
        if self._journal_size == 0:
            if self._outdated:  # a reader must never see the old file together with the new journal
                self.path.unlink(missing_ok=True)
            begin_journal(journal, {**self._metadata, **self._told_lost()})
            self._journal_size = journal.stat().st_size
        now = time.monotonic()  # waiting for the disk each time would take longer than a quick teacher
        synchronize = now - self._synchronized >= SECONDS_UNSYNCHRONIZED
        *starts, self._journal_size = append_records(
            journal, self._journal_size, records, synchronize=synchronize
        )
        self._synchronized = now if synchronize else self._synchronized
        self.journaled.note(new, starts[: len(new)])
        self.lost.update(lost or {})

    def finish(self, manifest: Manifest) -> Path:
        """Write the JSON file from everything so far and remove the journal; nothing, where nothing is new.

        Raises:
            ArtifactError: it cannot be written; the journal is kept.
        """
        is_new = self.lost != self.lost_before or not self.journaled.items() <= self.finished.items()
        if is_new or not self.path.exists():
            with write_file_atomic(self.path) as file:
                metadata = {**self._metadata, **self._told_lost(), "manifest": to_dict(manifest)}
                write_by_sample(
                    file, metadata, self.completions, lambda key: to_record(self.completions[key])
                )
        journal_path(self.path).unlink(missing_ok=True)
        return self.path

    def _told_lost(self) -> dict[str, Any]:
        return {LOST_TOKENS: dict(self.lost)} if self.lost else {}


def journal_path(path: Path) -> Path:
    """Where the journal of a completion file lies."""
    return path.with_suffix(".journal.jsonl")


def made_otherwise(known: Mapping[str, Any], wanted: Mapping[str, Any], identity: Iterable[str]) -> list[str]:
    """Names of the metadata in which completions differ from those that are wanted.

    What a file does not say of itself, as published ones say little, counts as equal.
    """
    return [name for name in identity if known.get(name) is not None and known[name] != wanted.get(name)]


def refuse_other(
    path: Path, known: Mapping[str, Any], wanted: Mapping[str, Any], identity: Iterable[str]
) -> None:
    """Do nothing where completions were made in the way that is wanted.

    Raises:
        ArtifactError: they were not.
    """
    differing = made_otherwise(known, wanted, identity)
    if "weights" in differing:
        raise ArtifactError(
            "holds completions of other weights: the model was trained again, or replaced, since",
            where=path,
            remedy="use --overwrite to replace them, or another --train-key or --saved-dir to keep both",
        )
    if differing:
        told = " and ".join(f"{name} {known[name]!r}, not {wanted.get(name)!r}" for name in differing)
        raise ArtifactError(
            f"was made with {told}",
            where=path,
            remedy="use the options it was made with, another --saved-dir, or --overwrite to replace it",
        )


def to_record(completion: Completion) -> dict[str, Any]:
    """A completion as the file holds it; fields that are not known are left out."""
    values = {name: getattr(completion, name) for name in _FIELDS}
    return {**{name: value for name, value in values.items() if value is not None}, **completion.extra}


def _from_record(record: Any, where: str) -> Completion:
    if not isinstance(record, dict):
        raise ArtifactError("is no completion", where=where)
    for name, kind in _REQUIRED.items():
        if not isinstance(record.get(name), kind):
            raise ArtifactError(f"its {name!r} is missing or of the wrong type", where=where)
    for name in _OPTIONAL:
        if not isinstance(record.get(name), str | None):
            raise ArtifactError(f"its {name!r} is no text", where=where)
    known = {name: record[name] for name in _FIELDS if name in record}
    extra = {name: value for name, value in record.items() if name not in known}
    return Completion(**known, extra=extra)


def _read_finished(path: Path) -> tuple[dict[str, Any], dict[Key, Completion]]:
    content = read_json(path)
    data = content.get("data") if isinstance(content, dict) else None
    metadata = content.get("metadata", {}) if isinstance(content, dict) else None
    if not isinstance(data, dict) or not isinstance(metadata, dict):
        raise ArtifactError("has no `data` by sample index", where=path, remedy="is it a completion file?")
    signed = {name: value for name, value in metadata.items() if name != "sha256"}
    if "sha256" in metadata and metadata["sha256"] != sha256_json([signed, data]):
        raise ArtifactError(
            "was edited or is torn: its checksum does not fit",
            where=path,
            remedy="restore it; to keep an edit of yours, remove `sha256` from its metadata",
        )
    completions: dict[Key, Completion] = {}
    for sample_index, records in data.items():
        if not isinstance(records, list):
            raise ArtifactError("is no list of completions", where=f"{path}, sample {sample_index}")
        for position, record in enumerate(records):
            where = f"{path}, sample {sample_index}, completion {position}"
            numbered = {"completion_index": position, **record} if isinstance(record, dict) else record
            completion = _from_record(numbered, where)
            if completion.key in completions:
                raise ArtifactError("has the indices of an earlier completion", where=where)
            completions[completion.key] = completion
    return {name: value for name, value in metadata.items() if name != "sha256"}, completions


def _journaled(journal: Path, records: Iterable[Mapping[str, Any]]) -> list[Completion]:
    return [
        _from_record(record, f"{journal}, line {number}")
        for number, record in enumerate(records, start=2)
        if LOST_TOKENS not in record
    ]


def _lost(content: JournalContent) -> Counter[str]:
    """Tokens lost by what a journal says: those from before it, in its header, and its own."""
    lost: Counter[str] = Counter()
    for record in (content.header, *content.records):
        lost.update(record.get(LOST_TOKENS, {}))
    return lost


def _sorted(completions: Mapping[Key, Completion]) -> tuple[Completion, ...]:
    return tuple(completions[key] for key in sorted(completions))
