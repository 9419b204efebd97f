"""Completions that are missing are asked for, batch after batch; what is there is kept."""

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_cot.artifacts.completions import Completion, journal_path, open_completions, read_completions
from finetune_cot.artifacts.files import sha256_json
from finetune_cot.artifacts.ids import CompletionId, parse_completion_path
from finetune_cot.artifacts.manifest import RunningCommand
from finetune_cot.errors import ArtifactError, DataError, TeacherError, UsageError
from finetune_cot.pipeline.progress import progress, say
from finetune_cot.prompts.templates import is_two_step, temperature_of, template_of
from finetune_cot.tasks.sample import Dataset, Sample
from finetune_cot.tasks.splits import load_split
from finetune_cot.teachers.protocol import Failure, Recipe, Teacher, TeachRequest

Key = tuple[int, int]

_IDENTITY = ("prediction_template", "temperature", "seed", "chat", "max_reasoning_tokens", "few_shot")
"""Metadata that completions of one file have in common, besides those of the weights and the second step."""


@dataclass(frozen=True)
class Job:
    """Completions that are wanted: which, how they are made, and the file that holds them."""

    path: Path
    id: CompletionId
    requests: tuple[TeachRequest, ...]
    recipe: Recipe
    metadata: Mapping[str, Any]
    """What the file says of its completions."""

    @property
    def identity(self) -> tuple[str, ...]:
        """Names of the metadata that must agree with those of a file that is there."""
        two_steps = ("max_answer_tokens",) if is_two_step(self.recipe.template) else ()
        return tuple(name for name in (*_IDENTITY, *two_steps, "weights") if name in self.metadata)


@dataclass(frozen=True)
class Outcome:
    """What came of a job."""

    completions: Mapping[Key, Completion]
    """Those of the job's requests, made now or before."""
    new: frozenset[Key]
    """Those that were made now."""
    failures: Mapping[str, int]
    """How many requests failed, by reason."""

    @property
    def failed(self) -> int:
        """Requests that got no completion."""
        return sum(self.failures.values())


def select_samples(
    dataset: Dataset, data_dir: Path, split: str, split_key: str, limit: int | None
) -> list[Sample]:
    """The samples of a part of a data set, or the first of them, in order.

    Raises:
        UsageError: the split's key cannot be one.
        DataError: the split is torn or of another form, or the part holds no sample.
    """
    if split == "all":
        samples = list(dataset.samples)
    else:
        parts = load_split(dataset, data_dir, split_key)
        samples = dataset.select(parts.train if split == "train" else parts.test)
    if not samples:
        raise DataError(
            f"{dataset.key} has no samples in this part",
            where=f"--split {split}",
            remedy="use another --split",
        )
    return samples[:limit]


def make_requests(samples: Sequence[Sample], num_completions: int) -> tuple[TeachRequest, ...]:
    """A request for each of the first completions of each sample."""
    return tuple(TeachRequest(sample, index) for index in range(num_completions) for sample in samples)


def make_recipe(
    completion_key: str,
    few_shot: Mapping[str, str],
    *,
    num_completions: int,
    temperature: float | None,
    max_reasoning_tokens: int,
    max_answer_tokens: int,
    chat: bool,
    seed: int,
) -> Recipe:
    """How the completions of a key are asked for.

    Raises:
        UsageError: there is no such key, or several greedy completions, which would be the same, are wanted.
    """
    template = template_of(completion_key)
    temperature = temperature_of(completion_key) if temperature is None else temperature
    if temperature == 0 and num_completions > 1:
        raise UsageError(
            f"{num_completions} greedy completions of a question would be the same",
            where=f"--completion-key {completion_key}",
            remedy=f"use {template}_t70, or give a --temperature",
        )
    return Recipe(
        template=template,
        temperature=temperature,
        max_reasoning_tokens=max_reasoning_tokens,
        max_answer_tokens=max_answer_tokens,
        chat=chat,
        few_shot=few_shot,
        seed=seed,
    )


def describe(
    id: CompletionId, model_key: str, teacher: str, recipe: Recipe, weights: str | None
) -> dict[str, Any]:
    """What a completion file says of its completions; what is not known, or does not matter, is left out.

    Args:
        id: Id of the file.
        model_key: Key of the base model.
        teacher: Kind of teacher.
        recipe: How the completions are asked for.
        weights: What tells the weights from others of the same name.
    """
    told: dict[str, Any] = {
        "base_model": id.base_model,
        "finetune_key": id.finetune_key,
        "train_key": id.train_key,
        "epoch": id.epoch,
        "dataset_key": id.dataset_key,
        "completion_key": id.completion_key,
        "prediction_template": recipe.template,
        "teacher": teacher,
    }
    if teacher != "rationale":
        told |= {
            "model_key": model_key,
            "temperature": recipe.temperature,
            "seed": recipe.seed if recipe.temperature > 0 else None,
            "chat": recipe.chat,
            "max_reasoning_tokens": recipe.max_reasoning_tokens,
            "max_answer_tokens": recipe.max_answer_tokens if is_two_step(recipe.template) else None,
            "few_shot": sha256_json(dict(recipe.few_shot)) if recipe.few_shot else None,
            "weights": weights,
        }
    return {name: value for name, value in told.items() if value is not None}


def find_completions(id: CompletionId, saved_dir: Path) -> Path | None:
    """The file of an id, also under the older order of published names, or with a journal alone."""
    path = id.path(saved_dir)
    if path.exists() or journal_path(path).exists():
        return path
    for other in sorted(path.parent.glob("[!.]*.json")):
        with contextlib.suppress(ArtifactError):  # a file of another name is not looked for
            if parse_completion_path(other) == id:
                return other
    return None


def is_outdated(
    path: Path, known: Mapping[str, Any], job: Job, names: Collection[str], overwrite: bool
) -> bool:
    """Whether the completions that are there must give place because they were made in another way.

    Args:
        path: The file.
        known: What it says of itself.
        job: What is wanted.
        names: Which of the metadata must agree.
        overwrite: Whether they may be replaced.

    Raises:
        ArtifactError: they were made in another way, and may not be replaced.
    """
    differing = [
        name for name in names if known.get(name) is not None and known[name] != job.metadata.get(name)
    ]
    if not differing or overwrite:
        return bool(differing)
    if "weights" in differing:
        raise ArtifactError(
            "holds completions of other weights: the model was trained again, or replaced, since",
            where=path,
            remedy="use --overwrite to replace them, or another --train-key or --saved-dir to keep both",
        )
    told = " and ".join(f"{name} {known[name]!r}, not {job.metadata.get(name)!r}" for name in differing)
    raise ArtifactError(
        f"was made with {told}",
        where=path,
        remedy="use the options it was made with, another --saved-dir, or --overwrite to replace it",
    )


def there_already(path: Path | None) -> tuple[Mapping[str, Any], dict[Key, Completion]]:
    """Metadata and completions of a file and its journal; nothing where there is no file.

    Raises:
        ArtifactError: it is torn or was edited.
    """
    if path is None:
        return {}, {}
    content = read_completions(path)
    return content.metadata, {completion.key: completion for completion in content.completions}


def requested(job: Job, there: Mapping[Key, Completion]) -> dict[Key, Completion]:
    """Those of the completions that the job asks for."""
    return {request.key: there[request.key] for request in job.requests if request.key in there}


def complete(
    job: Job,
    there: Mapping[Key, Completion],
    make_teacher: Callable[[], Teacher],
    running: RunningCommand,
    overwrite: bool,
) -> Outcome:
    """Ask for what is missing and write the file; where nothing is, the file is not even locked.

    Args:
        job: What is wanted.
        there: What was found of it.
        make_teacher: Gives the teacher; called only if something is missing.
        running: The command, for the manifest.
        overwrite: Whether completions that were made in another way are replaced.

    Raises:
        ArtifactError: another run holds the file, it was made in another way, or it cannot be written.
        TeacherError: the teacher stopped, or every request failed; what was done is kept.
    """
    if all(request.key in there for request in job.requests) and not journal_path(job.path).exists():
        return Outcome(requested(job, there), frozenset(), {})
    failures: Counter[str] = Counter()
    new: set[Key] = set()
    with (
        _without_empty_folders(job.path),
        open_completions(job.path, job.metadata, job.identity, running.command, replace=overwrite) as store,
    ):
        there = store.completions  # read again: another run may have ended since
        reused = sum(request.key in there for request in job.requests)
        if reused < len(job.requests):
            teacher = make_teacher()
            with progress(running.command, len(job.requests), "completions") as update:
                update(reused)
                for batch in teacher.teach(job.requests, job.recipe, there.keys()):
                    completions = [answer for answer in batch if isinstance(answer, Completion)]
                    store.append(completions)
                    new.update(completion.key for completion in completions)
                    failures.update(answer.reason for answer in batch if isinstance(answer, Failure))
                    update(reused + len(new) + failures.total())
        _tell_failures(failures, len(new) + reused)
        store.finish(running.manifest())
        return Outcome(requested(job, store.completions), frozenset(new), dict(failures))


def tell_other_questions(requests: Sequence[TeachRequest], completions: Mapping[Key, Completion]) -> None:
    """Tell of completions whose question is not the one that the data set has now."""
    other = sum(
        completions[request.key].question.split() != request.sample.question.split()
        for request in requests
        if request.key in completions
    )
    if other:
        say(
            f"note: {other} completions were asked in other words than the data set has; they count with"
            " the answers that they were asked with"
        )


def _tell_failures(failures: Counter[str], completed: int) -> None:
    if not failures:
        return
    reasons = "; ".join(f"{reason} ({count})" for reason, count in failures.most_common(3))
    if not completed:
        raise TeacherError(f"all {failures.total()} requests failed: {reasons}")
    say(f"note: {failures.total()} requests failed, and are asked again next time: {reasons}")


@contextlib.contextmanager
def _without_empty_folders(path: Path) -> Iterator[None]:
    """Remove the folders that were made for a file which then was not written."""
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        yield
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # it holds something, or was never made
                folder.rmdir()
