"""Exemplars that come before a question: those of the data folder, or our own for the bundled tasks."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from finetune_cot.errors import DataError
from finetune_cot.tasks.answer_formats import PUBLISHED_FORMATS
from finetune_cot.tasks.procedural.registry import (
    ALL_TASKS,
    bundled_dataset,
    generate_samples,
    procedural_tasks,
)
from finetune_cot.tasks.sample import Dataset, Sample
from finetune_cot.tasks.text_files import read_json

FILE_NAME = "few_shot_cot_prompts.json"
"""File of the data folder: ``{"<data set>": {"prompt": "Q: ...\\nA: ..."}}``."""

EXEMPLARS = 4
"""Exemplars of a bundled task."""

EXEMPLAR_SEED = 20_230_711
"""Seed of our exemplars; no data set is to be drawn from it."""

_DRAWN = 100


def few_shot_prompts(dataset: Dataset, data_dir: Path | None) -> Mapping[str, str]:
    """The exemplars of each task of a data set, as one text without a line break at its end.

    Raises:
        DataError: the data folder has none for a task, or its file is missing or of another form.
    """
    stored: Mapping[str, str] | None = None
    prompts: dict[str, str] = {}
    for task in dataset.tasks:
        if _is_ours(dataset, task):
            prompts[task] = own_exemplars(task, {sample.question for sample in dataset.samples})
        else:
            stored = read_few_shot_file(data_dir) if stored is None else stored
            prompts[task] = _stored_prompt(stored, dataset.key, task, data_dir)
    return prompts


def own_exemplars(task: str, questions: Collection[str] = ()) -> str:
    """Exemplars of a bundled task, none with a question of the bundled data sets or of the given ones.

    Answers differ as far as they can, so that they do not suggest one.

    Raises:
        UsageError: there is no such task.
        DataError: all questions of the task are among the given ones.
    """
    # The data set of this task alone holds the questions that the one of all tasks has of it.
    bundled = bundled_dataset(f"{ALL_TASKS}_{task}").samples
    taken = {*questions, *(sample.question for sample in bundled)}
    drawn = generate_samples(task, _DRAWN, EXEMPLAR_SEED)
    chosen = _varied([sample for sample in drawn if sample.question not in taken])
    if not chosen:
        raise DataError(
            f"no exemplar of {task} is left that is not a question of the data set",
            where="few-shot exemplars",
            remedy="use a smaller data set or another --completion-key",
        )
    return "\n".join(
        f"Q: {sample.question}\nA: {sample.rationale} The answer is {sample.answer}." for sample in chosen
    )


def read_few_shot_file(data_dir: Path | None) -> Mapping[str, str]:
    """The exemplars of ``<data_dir>/few_shot_cot_prompts.json`` by data set.

    Raises:
        DataError: the file is missing, torn or of another form.
    """
    path = None if data_dir is None else data_dir / FILE_NAME
    if path is None or not path.is_file():
        raise DataError(
            "there are no few-shot exemplars",
            where=path or FILE_NAME,
            remedy=f"put {FILE_NAME} into the folder that --data-dir names",
        )
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError("is no object by data set", where=path)
    return {key: _prompt_of(key, value, path) for key, value in content.items()}


def _is_ours(dataset: Dataset, task: str) -> bool:
    """Whether the task is a bundled one; published data sets share the names of some."""
    if task not in procedural_tasks():
        return False
    return dataset.key.startswith(ALL_TASKS) or _without_variant(dataset.key) not in PUBLISHED_FORMATS


def _varied(samples: Sequence[Sample]) -> list[Sample]:
    """The first samples, passing over answers that were there more often than others; in their order."""
    seen: Counter[str] = Counter()
    ranks = []
    for position, sample in enumerate(samples):
        ranks.append((seen[sample.answer], position))
        seen[sample.answer] += 1
    return [samples[position] for position in sorted(position for _, position in sorted(ranks)[:EXEMPLARS])]


def _stored_prompt(prompts: Mapping[str, str], dataset_key: str, task: str, data_dir: Path | None) -> str:
    for key in (task, dataset_key, _without_variant(task), _without_variant(dataset_key)):
        if key in prompts:
            return prompts[key]
    raise DataError(
        f"there are no few-shot exemplars for {task}",
        where=FILE_NAME if data_dir is None else data_dir / FILE_NAME,
        remedy=f'add `"{task}": {{"prompt": "Q: ...\\nA: ... The answer is X."}}`',
    )


def _without_variant(key: str) -> str:
    return key.partition("-")[0]


def _prompt_of(key: str, value: Any, path: Path) -> str:
    prompt = value.get("prompt") if isinstance(value, dict) else value
    if not isinstance(prompt, str) or not prompt.strip():
        raise DataError(f"the `prompt` of {key} is missing or no text", where=path)
    return prompt.rstrip()
