"""``ftcot teach``: a teacher writes rationales and answers for the questions of a data set."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_cot.artifacts.batch_ledger import keys_under_way, ledger_path
from finetune_cot.artifacts.completions import Completion, Key, find_completions
from finetune_cot.artifacts.manifest import start
from finetune_cot.config.options import to_plain
from finetune_cot.config.teach import TeachConfig
from finetune_cot.errors import ArtifactError, DataError, UsageError
from finetune_cot.pipeline.classifying import check_writes
from finetune_cot.pipeline.completing import (
    Outcome,
    asked_otherwise,
    complete,
    tell_other_questions,
    there_already,
)
from finetune_cot.pipeline.costs import BATCH_DISCOUNT, costs_of, prices_of
from finetune_cot.pipeline.jobs import Job, is_outdated, make_job, make_recipe, make_requests, select_samples
from finetune_cot.pipeline.ranks import Ranks, joined
from finetune_cot.pipeline.subject import Subject, base_subject, folder_subject
from finetune_cot.pipeline.teachers import (
    Plan,
    asks_in_messages,
    check_teacher,
    estimate,
    teacher_maker,
)
from finetune_cot.pipeline.train_checks import settled_precision
from finetune_cot.prompts.few_shot import few_shot_prompts
from finetune_cot.prompts.templates import template_of
from finetune_cot.tasks.reasoning import load_dataset
from finetune_cot.teachers.protocol import Teacher
from finetune_cot.teachers.rationale import BASE_MODEL

if TYPE_CHECKING:
    from finetune_cot.pipeline.batch_report import BatchReport


@dataclass(frozen=True)
class TeachResult:
    """What a teacher wrote."""

    path: Path
    """The completion file."""
    requested: int
    """Completions asked for: ``completed + reused + failed``, unless it was a dry run."""
    completed: int
    """Completions written now."""
    reused: int
    """Completions that were there."""
    failed: int
    distinct_rationales: int
    """Different rationales of the same question count, equal ones but once; of everything requested."""
    prompt_tokens: int
    """Tokens read now; 0 where they were not counted."""
    completion_tokens: int
    """Tokens written now, those of hidden reasoning among them; 0 where they were not counted."""
    cost: float | None
    """What it cost now, in US dollars; None where prices are not known, or tokens were not counted."""
    seconds: float
    total_cost: float | None = None
    """What the completion file has cost in all, by earlier runs and batches too; None as with ``cost``."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """How many requests failed, by reason."""
    distinct_rate: float = 0.0
    """Of the completions that there are, those with a rationale of their own."""
    incomplete: Mapping[str, int] = field(default_factory=dict)
    """Completions that were cut off, by finish reason; of everything requested."""
    cached_tokens: int = 0
    """Of the tokens read, those from the server's cache."""
    reasoning_tokens: int = 0
    """Of the tokens written, those of hidden reasoning."""
    model_key: str = ""
    """What `build-finetune-data` and `evaluate` find the completions by."""
    dataset_key: str = ""
    completion_key: str = ""
    plan: Plan | None = None
    """Only of a dry run."""
    batch: "BatchReport | None" = None
    """Only with ``--batch``: what was sent, what is under way, and which batches."""


def teach(config: TeachConfig) -> TeachResult:
    """Let a teacher answer the questions of a data set; only completions that are missing are asked for.

    Raises:
        UsageError: a key or a combination of options that cannot be used.
        DataError: the data set is not there or torn, or has no rationales where those are asked for.
        ModelError: the model is not there or cannot be loaded.
        ArtifactError: the completion file is torn, held by another run, or was made in another way.
        TeacherError: the server refuses or does not answer; what was done is kept.
        StoppedByAnotherError: another process of this run failed, and tells why.
    """
    with joined() as ranks:
        return _teach(settled_precision(config), ranks)


def _teach(config: TeachConfig, ranks: Ranks) -> TeachResult:
    running = start("teach", to_plain(config))
    if config.max_cost is not None:
        prices_of(config)  # a limit for a cost that is not known is refused before anything is read
    if config.batch:
        _check_batch(config, ranks)
    subject = _subject(config)
    dataset = load_dataset(config.dataset_key, config.data_dir)
    check_writes(subject, dataset)
    samples = select_samples(dataset, config.data_dir, config.split, config.split_key, config.limit)
    few_shot = template_of(config.completion_key) == "fs_cot"
    recipe = make_recipe(
        config.completion_key,
        few_shot_prompts(dataset, config.data_dir) if few_shot else {},
        num_completions=config.num_completions,
        temperature=config.temperature,
        max_reasoning_tokens=config.max_reasoning_tokens,
        max_answer_tokens=config.max_answer_tokens,
        chat=asks_in_messages(config),
        seed=config.seed,
    )
    if config.teacher == "rationale" and not any(sample.rationale for sample in samples):
        raise DataError(
            f"{dataset.key} brings no rationales along",
            where=dataset.source,
            remedy="choose another --teacher or data set",
        )
    id = subject.completion_id(config.completion_key, dataset.key)
    found = find_completions(id, config.saved_dir)
    requests = make_requests(samples, config.num_completions)
    job = make_job(config, subject, id, found, requests, recipe)
    known, there = there_already(found)
    if is_outdated(job, known, job.identity, config.overwrite):
        known, there = {}, {}
    there = _up_to_date(job, known, there, config.overwrite)
    if config.dry_run:
        left = costs_of(config, job, known).left(there.values())
        return _planned(config, job, subject, {request.key for request in requests} & there.keys(), left)
    if config.batch:
        from finetune_cot.pipeline.teach_batches import teach_by_batches

        done = teach_by_batches(config, job, dataset, running, costs_of(config, job, known))
        result = _result(config, job, subject.model_key, done.outcome, running.seconds)
        return replace(result, batch=done.report)
    make = teacher_maker(config, subject, ranks)

    def make_when_held(dollars: float | None) -> Teacher:
        _refuse_under_way(config, job, there)  # the file is held now, so that no batch can be sent
        return make(dollars)

    costs = costs_of(config, job, known)
    outcome = complete(job, there, make_when_held, running, config.overwrite, ranks, costs)
    tell_other_questions(requests, outcome.completions)
    return _result(config, job, subject.model_key, outcome, running.seconds)


def _check_batch(config: TeachConfig, ranks: Ranks) -> None:
    where = f"--batch {config.batch}"
    if config.teacher != "openai":
        raise UsageError("is for a server", where=where, remedy="give --teacher openai")
    if ranks.world > 1:
        raise UsageError("is for one process", where=where, remedy="run it without torchrun")
    if config.dry_run and config.batch != "submit":
        raise UsageError("sends nothing that could be planned", where=where, remedy="leave out --dry-run")


def _refuse_under_way(config: TeachConfig, job: Job, there: Mapping[Key, Completion]) -> None:
    """Ask for nothing twice: neither by batches and live."""
    if config.teacher != "openai":
        return
    path = ledger_path(job.id, config.saved_dir)
    twice = (keys_under_way(path) - there.keys()) & {request.key for request in job.requests}
    if twice:
        raise ArtifactError(
            f"{len(twice)} of these completions are asked for by batches that are not collected",
            where=path,
            remedy="give --batch collect, or --batch cancel and then collect, before this",
        )


def _up_to_date(
    job: Job, known: Mapping[str, Any], there: dict[Key, Completion], overwrite: bool
) -> dict[Key, Completion]:
    """Completions whose questions are those of the data set; published ones are taken as they are.

    Raises:
        ArtifactError: there are others, which may not be replaced.
    """
    other = asked_otherwise(job.requests, there) if "teacher" in known else {}
    if other and not overwrite:
        raise ArtifactError(
            f"{len(other)} completions answer other questions than the data set has now",
            where=job.path,
            remedy="use --overwrite to have these asked again, or another --saved-dir to keep both",
        )
    return {key: completion for key, completion in there.items() if key not in other}


def _subject(config: TeachConfig) -> Subject:
    if config.load_model_dir and config.teacher != "local":
        raise UsageError(
            "is for a local teacher", where="--load-model-dir", remedy=f"leave out --teacher {config.teacher}"
        )
    if config.teacher == "rationale":
        return base_subject(BASE_MODEL)
    if config.load_model_dir:
        return folder_subject(config.load_model_dir, config.model_key)
    return base_subject(config.model_key)


def _planned(
    config: TeachConfig, job: Job, subject: Subject, there: set[Key], left: float | None
) -> TeachResult:
    check_teacher(config, subject)
    begun = there | (keys_under_way(ledger_path(job.id, config.saved_dir)) if config.batch else set())
    missing = [request.sample for request in job.requests if request.key not in begun]
    plan = estimate(job, missing, prices_of(config), BATCH_DISCOUNT if config.batch else 1.0)
    return TeachResult(
        path=job.path,
        requested=len(job.requests),
        completed=0,
        reused=len(there),
        failed=0,
        distinct_rationales=0,
        prompt_tokens=0,
        completion_tokens=0,
        cost=None,
        seconds=0.0,
        model_key=subject.model_key,
        dataset_key=job.id.dataset_key,
        completion_key=job.id.completion_key,
        plan=replace(plan, cost_left=left),
    )


def _result(config: TeachConfig, job: Job, model_key: str, outcome: Outcome, seconds: float) -> TeachResult:
    rationales: set[int] = set()
    cut_off: Counter[str] = Counter()
    for completion in outcome.completions.values():
        rationales.add(hash(_rationale(completion)))
        if reason := _cut_off(completion):
            cut_off[reason] += 1
    distinct = len(rationales)
    return TeachResult(
        path=job.path,
        requested=len(job.requests),
        completed=len(outcome.new),
        reused=len(outcome.completions) - len(outcome.new),
        failed=outcome.failed,
        distinct_rationales=distinct,
        prompt_tokens=outcome.usage.prompt,
        completion_tokens=outcome.usage.completion,
        cost=_cost(config, outcome),
        total_cost=outcome.total_cost,
        seconds=round(seconds, 3),
        failures=outcome.failures,
        distinct_rate=distinct / max(len(outcome.completions), 1),
        incomplete=cut_off,
        cached_tokens=outcome.usage.cached,
        reasoning_tokens=outcome.usage.reasoning,
        model_key=model_key,
        dataset_key=job.id.dataset_key,
        completion_key=job.id.completion_key,
    )


def _rationale(completion: Completion) -> tuple[int, str]:
    """The question, and what leads to the answer without its white space at the ends."""
    text = completion.reasoning_completion
    return completion.sample_index, (completion.completion if text is None else text).strip()


def _cut_off(completion: Completion) -> str | None:
    """Why a rationale ends where it does, or a filter an answer, unless it is whole or nothing is known."""
    if completion.finish_reason == "content_filter":
        return completion.finish_reason
    two_steps = completion.reasoning_completion is not None
    reason = completion.reasoning_finish_reason if two_steps else completion.finish_reason
    return None if reason == "stop" else reason


def _cost(config: TeachConfig, outcome: Outcome) -> float | None:
    counted = outcome.usage.prompt or outcome.usage.completion or not outcome.new
    prices = prices_of(config) if counted or config.teacher != "openai" else None
    return prices.cost(outcome.usage, BATCH_DISCOUNT if config.batch else 1.0) if prices else None
