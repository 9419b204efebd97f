"""What a student is trained on: texts of the tasks, and those of them that are held out as dev set."""

import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from finetune_cot.artifacts.files import sha256_json
from finetune_cot.artifacts.finetune_data import FinetuneData, read_finetune_json
from finetune_cot.artifacts.ids import FinetuneDataId, save_name
from finetune_cot.artifacts.keys import check_key, model_slug
from finetune_cot.artifacts.task_groups import TaskGroups, read_task_groups
from finetune_cot.config.training import (
    BOTTLENECK_METHODS,
    LORA_METHODS,
    QUANTIZED_METHODS,
    DataOptions,
    ModelOptions,
)
from finetune_cot.errors import ArtifactError, DataError, UsageError
from finetune_cot.pipeline.progress import say
from finetune_cot.prompts.conversation import RenderChat, conversation_segments
from finetune_cot.prompts.segments import Segment
from finetune_cot.prompts.templates import training_segments
from finetune_cot.tasks.glue import TEMPLATE as CLASSIFY
from finetune_cot.tasks.glue import check_trainable, glue_task_of, label_space
from finetune_cot.tasks.instruction import Message, read_instruction_data
from finetune_cot.tasks.label_space import LabelSpace
from finetune_cot.tasks.reasoning import load_dataset
from finetune_cot.tasks.sample import Sample
from finetune_cot.tasks.splits import load_split

Item = TypeVar("Item")


@dataclass(frozen=True)
class TrainingText:
    """A sample before it is tokenized: a question with its answer, or a conversation."""

    sample_index: int
    task: str
    question: str
    """What is asked; in a conversation, all that comes before the last message."""
    reasoning: str | None = None
    answer: str = ""
    messages: tuple[Message, ...] = ()
    """The conversation; empty for a question with its answer."""
    labelled: Sample | None = None
    """The sample as a classifier reads it; its task is the one whose labels are chosen from."""


@dataclass(frozen=True)
class TrainingData:
    """The samples of a source."""

    source: str
    """First part of the checkpoint's name."""
    finetune_key: str
    template: str | None
    """How question, rationale and answer are joined; None for conversations."""
    texts: tuple[TrainingText, ...]
    left_out: int = 0
    """Samples with nothing to learn: no rationale where the template needs one, or an empty answer."""
    rationales_per_question: int | None = None
    teacher: str | None = None
    labels: LabelSpace | None = None
    """What a classifier's head is to say; None where the model is to write."""
    groups: TaskGroups | None = None
    """What stands as tasks in place of those that the samples name, once they are divided."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks, sorted; a task's number is its place here."""
        return self.groups.groups if self.groups else tuple(sorted({text.task for text in self.texts}))


@dataclass(frozen=True)
class Parts:
    """Training data divided into what is trained on and what the dev loss is measured on."""

    train: tuple[TrainingText, ...]
    dev: tuple[TrainingText, ...]
    task_indices: tuple[int, ...]
    """Numbers of the tasks that are trained on."""


def read_training_data(config: DataOptions) -> TrainingData:
    """The samples that the config names: ``--finetune-key``, ``--data-path``, or else ``--dataset-key``.

    Raises:
        UsageError: two sources are named, or a key cannot be one.
        DataError, ArtifactError: the data are missing, torn, of another form, or empty.
    """
    if config.finetune_key is not None and config.data_path is not None:
        raise UsageError("give --finetune-key or --data-path, not both")
    if config.finetune_key is not None:
        data = _finetune_data(config, config.finetune_key)
    elif config.data_path is not None:
        data = _instruction_data(config, config.data_path)
    else:
        data = _own_rationales(config)
    if not data.texts:
        raise DataError(
            "there is nothing to train on: no sample is left",
            where=data.finetune_key,
            remedy="see `ftcot build-finetune-data`, --split-key and --template",
        )
    return data


def in_task_groups(data: TrainingData, path: Path | None) -> TrainingData:
    """The same samples, with the groups of a file as their tasks; as they are where there is none.

    Raises:
        ArtifactError: the groups are missing, torn, or of other samples.
    """
    if path is None:
        return data
    groups = read_task_groups(path)
    if groups.data != texts_digest(data.texts, data.template):
        raise ArtifactError(
            "holds groups of other samples",
            where=path,
            remedy="give the data that they were made of, or run `ftcot select --group-by cluster` again",
        )
    return replace(data, groups=groups)


def divide(
    data: TrainingData,
    config: DataOptions,
    task_idxes: Sequence[int] | None = None,
    dev_tasks: str = "all",
) -> Parts:
    """Hold out a share of the questions of each task; what is asked in one part is never asked in the other.

    A question that several tasks ask counts for the first of them. The division depends on ``--seed``, not on
    the run, so that the dev losses of several runs can be compared. Downsampling takes from the training part
    alone; a smaller share is part of a larger one. Both go by the samples' own tasks, also where groups of
    samples then take their place.

    Raises:
        UsageError: there is no task of a number in ``--task-idxes``.
    """
    indices = _task_indices(data.tasks, task_idxes)
    trained = {data.tasks[index] for index in indices}
    held_out = _held_out_questions(data.texts, config.dev_fraction, config.seed)
    train = [text for text in data.texts if text.question.strip() not in held_out]
    train = _downsample(train, config.downsample, config.seed)
    dev = [text for text in data.texts if text.question.strip() in held_out]
    if data.groups:
        train, dev = _regrouped(train, data.groups), _regrouped(dev, data.groups)
    train = [text for text in train if text.task in trained]
    if dev_tasks == "trained":
        dev = [text for text in dev if text.task in trained]
    return Parts(tuple(train), tuple(dev), indices)


def text_segments(
    text: TrainingText, template: str | None, model_type: str, render_chat: RenderChat | None
) -> tuple[Segment, ...]:
    """A sample as prompt and label.

    Raises:
        UsageError: the template is not for such models, or needs a rationale that is not there.
    """
    if text.messages:
        return conversation_segments(text.messages, model_type, render_chat)
    return training_segments(str(template), model_type, text.question, text.reasoning, text.answer)


def chat_renderer(tokenizer: Any) -> RenderChat | None:
    """A tokenizer's chat template, if it has one."""
    if not tokenizer.chat_template:
        return None

    def render(messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
        text: str = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=add_generation_prompt
        )
        return text

    return render


def trained_name(config: ModelOptions, data: TrainingData) -> str:
    """The save name of what is trained on some data.

    Raises:
        UsageError: a part of it cannot be one.
    """
    suffix = [name for name in (config.save_name, data.groups and data.groups.name) if name]
    return save_name(data.source, model_slug(config.model_key), _part_name(config), "_".join(suffix))


def _part_name(config: ModelOptions) -> str:
    """Short name of what of the model is trained; none of all of it."""
    if config.method in LORA_METHODS:
        names = [f"lora_r_{config.lora_rank}"]
    elif config.method in BOTTLENECK_METHODS:
        names = [f"adapter_rf_{config.reduction_factor:g}"]
    else:
        words = re.findall("[A-Za-z0-9]+", " ".join(config.train_layers or ()))
        names = ["-".join(("layers", *words))] * bool(words) + ["frozen-head"] * config.freeze_head
    return "_".join([*names, *[config.method] * (config.method in QUANTIZED_METHODS)])


def texts_digest(texts: Iterable[TrainingText], template: str | None) -> str:
    """SHA-256 of samples and of how they are joined."""
    return sha256_json([template, [_told(text) for text in texts]])


def _told(text: TrainingText) -> dict[str, Any]:
    # Samples that are no classifier's are told as they were before there were any.
    return {name: value for name, value in asdict(text).items() if name != "labelled" or value}


def _finetune_data(config: DataOptions, finetune_key: str) -> TrainingData:
    """The data of a key, or of several keys joined by ``+``, which are trained on together."""
    paths = [FinetuneDataId("custom", key).path(config.saved_dir) for key in finetune_key.split("+")]
    parts = [read_finetune_json(path) for path in paths]
    rows = [row for part in parts for row in part.rows]
    with_rationales = any(row.reasoning is not None for row in rows)
    rationales = [part.metadata.get("rationales_per_question") or 0 for part in parts]
    teachers = sorted({part.metadata["teacher"] for part in parts if part.metadata.get("teacher")})
    return _questions(
        source=finetune_key,
        finetune_key=finetune_key,
        template=config.template or _stated_template(parts, finetune_key) or _template(with_rationales),
        texts=[
            TrainingText(row.sample_index, row.task, row.question, row.reasoning, row.answer) for row in rows
        ],
        rationales_per_question=max(rationales) or None,
        teacher="+".join(teachers) or None,
    )


def _stated_template(parts: Sequence[FinetuneData], where: str) -> str | None:
    """The template that training data name, if they do."""
    stated = sorted({part.metadata["template"] for part in parts if part.metadata.get("template")})
    if len(stated) > 1:
        raise UsageError(
            f"the data were made for different templates: {', '.join(stated)}",
            where=where,
            remedy="choose one with --template",
        )
    return stated[0] if stated else None


def _own_rationales(config: DataOptions) -> TrainingData:
    if config.dataset_key is None:
        raise UsageError("no data are named", remedy="give --dataset-key, --finetune-key or --data-path")
    keys = config.dataset_key.split("+")
    if any(glue_task_of(key) for key in keys):
        return _glue_data(config, keys)
    dataset = load_dataset(config.dataset_key, config.data_dir)
    split = load_split(dataset, config.data_dir, config.split_key)
    samples = dataset.select(split.train)
    with_rationales = any(sample.rationale for sample in samples)
    return _questions(
        source=config.dataset_key,
        finetune_key=config.dataset_key,
        template=config.template or _template(with_rationales),
        texts=[
            TrainingText(item.sample_index, item.task, item.question, item.rationale, item.answer)
            for item in samples
        ],
        rationales_per_question=1 if with_rationales else None,
    )


def _glue_data(config: DataOptions, keys: Sequence[str]) -> TrainingData:
    """Labelled samples of one or several of GLUE's tasks, for one head.

    Raises:
        UsageError: a key cannot be trained on as these are, or a template is given.
        DataError: a task's samples are missing or of another form.
    """
    if config.template is not None:
        raise UsageError("texts that are classified have a form of their own", where="--template")
    check_trainable(keys)
    datasets = [load_dataset(key, config.data_dir) for key in dict.fromkeys(keys)]
    samples = [
        sample
        for dataset in datasets
        for sample in dataset.select(load_split(dataset, config.data_dir, config.split_key).train)
    ]
    name = "+".join(dataset.key for dataset in datasets)
    return TrainingData(
        source=name,
        finetune_key=name,
        template=CLASSIFY,
        texts=tuple(
            TrainingText(item.sample_index, item.task, item.question, answer=item.answer, labelled=item)
            for item in samples
        ),
        labels=label_space(dataset.tasks[0] for dataset in datasets),
    )


def _instruction_data(config: DataOptions, data_path: str) -> TrainingData:
    if config.template is not None:
        raise UsageError("instruction data have a form of their own", where="--template")
    found = read_instruction_data(data_path, config.task_field)
    stem = Path(data_path).stem
    texts = [
        TrainingText(
            item.sample_index,
            item.task,
            "\n".join(message.content for message in item.messages[:-1]),
            messages=item.messages,
        )
        for item in found.examples
    ]
    return TrainingData(
        source="Alpaca" if stem.lower().startswith("alpaca") else "Instruction",
        finetune_key=check_key(stem.replace(" ", "-"), "name of the data"),
        template=None,
        texts=tuple(texts),
        left_out=len(found.left_out),
    )


def _questions(template: str, texts: Sequence[TrainingText], **named: Any) -> TrainingData:
    """Data of questions and answers; those without a rationale are left out where the template needs one."""
    needs_rationale = "_cot" in template
    kept = tuple(text for text in texts if not needs_rationale or text.reasoning)
    return TrainingData(template=template, texts=kept, left_out=len(texts) - len(kept), **named)


def _template(with_rationales: bool) -> str:
    return "ft_cot_token" if with_rationales else "ft_token"


def _task_indices(tasks: Sequence[str], wanted: Sequence[int] | None) -> tuple[int, ...]:
    if wanted is None:
        return tuple(range(len(tasks)))
    unknown = [index for index in wanted if index >= len(tasks)]
    if unknown:
        raise UsageError(
            f"there is no task {unknown[0]}: there are {len(tasks)}, from 0",
            where="--task-idxes",
            remedy=", ".join(f"{index} {task}" for index, task in enumerate(tasks[:20])),
        )
    return tuple(sorted(set(wanted)))


def _regrouped(texts: Sequence[TrainingText], groups: TaskGroups) -> list[TrainingText]:
    """The samples by their groups; `grads` took no gradient of those that are in none."""
    found = [(text, groups.number(text.task, text.sample_index)) for text in texts]
    kept = [replace(text, task=groups.groups[number]) for text, number in found if number is not None]
    if len(kept) < len(texts):
        say(f"{len(texts) - len(kept)} samples are in no group of {groups.name} and left out")
    return kept


def _held_out_questions(texts: Sequence[TrainingText], fraction: float, seed: int) -> frozenset[str]:
    """A share of each task's questions, at least one where there is a share, and never all of them."""
    task_of_question: dict[str, str] = {}
    for text in texts:
        task_of_question.setdefault(text.question.strip(), text.task)
    held_out: list[str] = []
    for task, questions in _grouped(task_of_question, task_of_question.__getitem__).items():
        count = min(max(round(fraction * len(questions)), 1), len(questions) - 1) if fraction else 0
        held_out += [questions[position] for position in _order(len(questions), task, seed)[:count]]
    return frozenset(held_out)


def _downsample(texts: Sequence[TrainingText], share: float, seed: int) -> list[TrainingText]:
    """A share of each task's samples, at least one of each, in their old order."""
    if share == 1:
        return list(texts)
    kept: set[int] = set()
    for task, positions in _grouped(range(len(texts)), lambda position: texts[position].task).items():
        count = max(round(share * len(positions)), 1)
        kept |= {positions[place] for place in _order(len(positions), f"downsample {task}", seed)[:count]}
    return [text for position, text in enumerate(texts) if position in kept]


def _grouped(items: Iterable[Item], task_of: Callable[[Item], str]) -> Mapping[str, list[Item]]:
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(task_of(item), []).append(item)
    return groups


def _order(count: int, purpose: str, seed: int) -> list[int]:
    """A permutation that is the same wherever the seed and the purpose are."""
    import numpy as np

    order: list[int] = np.random.default_rng([seed, zlib.crc32(purpose.encode())]).permutation(count).tolist()
    return order
