"""``ftcot build-finetune-data``: right and complete rationales become training data."""

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from finetune_cot.artifacts.completions import journal_path
from finetune_cot.artifacts.files import folder_of, sha256_file
from finetune_cot.artifacts.finetune_data import (
    FinetuneRow,
    refuse_other_json,
    refuse_other_lines,
    write_finetune_json,
    write_finetune_lines,
)
from finetune_cot.artifacts.ids import PLATFORM_SUFFIXES, FinetuneDataId
from finetune_cot.artifacts.keys import check_key, model_slug
from finetune_cot.artifacts.lock import artifact_lock
from finetune_cot.artifacts.manifest import Manifest, sidecar, start
from finetune_cot.config.build_finetune_data import BuildFinetuneDataConfig
from finetune_cot.config.options import to_plain
from finetune_cot.errors import ArtifactError, DataError, UsageError
from finetune_cot.pipeline.finetune_rows import Choice, LeftOut, Rows, answer_rows, rationale_rows
from finetune_cot.pipeline.progress import say
from finetune_cot.prompts.presets import preset
from finetune_cot.prompts.templates import STOP_PHRASE, training_segments
from finetune_cot.tasks.reasoning import load_dataset
from finetune_cot.tasks.sample import Dataset
from finetune_cot.tasks.splits import part_indices


@dataclass(frozen=True)
class BuildFinetuneDataResult:
    """What became training data, and why the rest did not."""

    path: Path
    """The first of the forms written; ours, unless only OpenAI's were asked for."""
    paths: Mapping[str, Path]
    """Every form, by platform."""
    finetune_key: str
    samples: int
    """Training samples."""
    questions: int
    """Different questions among them."""
    considered: int
    """Completions that were looked at; for answers only, samples of the data set."""
    outside_split: int
    beyond_num_completions: int
    ungradable: int
    """The data set's own answer cannot be parsed, so that nothing can be said of the completion."""
    rejected_incorrect: int
    rejected_incomplete: int
    without_rationale: int
    """The text before the answer is empty."""
    duplicates: int
    unknown_completeness: int
    """Training samples of which it was not recorded whether they were cut off; they count as complete."""
    other_wording: int
    """Training samples that were asked in other words than the data set's; their own words are used."""
    questions_without_completion: int
    """Questions of the part that the teacher has not answered."""
    written: tuple[Path, ...]
    """Files that are new; those that already held just this are not written again."""
    seconds: float


@dataclass(frozen=True)
class _Form:
    platform: str
    path: Path
    lines: tuple[dict[str, Any], ...] | None
    """Lines of OpenAI's forms; None for ours."""


def build_finetune_data(config: BuildFinetuneDataConfig) -> BuildFinetuneDataResult:
    """Filter completions, and write what is left in every form asked for.

    Raises:
        UsageError: the preset or a key is unknown or cannot be one.
        DataError: the data set or split is missing or torn, or nothing is left to train on.
        ArtifactError: the completions are missing or torn, or other training data of that name are there.
    """
    running = start("build-finetune-data", to_plain(config))
    choice = _choice(config)
    key = _finetune_key(config, choice)
    dataset = load_dataset(config.dataset_key, config.data_dir)
    indices = part_indices(dataset, config.data_dir, config.split, config.split_key)
    if choice.completion_path is None:
        rows = answer_rows(dataset, indices)
    else:
        rows = rationale_rows(choice, dataset, indices)
    if not rows.kept:
        raise DataError(
            f"nothing is left to train on: {rows.considered} looked at, {_in_words(rows.left_out)}",
            where=choice.completion_path or dataset.source,
            remedy="see --split, --checker, --no-only-correct and --no-only-complete, or teach more",
        )
    _tell(rows)
    metadata = _metadata(config, choice, rows, key)
    forms = [_form(platform, key, rows.kept, config) for platform in _platforms(config)]
    if not config.overwrite:
        _refuse_other(forms, rows.kept, metadata)
    written: tuple[Path, ...] = ()
    if not config.dry_run:
        inputs = {str(path): sha256_file(path) for path in _inputs(choice, dataset)}
        with artifact_lock(forms[0].path, "build-finetune-data"):
            written = _write(forms, rows.kept, metadata, running.manifest(inputs), config.overwrite)
    return BuildFinetuneDataResult(
        path=forms[0].path,
        paths={form.platform: form.path for form in forms},
        finetune_key=key,
        samples=len(rows.kept),
        questions=rows.questions,
        considered=rows.considered,
        unknown_completeness=rows.unknown_completeness,
        other_wording=rows.other_wording,
        questions_without_completion=rows.questions_without_completion,
        written=written,
        seconds=running.seconds,
        **asdict(rows.left_out),
    )


def _choice(config: BuildFinetuneDataConfig) -> Choice:
    """Which completions are wanted; the preset overrides the other options."""
    completion_key, num_completions = config.completion_key, config.num_completions
    if config.preset_key is not None:
        chosen = preset(config.preset_key)
        if chosen.completion_key is None:
            return Choice()
        completion_key = chosen.completion_key
        if num_completions not in (None, chosen.num_completions):
            raise UsageError(
                f"{config.preset_key} means {chosen.num_completions} completions, not {num_completions}",
                where="--num-completions",
                remedy="leave one of --preset-key and --num-completions out",
            )
        num_completions = chosen.num_completions
    return Choice.of(config, completion_key, num_completions)


def _finetune_key(config: BuildFinetuneDataConfig, choice: Choice) -> str:
    if config.finetune_key is not None:
        if "+" in config.finetune_key:
            raise UsageError(
                f"{config.finetune_key!r} holds a '+', which joins several keys", where="--finetune-key"
            )
        return check_key(config.finetune_key, "finetune key")
    count = "" if choice.num_completions is None else f"_{choice.num_completions}"
    what = config.preset_key or f"{choice.completion_key}{count}"
    return check_key(f"{what}_{config.dataset_key}", "finetune key")


def _platforms(config: BuildFinetuneDataConfig) -> list[str]:
    """Ours first, whatever the order on the command line."""
    chosen = list(dict.fromkeys(config.platform))
    if not chosen:
        raise UsageError("no form is named", where="--platform", remedy=f"use {', '.join(PLATFORM_SUFFIXES)}")
    return sorted(chosen, key=list(PLATFORM_SUFFIXES).index)


def _form(platform: str, key: str, rows: Sequence[FinetuneRow], config: BuildFinetuneDataConfig) -> _Form:
    path = FinetuneDataId(platform, key).path(config.saved_dir)
    if platform == "custom":
        return _Form(platform, path, None)
    line = _chat_line if platform == "openai-chat" else _completion_line
    return _Form(platform, path, tuple(line(row, config.template) for row in rows))


def _completion_line(row: FinetuneRow, template: str) -> dict[str, Any]:
    prompt, label = _prompt_and_label(row, template)
    return {"prompt": prompt, "completion": label + STOP_PHRASE}


def _chat_line(row: FinetuneRow, template: str) -> dict[str, Any]:
    """The turns themselves mark where question and answer begin and end, so that no marks are needed."""
    _, label = _prompt_and_label(row, template)
    return {
        "messages": [
            {"role": "user", "content": row.question},
            {"role": "assistant", "content": label.strip()},
        ]
    }


def _prompt_and_label(row: FinetuneRow, template: str) -> tuple[str, str]:
    name = _template(row.reasoning is not None, template)
    prompt, label = training_segments(name, "decoder", row.question, row.reasoning, row.answer)
    return prompt.text, label.text


def _template(with_rationale: bool, template: str) -> str:
    return f"ft_cot_{template}" if with_rationale else f"ft_{template}"


def _metadata(config: BuildFinetuneDataConfig, choice: Choice, rows: Rows, key: str) -> dict[str, Any]:
    """What `train` and `report` need to know of the data; the counts do not tell two files apart."""
    with_rationales = rows.kept[0].reasoning is not None
    return {
        "finetune_key": key,
        "dataset_key": config.dataset_key,
        "teacher": None if choice.completion_path is None else model_slug(config.model_key),
        "preset_key": config.preset_key,
        "completion_key": choice.completion_key,
        "rationales_per_question": rows.rationales_per_question if with_rationales else None,
        "template": _template(with_rationales, config.template),
        "split": config.split,
        "split_key": config.split_key,
        "counts": {"samples": len(rows.kept), "questions": rows.questions, **asdict(rows.left_out)},
    }


def _refuse_other(forms: Sequence[_Form], rows: Sequence[FinetuneRow], metadata: Mapping[str, Any]) -> None:
    """Look at every form before the first is written."""
    for form in forms:
        if form.lines is None:
            refuse_other_json(form.path, rows, metadata)
        else:
            refuse_other_lines(form.path, form.lines)


def _write(
    forms: Sequence[_Form],
    rows: Sequence[FinetuneRow],
    metadata: Mapping[str, Any],
    manifest: Manifest,
    overwrite: bool,
) -> tuple[Path, ...]:
    """Write every form, or none: where one fails, those that are new are gone again."""
    written: list[Path] = []
    new = [path for form in forms for path in (form.path, sidecar(form.path)) if not path.exists()]
    with contextlib.ExitStack() as stack:
        for form in forms:
            stack.enter_context(folder_of(form.path))
        try:
            for form in forms:
                if form.lines is None:
                    wrote = write_finetune_json(form.path, rows, metadata, manifest, overwrite)
                else:
                    wrote = write_finetune_lines(form.path, form.lines, manifest, overwrite)
                written += [form.path] * wrote
        except ArtifactError:
            for path in new:
                path.unlink(missing_ok=True)
            raise
    return tuple(written)


def _inputs(choice: Choice, dataset: Dataset) -> list[Path]:
    paths = [Path(dataset.source)]
    if choice.completion_path is not None:
        paths += [choice.completion_path, journal_path(choice.completion_path)]
    return [path for path in paths if path.is_file()]


def _tell(rows: Rows) -> None:
    if rows.other_wording:
        say(
            f"{rows.other_wording} samples: the teacher was asked in other words than the data set's;"
            " question and answer are those of the completions"
        )
    if rows.questions_without_completion:
        say(f"{rows.questions_without_completion} questions of this part have no completion yet")


def _in_words(left_out: LeftOut) -> str:
    counts = Counter({name.replace("_", " "): count for name, count in asdict(left_out).items() if count})
    return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "none left out"
