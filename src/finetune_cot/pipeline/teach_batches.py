"""``ftcot teach --batch``: completions by a server's batch interface, which takes a day and costs half.

An answer in two steps takes two batches: the first asks for the reasoning, and once that is collected, the
next ``submit`` asks for the answers. What is collected goes where the completions of live requests go.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import openai

from finetune_cot.artifacts.batch_ledger import (
    ENDED,
    Batch,
    BatchLedger,
    Reasoning,
    key_of,
    ledger_path,
    open_ledger,
)
from finetune_cot.artifacts.completions import Completion, Key, open_completions
from finetune_cot.artifacts.lock import artifact_lock
from finetune_cot.artifacts.manifest import RunningCommand
from finetune_cot.config.teach import TeachConfig
from finetune_cot.errors import DataError, UsageError
from finetune_cot.pipeline.batch_report import BatchReport, batch_row
from finetune_cot.pipeline.completing import (
    Outcome,
    Requested,
    asked_otherwise,
    kinds,
    tell_failures,
    there_already,
)
from finetune_cot.pipeline.costs import BATCH_DISCOUNT, Costs, spent_by
from finetune_cot.pipeline.jobs import Job, is_outdated
from finetune_cot.pipeline.progress import progress, say
from finetune_cot.pipeline.teachers import server_of
from finetune_cot.prompts.templates import is_two_step
from finetune_cot.tasks.sample import Dataset
from finetune_cot.teachers.asking import CHARACTERS_PER_TOKEN, Server
from finetune_cot.teachers.batch_lines import (
    BatchLine,
    NoAnswer,
    batch_completion,
    batch_line,
    dialect_of,
    endpoint_path,
    parameters_of,
    read_answers,
    read_step,
    reasoning_of,
    split_lines,
    step_of,
)
from finetune_cot.teachers.budget import spent_live
from finetune_cot.teachers.protocol import TeachRequest
from finetune_cot.teachers.server_files import BatchState, ServerFiles, server_files
from finetune_cot.teachers.usage import NO_TOKENS, TokenUsage, total, usage_of


@dataclass(frozen=True)
class BatchOutcome:
    """What came of one command."""

    outcome: Outcome
    report: BatchReport


@dataclass(frozen=True)
class _Work:
    """What all of the commands need."""

    config: TeachConfig
    job: Job
    dataset: Dataset
    server: Server
    ledger: BatchLedger
    files: ServerFiles
    found_costs: Costs
    """By the batches that there were."""

    def completions(self) -> Mapping[Key, Completion]:
        """Completions that are there and need not give place to others."""
        known, there = there_already(self.job.path)
        outdated = is_outdated(self.job, known, self.job.identity, self.config.overwrite)
        replaced = self.replaced(there)
        return {} if outdated else {key: item for key, item in there.items() if key not in replaced}

    def replaced(self, there: Mapping[Key, Completion]) -> dict[Key, Completion]:
        """Completions that are asked for again, as the data set has other questions now."""
        return asked_otherwise(self.job.requests, there) if self.config.overwrite else {}

    def line(self, request: TeachRequest) -> BatchLine:
        """The line that asks for a completion, or for the step of it that comes next."""
        reasoning = self.ledger.reasoning.get(request.key)
        return batch_line(self.server, self.job.recipe, request, reasoning, self.ledger.refused)

    def costs(self) -> Costs:
        """What it costs, by the batches as they are now."""
        return replace(self.found_costs, by_batches=spent_by(self.ledger.batches))


def teach_by_batches(
    config: TeachConfig, job: Job, dataset: Dataset, running: RunningCommand, costs: Costs
) -> BatchOutcome:
    """Send what is missing, see how far it is, take what is back, or stop it.

    Args:
        config: The command's options.
        job: What is wanted.
        dataset: Its questions.
        running: The command, for the manifest.
        costs: What it costs.

    Raises:
        UsageError: the server's key is not there.
        ArtifactError: another run holds the file, or what is under way was asked for in another way.
        TeacherError: the server refuses or does not answer, or everything failed; what was done is kept.
    """
    if config.batch != "submit" and not ledger_path(job.id, config.saved_dir).exists():
        say("note: nothing was sent by batches")
        there = there_already(job.path)[1]
        outcome = Outcome(Requested(job, there), frozenset(), {}, total_cost=costs.in_all(there.values()))
        return BatchOutcome(outcome, BatchReport(0, 0, 0, ()))
    with _work(config, job, dataset, costs) as work:
        if config.batch == "submit":
            with artifact_lock(job.path, "teach"):  # no live run asks for the same meanwhile
                return _submit(work)
        if config.batch == "collect":
            return _collect(work, running)
        return _look(work, cancel=config.batch == "cancel")


@contextlib.contextmanager
def _work(config: TeachConfig, job: Job, dataset: Dataset, costs: Costs) -> Iterator[_Work]:
    server = server_of(config)
    header = {**job.metadata, "endpoint": endpoint_path(server), "base_url": server.access.base_url}
    identity = (*job.identity, "model_key", "endpoint", "base_url")
    remedy = "see whether this server has a batch interface, and --base-url, --model-key and --endpoint"
    with (
        open_ledger(ledger_path(job.id, config.saved_dir), header, identity, "teach") as ledger,
        server_files(server.access, server.timeout, server.max_retries, remedy) as files,
    ):
        yield _Work(config, job, dataset, server, ledger, files, costs)


def _submit(work: _Work) -> BatchOutcome:
    for batch in work.ledger.under_way:
        if batch.batch_id is None:
            _take_up(work, batch)
    there = work.completions()
    known = there.keys() | {key_of(id) for batch in work.ledger.under_way for id in batch.custom_ids}
    missing = [request for request in work.job.requests if request.key not in known]
    steps: dict[int, list[BatchLine]] = {1: [], 2: []}
    for request in missing:
        steps[2 if request.key in work.ledger.reasoning else 1].append(work.line(request))
    _check_cost(work, there, steps)
    with progress("teach --batch submit", len(missing), "requests") as update:
        sent = 0
        for step, lines in steps.items():
            for part in split_lines(lines):
                _send(work, step, part)
                sent += len(part)
                update(sent)
    return _outcome(work, there, submitted=sent)


def _check_cost(
    work: _Work, there: Mapping[Key, Completion], steps: Mapping[int, Sequence[BatchLine]]
) -> None:
    """Send nothing that may cost more than is allowed; a batch cannot be stopped in time."""
    costs = work.costs()
    left = costs.left(there.values())
    if left is None or costs.prices is None or not any(steps.values()):
        return
    cost = costs.prices.cost(total(_at_most(work, *item) for item in steps.items()), BATCH_DISCOUNT)
    if cost > left:
        raise UsageError(
            f"what is missing may cost up to {cost:.2f} dollars by batches, and {left:.2f} are left",
            where=f"--max-cost {costs.limit:g}",
            remedy="raise it, or send less with --limit",
        )


def _at_most(work: _Work, step: int, lines: Sequence[BatchLine]) -> TokenUsage:
    """Tokens that lines may take: of prompts about, of answers at most."""
    recipe = work.job.recipe
    limit = recipe.max_reasoning_tokens if step == 1 else recipe.max_answer_tokens
    read = sum(len(line.prompt) // CHARACTERS_PER_TOKEN for line in lines)
    return TokenUsage(read, limit * len(lines))


def _take_up(work: _Work, batch: Batch) -> None:
    """Go on where a killed run may have been: between noting, uploading and creating a batch."""
    file_id = batch.file_id or work.files.find_file(batch.name, "batch")
    if file_id is None:
        work.ledger.drop(batch)
        return
    batch = work.ledger.change(batch, file_id=file_id, status="uploaded")
    batch_id = work.files.find_batch(file_id) or work.files.create_batch(file_id, endpoint_path(work.server))
    work.ledger.change(batch, batch_id=batch_id, status="validating")


def _send(work: _Work, step: int, lines: Sequence[BatchLine]) -> None:
    """Note, upload and create a batch; each is on the disk before the next begins."""
    at_most = kinds(_at_most(work, step, lines))
    batch = work.ledger.add(step, [line.custom_id for line in lines], at_most)
    content = "".join(line.text for line in lines).encode()
    try:
        file_id = work.files.upload(batch.name, content, "batch")
    except openai.APIStatusError as error:
        if error.status_code < 500:  # it is certain that nothing came there
            work.ledger.drop(batch)
        raise
    batch = work.ledger.change(batch, file_id=file_id, status="uploaded")
    batch_id = work.files.create_batch(file_id, endpoint_path(work.server))
    work.ledger.change(batch, batch_id=batch_id, status="validating")


def _look(work: _Work, cancel: bool) -> BatchOutcome:
    states = {}
    for batch in work.ledger.under_way:
        batch_id = batch.batch_id or (work.files.find_batch(batch.file_id) if batch.file_id else None)
        if batch_id is None:
            if cancel:
                _withdraw(work, batch)
            continue
        state = work.files.cancel_batch(batch_id) if cancel else work.files.batch(batch_id)
        if state is None:
            say(f"note: the server knows nothing of {batch_id}, which is forgotten here too")
            work.ledger.drop(batch)
            continue
        work.ledger.change(batch, batch_id=batch_id, status=state.status)
        states[batch.name] = state
    return _outcome(work, work.completions(), states)


def _withdraw(work: _Work, batch: Batch) -> None:
    """Forget a batch that was never made, and remove its file."""
    file_id = batch.file_id or work.files.find_file(batch.name, "batch")
    if file_id is not None:
        work.files.delete_file(file_id)
    work.ledger.drop(batch)


def _collect(work: _Work, running: RunningCommand) -> BatchOutcome:
    job, failures, new = work.job, Counter[str](), set[Key]()
    refused = work.ledger.refused
    states = {}
    reasoned, usage = 0, NO_TOKENS
    with open_completions(
        job.path, job.metadata, job.identity, "teach", replace=work.config.overwrite
    ) as store:
        for batch in work.ledger.under_way:
            if batch.batch_id is None:
                say(f"note: {batch.name} was not sent off; the next --batch submit does it")
                continue
            states[batch.name] = state = work.files.batch(batch.batch_id)
            work.ledger.change(batch, status=state.status)
            if state.status in ENDED:
                back = _back(work, batch, state)
                old = work.replaced(store.completions)
                known = store.completions.keys() - old.keys()  # some may have been kept before a kill
                kept = [item for item in back.completions if item.key not in known]
                replaced = [old[item.key] for item in kept if item.key in old]
                store.append(kept, kinds(spent_live(replaced, {}, job.recipe).counted))
                work.ledger.keep(item for item in back.reasoning if item.key not in work.ledger.reasoning)
                work.ledger.leave_out(tuple(dict.fromkeys((*work.ledger.refused, *back.refused))))
                counted = kinds(back.usage) if back.is_counted else None
                work.ledger.change(batch, status=state.status, collected=True, counted=counted)
                new |= {item.key for item in back.completions} - known
                reasoned += len(back.reasoning)
                failures += back.failures
                usage += back.usage
        there = store.completions
        cost = work.costs().in_all(there.values(), store.lost)
        if there:
            store.finish(running.manifest(cost=cost))
    if work.ledger.refused != refused:
        told = ", ".join(work.ledger.refused)
        say(f"note: the server refuses {told}; the next --batch submit asks in another way")
    if work.ledger.reasoning.keys() <= there.keys():
        work.ledger.forget_reasoning()
    tell_failures(failures, len(there) + reasoned)
    return _outcome(work, there, states, new=frozenset(new), failures=failures, usage=usage, cost=cost)


@dataclass(frozen=True)
class _Back:
    """What came back from a batch."""

    completions: list[Completion]
    reasoning: list[Reasoning]
    failures: Counter[str]
    usage: TokenUsage
    is_counted: bool
    """Whether the server counted tokens, or there are none to be counted."""
    refused: tuple[str, ...]
    """Parameters that the server has refused."""


def _back(work: _Work, batch: Batch, state: BatchState) -> _Back:
    """What came of each request of a batch; an id that is not the batch's is passed over."""
    answers: dict[str, Mapping[str, object] | NoAnswer] = {}
    for file_id in state.files:
        for custom_id, answer in read_answers(work.files.content(file_id)):
            answers.setdefault(custom_id, answer)
    why = state.errors[0] if state.errors else f"the batch is {state.status}, and holds no answer"
    replies = [answer for answer in answers.values() if isinstance(answer, dict)]
    counted = total(usage_of(reply.get("usage")) for reply in replies)
    is_counted = bool(counted.prompt or counted.completion) or not replies
    dialect, as_sent = (dialect_of(work.server, batch.refused) for _ in range(2))
    for custom_id, answer in answers.items():
        if isinstance(answer, NoAnswer) and answer.is_form:
            sent = parameters_of(as_sent, work.job.recipe, batch.step, key_of(custom_id)[1])
            dialect.learn(answer.reason, answer.parameter, sent)
    back = _Back([], [], Counter(), counted, is_counted, dialect.refused)
    for custom_id in batch.custom_ids:
        read = _read(work, batch, custom_id, answers.get(custom_id, NoAnswer(why)))
        if isinstance(read, Completion):
            back.completions.append(read)
        elif isinstance(read, Reasoning):
            back.reasoning.append(read)
        else:
            back.failures[work.server.access.hide(read)] += 1
    return back


def _read(
    work: _Work, batch: Batch, custom_id: str, answer: Mapping[str, object] | NoAnswer
) -> Completion | Reasoning | str:
    if isinstance(answer, NoAnswer):
        return answer.reason
    sample_index, completion_index = key_of(custom_id)
    reasoning = work.ledger.reasoning.get((sample_index, completion_index)) if batch.step == 2 else None
    try:
        request = TeachRequest(work.dataset.sample(sample_index), completion_index)
        line = batch_line(work.server, work.job.recipe, request, reasoning, batch.refused)
    except DataError:
        line = None
    if line is None or line.custom_id != custom_id:
        return "the data set's question is not the one that was asked"
    step = read_step(answer, line)
    if isinstance(step, str):
        return step
    if is_two_step(work.job.recipe.template) and not reasoning:
        return reasoning_of(request, step)
    return batch_completion(request, *([step_of(reasoning)] if reasoning else []), step)


def _outcome(
    work: _Work,
    there: Mapping[Key, Completion],
    states: Mapping[str, BatchState] | None = None,
    submitted: int = 0,
    new: frozenset[Key] = frozenset(),
    failures: Mapping[str, int] | None = None,
    usage: TokenUsage = NO_TOKENS,
    cost: float | None = None,
) -> BatchOutcome:
    states = states or {}
    asked = {key_of(id) for batch in work.ledger.under_way for id in batch.custom_ids}
    report = BatchReport(
        submitted=submitted,
        under_way=len(asked),
        reasoned=len(work.ledger.reasoning.keys() - there.keys() - asked),
        batches=tuple(
            batch_row(batch, states.get(batch.name))
            for batch in work.ledger.batches
            if batch.name in states or not batch.collected
        ),
    )
    more = {key: there[key] for key in new}  # a batch may have asked for more
    told = {**Requested(work.job, there), **more}
    if cost is None:
        cost = work.costs().in_all(there.values())
    return BatchOutcome(Outcome(told, new, failures or {}, usage, cost), report)
