"""Completions that are missing are asked for, batch after batch; what is there is kept."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from finetune_cot.artifacts.completions import (
    Completion,
    CompletionStore,
    Key,
    is_begun,
    journal_path,
    open_completions,
    read_completions,
)
from finetune_cot.artifacts.manifest import RunningCommand
from finetune_cot.errors import TeacherError
from finetune_cot.pipeline.costs import Costs
from finetune_cot.pipeline.jobs import Job
from finetune_cot.pipeline.progress import progress, say
from finetune_cot.pipeline.ranks import Ranks
from finetune_cot.teachers.budget import spent_live
from finetune_cot.teachers.protocol import Failure, Recipe, Teacher, TeachRequest
from finetune_cot.teachers.steps import tokens_of
from finetune_cot.teachers.usage import NO_TOKENS, TokenUsage, total

Answers = Sequence[Completion | Failure]

_MOST_REASONS, _MOST_EXAMPLES = 10, 5
"""Of failures, that are told at the end of a run."""


@dataclass(frozen=True)
class Outcome:
    """What came of a job."""

    completions: Mapping[Key, Completion]
    """Those of the job's requests, made now or before."""
    new: frozenset[Key]
    """Those that were made now."""
    failures: Mapping[str, int]
    """How many requests failed, by reason."""
    usage: TokenUsage = NO_TOKENS
    """Tokens of what was made now, and of what failed on the way."""
    total_cost: float | None = None
    """US dollars that the whole file has cost so far; None where that is not known."""

    @property
    def failed(self) -> int:
        """Requests that got no completion."""
        return sum(self.failures.values())


def there_already(path: Path | None) -> tuple[Mapping[str, Any], dict[Key, Completion]]:
    """Metadata and completions of a file and its journal; nothing where there is no file.

    Raises:
        ArtifactError: it is torn or was edited.
    """
    if path is None or not is_begun(path):
        return {}, {}
    content = read_completions(path)
    return content.metadata, {completion.key: completion for completion in content.completions}


class Requested(Mapping[Key, Completion]):
    """Those of the completions that a job asks for; each is read when it is looked at.

    Args:
        job: What is wanted.
        there: The completions that there are.
    """

    def __init__(self, job: Job, there: Mapping[Key, Completion]) -> None:
        self._keys = dict.fromkeys(request.key for request in job.requests if request.key in there)
        self._there = there

    def __getitem__(self, key: Key) -> Completion:
        if key not in self._keys:
            raise KeyError(key)
        return self._there[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def complete(
    job: Job,
    there: Mapping[Key, Completion],
    make_teacher: Callable[[float | None], Teacher],
    running: RunningCommand,
    overwrite: bool,
    ranks: Ranks,
    costs: Costs,
) -> Outcome:
    """Ask for what is missing and write the file; where nothing is, the file is not even locked.

    Processes that do it together share the teacher's batches; the first one writes.

    Args:
        job: What is wanted.
        there: What was found of it.
        make_teacher: Gives the teacher, which may spend so many dollars; called only if something is missing.
        running: The command, for the manifest.
        overwrite: Whether completions that were made in another way are replaced.
        ranks: The processes that do it.
        costs: What it costs.

    Raises:
        ArtifactError: another run holds the file, it was made in another way, or it cannot be written.
        TeacherError: the teacher stopped, or every request failed; what was done is kept.
    """
    ranks.gather("ready", None)  # so that nothing changes while another process still reads what is there
    if ranks.agree("nothing", lambda: _nothing_to_do(job, there)):
        return Outcome(Requested(job, there), frozenset(), {}, total_cost=costs.in_all(there.values()))
    if not ranks.is_first:
        return _helped(job, make_teacher, ranks)
    tally = _Tally()
    with open_completions(job.path, job.metadata, job.identity, running.command, replace=overwrite) as store:
        old = asked_otherwise(job.requests, store.completions) if overwrite else {}
        done = frozenset(store.completions) - old.keys()  # read again: another run may have ended since
        ranks.tell("done", list(done))
        reused = sum(request.key in done for request in job.requests)
        if reused < len(job.requests):
            teacher = make_teacher(costs.left(store.completions.values(), store.lost))
            with (
                tally.told_if_it_stops(),
                progress(running.command, len(job.requests), "completions") as update,
            ):
                update(reused)
                for batch in _from_all(teacher.teach(job.requests, job.recipe, done), ranks):
                    tally.take(batch, store, old, job.recipe)
                    update(reused + len(tally.new) + tally.failures.total())
        tell_failures(tally.failures, len(tally.new) + reused, tally.samples)
        cost = costs.in_all(store.completions.values(), store.lost)
        store.finish(running.manifest(cost=cost))
        there = Requested(job, store.completions)
        return Outcome(there, frozenset(tally.new), dict(tally.failures), tally.usage, cost)


@dataclass
class _Tally:
    """What a run has brought so far."""

    new: set[Key] = field(default_factory=set)
    failures: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[int]] = field(default_factory=dict)
    """Indices of the samples that failed, by reason."""
    usage: TokenUsage = NO_TOKENS

    def take(
        self, batch: Answers, store: CompletionStore, old: Mapping[Key, Completion], recipe: Recipe
    ) -> None:
        """Keep the answers of a batch; completions of `old` give place to new ones."""
        completions = [answer for answer in batch if isinstance(answer, Completion)]
        failed = [answer for answer in batch if isinstance(answer, Failure)]
        in_vain = total(failure.usage for failure in failed)
        replaced = [old[item.key] for item in completions if item.key in old]
        store.append(completions, kinds(in_vain + spent_live(replaced, {}, recipe).counted))
        self.new.update(completion.key for completion in completions)
        self.usage += total(map(tokens_of, completions)) + in_vain
        for failure in failed:
            self.failures[failure.reason] += 1
            self.samples.setdefault(failure.reason, []).append(failure.key[0])

    @contextlib.contextmanager
    def told_if_it_stops(self) -> Iterator[None]:
        """Tell what has failed where the run ends before its end; where nothing worked, the error tells."""
        try:
            yield
        except (TeacherError, KeyboardInterrupt):
            if self.new:
                _tell_reasons(self.failures, self.samples)
            raise


def _nothing_to_do(job: Job, there: Mapping[Key, Completion]) -> bool:
    return all(request.key in there for request in job.requests) and not journal_path(job.path).exists()


def _helped(job: Job, make_teacher: Callable[[float | None], Teacher], ranks: Ranks) -> Outcome:
    """Answer this process's batches, and send them to the first one, which writes and tells the result."""
    done = {(index, number) for index, number in ranks.hear("done")}
    missing = any(request.key not in done for request in job.requests)
    batches = make_teacher(None).teach(job.requests, job.recipe, done) if missing else ()
    count = 0
    for count, batch in enumerate(batches, start=1):
        ranks.tell(f"batch {ranks.rank} {count - 1}", [_sent(answer) for answer in batch])
    ranks.tell(f"batch {ranks.rank} {count}", None)  # there are no more
    return Outcome({}, frozenset(), {})


def _from_all(own: Iterable[Answers], ranks: Ranks) -> Iterator[Answers]:
    """This process's batches, and between them those that the others have sent."""
    heard = dict.fromkeys(range(1, ranks.world), 0)

    def sent(rank: int) -> Iterator[Answers]:
        batch = ranks.hear(f"batch {rank} {heard[rank]}", rank)
        heard[rank] += 1
        if batch is None:
            del heard[rank]
        else:
            yield [_received(answer) for answer in batch]

    for batch in own:
        yield batch
        for rank in [rank for rank, number in heard.items() if ranks.has_told(f"batch {rank} {number}")]:
            yield from sent(rank)
    while heard:
        yield from sent(next(iter(heard)))


def _sent(answer: Completion | Failure) -> dict[str, Any]:
    return asdict(answer)


def _received(values: dict[str, Any]) -> Completion | Failure:
    if "reason" in values:
        return Failure(tuple(values["key"]), values["reason"])
    return Completion(**values)


def asked_otherwise(
    requests: Sequence[TeachRequest], completions: Mapping[Key, Completion]
) -> dict[Key, Completion]:
    """Completions whose question is not the one that the data set has now; white space does not count."""
    return {
        request.key: found
        for request in requests
        if (found := completions.get(request.key))
        and found.question.split() != request.sample.question.split()
    }


def tell_other_questions(requests: Sequence[TeachRequest], completions: Mapping[Key, Completion]) -> None:
    """Tell of completions whose question is not the one that the data set has now."""
    if other := asked_otherwise(requests, completions):
        say(
            f"note: {len(other)} completions were asked in other words than the data set has; they count with"
            " the answers that they were asked with"
        )


def kinds(usage: TokenUsage) -> dict[str, int]:
    """Tokens by kind, as artifacts hold them; kinds without any are left out."""
    return {kind: tokens for kind, tokens in asdict(usage).items() if tokens}


def tell_failures(
    failures: Counter[str], completed: int, samples: Mapping[str, Sequence[int]] | None = None
) -> None:
    """Tell of requests that failed, and why: a line for each reason, the most frequent first.

    Args:
        failures: How many there are, by reason.
        completed: How many completions there are.
        samples: Indices of the samples that they concern, by reason.

    Raises:
        TeacherError: nothing was completed.
    """
    if not failures:
        return
    if not completed:
        reasons = "; ".join(f"{reason} ({count})" for reason, count in failures.most_common(3))
        raise TeacherError(f"all {failures.total()} requests failed: {reasons}")
    _tell_reasons(failures, samples or {})


def _tell_reasons(failures: Counter[str], samples: Mapping[str, Sequence[int]]) -> None:
    if failures:
        say(f"note: {failures.total()} requests failed, and are asked again next time:")
    for reason, count in failures.most_common(_MOST_REASONS):
        say(f"  {count}: {reason}{_named(samples.get(reason, ()))}")
    if len(failures) > _MOST_REASONS:
        say(f"  and {len(failures) - _MOST_REASONS} further reasons")


def _named(samples: Sequence[int]) -> str:
    first = sorted(set(samples))[:_MOST_EXAMPLES]
    more = " and others" if len(set(samples)) > _MOST_EXAMPLES else ""
    return f" (samples {', '.join(map(str, first))}{more})" if first else ""
