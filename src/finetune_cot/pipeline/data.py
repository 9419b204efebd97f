"""``ftcot data``: what data sets there are, what a model sees of them, and where more come from."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from finetune_cot.artifacts.files import sha256_file
from finetune_cot.artifacts.manifest import RunningCommand, start, write_manifest
from finetune_cot.config.data import (
    DataFetchConfig,
    DataGenerateConfig,
    DataImportConfig,
    DataListConfig,
    DataShowConfig,
)
from finetune_cot.config.options import to_plain
from finetune_cot.errors import DataError, UsageError
from finetune_cot.pipeline.progress import say
from finetune_cot.prompts.conversation import conversation_segments
from finetune_cot.prompts.few_shot import few_shot_prompts
from finetune_cot.prompts.segments import Segment
from finetune_cot.prompts.templates import is_finetune, prompt_text, training_segments
from finetune_cot.tasks.catalog import DatasetSummary, list_datasets
from finetune_cot.tasks.fetching import SOURCES, fetch_dataset
from finetune_cot.tasks.generating import generate_bundled
from finetune_cot.tasks.glue import GLUE, glue_keys, glue_task_of
from finetune_cot.tasks.glue import TEMPLATE as CLASSIFY
from finetune_cot.tasks.glue_fetching import fetch_glue
from finetune_cot.tasks.importing import Columns, ImportKind, import_dataset
from finetune_cot.tasks.instruction import read_instruction_data
from finetune_cot.tasks.reasoning import load_dataset
from finetune_cot.tasks.sample import Dataset, Sample

DEFAULT_DATA_DIR = DataListConfig().data_dir


@dataclass(frozen=True)
class DatasetList:
    """Every data set at hand."""

    datasets: tuple[DatasetSummary, ...]


@dataclass(frozen=True)
class DatasetExample:
    """A sample as a model sees it."""

    sample_index: int
    task: str
    answer: str | None
    """The right answer; None for instruction data."""
    prompt: str
    """What the model is given before the first label."""
    label: str
    """What it learns to write; empty for a prompt that asks a teacher."""
    segments: tuple[Segment, ...]
    """The whole text, piece by piece; those of a conversation may take turns."""


@dataclass(frozen=True)
class DatasetExamples:
    """A few samples of a data set."""

    dataset: str
    format: str
    """What the rows are, in words."""
    samples: int
    """Samples of the whole data set."""
    template: str
    examples: tuple[DatasetExample, ...]


@dataclass(frozen=True)
class ImportResult:
    """What an import did."""

    kind: str
    format: str
    written: tuple[Path, ...]
    unchanged: tuple[Path, ...]
    """Files that were there already, just so."""
    samples: int
    completions: int
    tasks: tuple[str, ...]
    left_out: tuple[str, ...]
    """Places of rows with nothing to ask or nothing to learn."""
    seconds: float


@dataclass(frozen=True)
class FetchResult:
    """What was fetched."""

    key: str
    path: Path
    written: bool
    """False where the file was there already, just so."""
    samples: int
    source: str
    seconds: float


@dataclass(frozen=True)
class GenerateResult:
    """What was generated."""

    key: str
    path: Path
    written: bool
    """False where the file was there already, just so."""
    samples: int
    tasks: tuple[str, ...]
    seconds: float


def list_data(config: DataListConfig) -> DatasetList:
    """Every data set of the data folder, and the bundled ones, which need no folder.

    Raises:
        DataError: a data folder that was asked for is missing or cannot be read, or one of its files is torn.
        UsageError: a file's name cannot be a data set's key.
    """
    return DatasetList(tuple(list_datasets(_readable_folder(config.data_dir))))


def show_data(config: DataShowConfig) -> DatasetExamples:
    """The first samples of a data set, with prompt and label told apart.

    Raises:
        DataError: the data are missing, torn or of another form.
        UsageError: there is no such data set, or the template asks for rationales that it does not have.
    """
    if config.data_path is not None:
        return _show_instruction_data(config)
    dataset = load_dataset(config.dataset_key, config.data_dir)
    rationales = sum(sample.rationale is not None for sample in dataset.samples)
    usual = CLASSIFY if dataset.samples[0].texts else "ft_cot_token" if rationales else "ft_token"
    template = config.template or usual
    few_shot = few_shot_prompts(dataset, config.data_dir) if template == "fs_cot" else {}
    examples = (_example(sample, template, config, few_shot) for sample in dataset.samples[: config.limit])
    return DatasetExamples(
        dataset.key, _form(dataset, rationales), len(dataset.samples), template, tuple(examples)
    )


def import_data(config: DataImportConfig) -> ImportResult:
    """A file, folder, archive or hub's data set becomes one of the data folder.

    Raises:
        UsageError: no source is named, or its name cannot be a key.
        DataError: the source is missing, torn or of another form, or another file is in the way.
        ArtifactError: the data folder cannot be written to.
    """
    if config.source is None:
        raise UsageError(
            "no source is named",
            where="data import",
            remedy="give a JSONL, JSON, CSV, Parquet or pickle file, a folder, or an archive",
        )
    running = start("data import", to_plain(config))
    report = import_dataset(
        config.source,
        config.data_dir,
        config.dataset_key,
        cast(ImportKind, config.kind),
        Columns(config.question_field, config.answer_field, config.rationale_field),
        saved_dir=config.saved_dir,
        overwrite=config.overwrite,
    )
    source = Path(config.source)
    inputs = {config.source: sha256_file(source)} if source.is_file() else {}
    _keep_manifest(running, config.data_dir, config.dataset_key or source.name, report.written, inputs)
    return ImportResult(**asdict(report), seconds=running.seconds)


def fetch_data(config: DataFetchConfig) -> FetchResult:
    """A published data set is downloaded into the data folder.

    Raises:
        UsageError: none is named, or it is no published one.
        DataError: it cannot be reached or is not as published, or another file is in the way.
        ArtifactError: the data folder cannot be written to.
    """
    key = config.dataset_key
    if key is None:
        known = [*SOURCES, *(f"glue/{task}" for task in GLUE)]
        raise UsageError(
            "no data set is named", where="data fetch", remedy=f"choose one of {', '.join(known)}"
        )
    running = start("data fetch", to_plain(config))
    if task := glue_task_of(key):
        report = fetch_glue(task, config.data_dir, overwrite=config.overwrite)
    else:
        report = fetch_dataset(key, config.data_dir, overwrite=config.overwrite)
    files = sorted(report.path.glob("*.jsonl")) if report.path.is_dir() else [report.path]
    _keep_manifest(running, config.data_dir, report.key, files if report.written else [], {})
    return FetchResult(**asdict(report), seconds=running.seconds)


def generate_data(config: DataGenerateConfig) -> GenerateResult:
    """A bundled task, at any size and from any seed, becomes a data set of the data folder.

    Raises:
        UsageError: there is no such task, or the name cannot be a key.
        DataError: the task has fewer different questions, or another file is in the way.
        ArtifactError: the data folder cannot be written to.
    """
    running = start("data generate", to_plain(config))
    report = generate_bundled(
        config.dataset_key,
        config.num_samples,
        config.seed,
        config.data_dir,
        config.name,
        overwrite=config.overwrite,
    )
    _keep_manifest(running, config.data_dir, report.key, [report.path] if report.written else [], {})
    return GenerateResult(**asdict(report), seconds=running.seconds)


def _readable_folder(data_dir: Path) -> Path | None:
    """The folder; None where it is only the default one and is not there."""
    if data_dir == DEFAULT_DATA_DIR and not data_dir.exists():
        return None
    if not data_dir.is_dir():
        raise DataError(
            "is no folder" if data_dir.exists() else "there is no such data folder",
            where=data_dir,
            remedy="name its folder with --data-dir or FTCOT_DATA_DIR",
        )
    folders = [data_dir, *(path for path in (data_dir / "dataset", data_dir / "split") if path.exists())]
    for folder in folders:  # glob passes silently over folders that it may not read
        if not os.access(folder, os.R_OK | os.X_OK):
            raise DataError("cannot be read", where=folder, remedy="see to its permissions")
    if not (data_dir / "dataset").is_dir() and not glue_keys(data_dir):
        say(f"{data_dir} holds no folder dataset/: only the bundled data sets are listed")
    return data_dir


def _show_instruction_data(config: DataShowConfig) -> DatasetExamples:
    data = read_instruction_data(cast(str, config.data_path), config.task_field)
    examples = []
    for example in data.examples[: config.limit]:
        segments = tuple(conversation_segments(example.messages, config.model_type, None))
        examples.append(_from_segments(example.sample_index, example.task, None, segments))
    return DatasetExamples(
        dataset=Path(cast(str, config.data_path)).name,
        format=f"{data.format} ({len(data.tasks)} tasks, {len(data.left_out)} rows left out)",
        samples=len(data.examples),
        template="conversation",
        examples=tuple(examples),
    )


def _example(
    sample: Sample, template: str, config: DataShowConfig, few_shot: Mapping[str, str]
) -> DatasetExample:
    segments: tuple[Segment, ...]
    if is_finetune(template):
        segments = training_segments(
            template, config.model_type, sample.question, sample.rationale, sample.answer
        )
    else:
        text = prompt_text(template, sample.question, config.model_type, few_shot.get(sample.task))
        segments = (Segment(text, labelled=False),)
    return _from_segments(sample.sample_index, sample.task, sample.answer, segments)


def _from_segments(
    sample_index: int, task: str, answer: str | None, segments: tuple[Segment, ...]
) -> DatasetExample:
    first = next((place for place, segment in enumerate(segments) if segment.labelled), len(segments))
    return DatasetExample(
        sample_index,
        task,
        answer,
        prompt="".join(segment.text for segment in segments[:first]),
        label="".join(segment.text for segment in segments if segment.labelled),
        segments=segments,
    )


def _form(dataset: Dataset, rationales: int) -> str:
    kinds = dict.fromkeys(
        answer_format.kind + (f" of {answer_format.choices}" if answer_format.choices else "")
        for answer_format in dataset.answer_formats.values()
    )
    return f"questions, {rationales} with rationales, answers: {' or '.join(kinds)}"


def _keep_manifest(
    running: RunningCommand, data_dir: Path, name: str, written: Iterable[Path], inputs: Mapping[str, str]
) -> None:
    """Write the manifest into a folder of its own: in the others, every file is taken for data."""
    outputs = {
        path.relative_to(data_dir).as_posix() if path.is_relative_to(data_dir) else str(path): sha256_file(
            path
        )
        for path in written
    }
    if outputs:
        file = f"{running.command.replace(' ', '_')}_{re.sub(r'[^A-Za-z0-9._-]', '-', name)}.json"
        write_manifest(data_dir / "manifests" / file, running.manifest(inputs, outputs))
