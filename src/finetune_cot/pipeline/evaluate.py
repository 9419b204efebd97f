"""``ftcot evaluate``: completions are checked; those that are missing are generated first."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from finetune_cot.artifacts.manifest import start
from finetune_cot.artifacts.students import PLATFORM_TRAIN_KEY
from finetune_cot.config.evaluate import EvaluateConfig
from finetune_cot.config.options import to_plain
from finetune_cot.config.shared import ANSWER_TOKENS, REASONING_TOKENS
from finetune_cot.errors import ArtifactError, UsageError
from finetune_cot.evaluation.checkers import Verdict, check_completion
from finetune_cot.evaluation.scores import score_questions
from finetune_cot.pipeline.classifying import check_classifier, classifier_maker, task_metrics
from finetune_cot.pipeline.completing import (
    Outcome,
    Requested,
    complete,
    tell_other_questions,
    there_already,
)
from finetune_cot.pipeline.costs import costs_of
from finetune_cot.pipeline.jobs import Job, is_outdated, make_job, make_recipe, make_requests, select_samples
from finetune_cot.pipeline.progress import say
from finetune_cot.pipeline.ranks import Ranks, joined
from finetune_cot.pipeline.student_files import locate, own_completion_key, usual_train_key
from finetune_cot.pipeline.subject import Subject, base_subject, folder_subject, student_subject
from finetune_cot.pipeline.teachers import Plan, asks_in_messages, check_teacher, estimate, teacher_maker
from finetune_cot.pipeline.train_checks import settled_precision
from finetune_cot.prompts.few_shot import few_shot_prompts
from finetune_cot.prompts.templates import STOP_PHRASE, template_of
from finetune_cot.tasks.reasoning import load_dataset
from finetune_cot.tasks.sample import Dataset
from finetune_cot.teachers.protocol import Recipe


@dataclass(frozen=True)
class TaskScore:
    """The score on one task of the data set."""

    task: str
    n: int
    correct: int
    accuracy: float
    stderr: float


@dataclass(frozen=True)
class EvaluateResult:
    """How many of a model's answers are right."""

    n: int
    """Completions that were graded; one of each question, unless more were asked for."""
    correct: int
    accuracy: float
    """Share of right ones, 0 to 1; None under ``--json`` where nothing was graded."""
    stderr: float
    """Standard error of the accuracy over questions."""
    contains_answer: int
    """Completions that hold the right answer somewhere."""
    correct_format: int
    """Completions with the words that lead to the answer in their template."""
    complete: int | None
    """Completions whose rationale was not cut off; None where no completion tells."""
    ungradable: int
    """Completions left out of ``n`` because the data set's own answer cannot be read."""
    generated: int
    """Completions made now."""
    reused: int
    """Completions that were there."""
    missing: int
    """Completions that there are not: with --no-generate, in a dry run, or because they failed."""
    path: Path
    """The completion file."""
    model: str
    """Slug of the base model."""
    finetune_key: str | None
    train_key: str | None
    epoch: int | None
    dataset: str
    completion_key: str
    checker: str
    split: str
    tasks: tuple[TaskScore, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Of a task of GLUE, its own ones by name; None under ``--json`` where one is not defined."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """How many requests failed, by reason."""
    plan: Plan | None = None
    """Only of a dry run."""


def evaluate(config: EvaluateConfig) -> EvaluateResult:
    """Score the completions of a model on a data set; what is there is used, the rest is generated.

    Nothing is written, nor any model loaded, where nothing is missing.

    Raises:
        UsageError: a key or a combination of options that cannot be used.
        DataError: the data set is not there or torn.
        ModelError: the model is not there or cannot be loaded.
        ArtifactError: the completion file is torn, held by another run, or was made in another way.
        TeacherError: the server refuses or does not answer; what was done is kept.
        StoppedByAnotherError: another process of this run failed, and tells why.
    """
    with joined() as ranks:
        return _evaluate(settled_precision(config), ranks)


def _evaluate(config: EvaluateConfig, ranks: Ranks) -> EvaluateResult:
    running = start("evaluate", to_plain(config))
    subject = _subject(config)
    config = _at_server(config, subject)
    dataset = load_dataset(config.dataset_key, config.data_dir)
    check_classifier(subject, dataset, config.completion_key)
    completion_key = config.completion_key or own_completion_key(subject, dataset.key, config.saved_dir)
    found, subject = locate(subject, completion_key, dataset.key, config.saved_dir)
    known, there = there_already(found)
    samples = select_samples(dataset, config.data_dir, config.split, config.split_key, config.limit)
    requests = make_requests(samples, config.num_completions)
    all_there = all(request.key in there for request in requests)
    few_shot: Mapping[str, str] = {}
    if template_of(completion_key) == "fs_cot" and (config.overwrite or not all_there):
        few_shot = few_shot_prompts(dataset, config.data_dir)
    recipe = _recipe(config, completion_key, few_shot, known)
    if subject.platform == "openai":
        recipe = replace(recipe, stop=(STOP_PHRASE,))
    id = subject.completion_id(completion_key, dataset.key)
    job = make_job(config, subject, id, found, requests, recipe)
    if is_outdated(job, known, _firm(config, job), config.overwrite):
        there = {}
    if config.generate and not config.dry_run:
        of_labels = classifier_maker if subject.labels else teacher_maker
        maker = of_labels(config, subject, ranks)
        outcome = complete(job, there, maker, running, config.overwrite, ranks, costs_of(config, job, known))
    else:
        outcome = Outcome(Requested(job, there), frozenset(), {})
        _tell_missing(config, job, outcome)
    tell_other_questions(requests, outcome.completions)
    result = _scored(config, subject, dataset, job, outcome)
    return replace(result, plan=_plan(config, job, subject, outcome)) if config.dry_run else result


def _subject(config: EvaluateConfig) -> Subject:
    if config.load_model_dir and config.finetune_key:
        raise UsageError(
            "names a model that --finetune-key names too", where="--load-model-dir", remedy="give one of them"
        )
    if config.load_model_dir:
        return folder_subject(config.load_model_dir, config.model_key, config.epoch)
    if config.finetune_key:
        finetune_key = config.finetune_key.replace("glue/", "glue-")
        usual = PLATFORM_TRAIN_KEY
        if config.teacher != "openai":
            usual = usual_train_key(config.model_key, finetune_key, config.saved_dir)
        return student_subject(
            config.model_key,
            finetune_key,
            config.train_key or usual,
            config.run,
            config.epoch,
            config.saved_dir,
        )
    return base_subject(config.model_key)


def _at_server(config: EvaluateConfig, subject: Subject) -> EvaluateConfig:
    """The config by which a server's student is asked: with the server's name of it, as it was trained.

    Raises:
        UsageError: the student is not one of a server's.
        ArtifactError: its job has not made it yet.
    """
    if config.teacher != "openai" or not (config.load_model_dir or config.finetune_key):
        return config
    job = subject.job
    if job is None:
        raise UsageError(
            "a server knows a student by its own name",
            where="--teacher openai",
            remedy="give the server's name of the student as --model-key; or see --train-key",
        )
    if job.model is None:
        raise ArtifactError(
            f"the job of this student is {job.status}, and has made no model yet",
            where=job.job_id or job.file_id,
            remedy="give `ftcot train --platform` again, which waits for it",
        )
    return replace(
        config,
        model_key=job.model,
        base_url=config.base_url or job.base_url,
        endpoint="chat" if subject.platform == "openai-chat" else "completions",
    )


def _recipe(
    config: EvaluateConfig, completion_key: str, few_shot: Mapping[str, str], known: Mapping[str, Any]
) -> Recipe:
    """How missing completions are asked for; as long as those that are there, unless told otherwise."""
    return make_recipe(
        completion_key,
        few_shot,
        num_completions=config.num_completions,
        temperature=config.temperature,
        max_reasoning_tokens=config.max_reasoning_tokens
        or known.get("max_reasoning_tokens", REASONING_TOKENS),
        max_answer_tokens=config.max_answer_tokens or known.get("max_answer_tokens", ANSWER_TOKENS),
        chat=asks_in_messages(config),
        seed=config.seed,
    )


def _firm(config: EvaluateConfig, job: Job) -> list[str]:
    """Metadata that must agree even where nothing is missing: the weights, and what was asked for by name."""
    given = {
        "weights": "weights" in job.metadata,
        "temperature": config.temperature is not None,
        "max_reasoning_tokens": config.max_reasoning_tokens is not None,
        "max_answer_tokens": config.max_answer_tokens is not None,
    }
    return [name for name in job.identity if given.get(name)]


def _tell_missing(config: EvaluateConfig, job: Job, outcome: Outcome) -> None:
    """Tell how much is missing where nothing may be generated.

    Raises:
        ArtifactError: all of it.
    """
    missing = len(job.requests) - len(outcome.completions)
    if config.dry_run or not missing:
        return
    if not outcome.completions:
        raise ArtifactError(
            "holds none of these completions" if job.path.exists() else "there are no such completions",
            where=job.path,
            remedy="leave out --no-generate",
        )
    say(f"note: {missing} of {len(job.requests)} completions are missing; the others alone are scored")


def _plan(config: EvaluateConfig, job: Job, subject: Subject, outcome: Outcome) -> Plan:
    """What would be generated; the teacher is looked for only if something would be.

    Raises:
        FtcotError: it cannot be had.
    """
    absent = [request.sample for request in job.requests if request.key not in outcome.completions]
    if absent and config.generate:
        check_teacher(config, subject)
    return estimate(job, absent, None)


def _scored(
    config: EvaluateConfig, subject: Subject, dataset: Dataset, job: Job, outcome: Outcome
) -> EvaluateResult:
    verdicts: dict[str, dict[int, list[Verdict]]] = {}
    for request in job.requests:
        if completion := outcome.completions.get(request.key):
            sample = request.sample
            verdict = check_completion(
                completion, dataset.answer_formats[sample.task], job.recipe.template, config.checker
            )
            verdicts.setdefault(sample.task, {}).setdefault(sample.sample_index, []).append(verdict)
    total = score_questions(group for task in verdicts.values() for group in task.values())
    tasks = {task: score_questions(groups.values()) for task, groups in verdicts.items()}
    return EvaluateResult(
        **vars(total),
        generated=len(outcome.new),
        reused=len(outcome.completions) - len(outcome.new),
        missing=len(job.requests) - len(outcome.completions),
        path=job.path,
        model=job.id.base_model,
        finetune_key=job.id.finetune_key,
        train_key=job.id.train_key,
        epoch=job.id.epoch,
        dataset=dataset.key,
        completion_key=job.id.completion_key,
        checker=config.checker,
        split=config.split,
        tasks=tuple(
            TaskScore(name, one.n, one.correct, one.accuracy, one.stderr) for name, one in tasks.items()
        ),
        metrics=task_metrics(subject.labels, dataset, outcome.completions) if subject.labels else {},
        failures=outcome.failures,
    )
