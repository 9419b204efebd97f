"""What is wanted of a teacher: which completions, how they are made, and the file that holds them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_cot.artifacts.completions import made_otherwise, refuse_other
from finetune_cot.artifacts.files import sha256_json
from finetune_cot.artifacts.ids import CompletionId
from finetune_cot.config.evaluate import EvaluateConfig
from finetune_cot.config.teach import TeachConfig
from finetune_cot.errors import DataError, UsageError
from finetune_cot.pipeline.subject import Subject, weights_identity
from finetune_cot.prompts.templates import is_two_step, temperature_of, template_of
from finetune_cot.tasks.sample import Dataset, Sample
from finetune_cot.tasks.splits import part_indices
from finetune_cot.teachers.protocol import Recipe, TeachRequest

Options = TeachConfig | EvaluateConfig

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
        # Names of several models may give the same path; what is here is known by its weights.
        model = ("model_key",) if self.metadata["teacher"] == "openai" else ()
        names = (*_IDENTITY, *two_steps, *model, "weights")
        return tuple(name for name in names if name in self.metadata)


def select_samples(
    dataset: Dataset, data_dir: Path, split: str, split_key: str, limit: int | None
) -> list[Sample]:
    """The samples of a part of a data set, or the first of them, in order.

    Raises:
        UsageError: the split's key cannot be one.
        DataError: the split is torn or of another form, or the part holds no sample.
    """
    samples = dataset.select(part_indices(dataset, data_dir, split, split_key))
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


def make_job(
    options: Options,
    subject: Subject,
    id: CompletionId,
    found: Path | None,
    requests: tuple[TeachRequest, ...],
    recipe: Recipe,
) -> Job:
    """The job of filling the completion file of an id.

    Args:
        options: Which teacher, and where completions are saved.
        subject: Whose completions they are.
        id: Their id.
        found: The file that there is of the id, if any.
        requests: The completions that are wanted.
        recipe: How they are asked for.
    """
    weights = weights_identity(subject) if options.teacher == "local" or subject.job else None
    metadata = _describe(id, subject.model_key, options.teacher, recipe, weights)
    return Job(found or id.path(options.saved_dir), id, requests, recipe, metadata)


def is_outdated(job: Job, known: Mapping[str, Any], names: Collection[str], overwrite: bool) -> bool:
    """Whether the completions that are there must give place because they were made in another way.

    Args:
        job: What is wanted.
        known: What the file says of itself.
        names: Which of the metadata must agree.
        overwrite: Whether they may be replaced.

    Raises:
        ArtifactError: they were made in another way, and may not be replaced.
    """
    if not overwrite:
        refuse_other(job.path, known, job.metadata, names)
    return bool(made_otherwise(known, job.metadata, names))


def _describe(
    id: CompletionId, model_key: str, teacher: str, recipe: Recipe, weights: str | None
) -> dict[str, Any]:
    """What a completion file says of its completions; what is not known, or does not matter, is left out."""
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
