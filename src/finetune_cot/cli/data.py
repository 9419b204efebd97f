"""``ftcot data``: list, show, import, fetch and generate data sets."""

from functools import partial
from typing import TYPE_CHECKING

import typer

from finetune_cot.cli.command import add_command
from finetune_cot.cli.output import show_fields, show_table
from finetune_cot.config.data import (
    DataFetchConfig,
    DataGenerateConfig,
    DataImportConfig,
    DataListConfig,
    DataShowConfig,
)

if TYPE_CHECKING:
    from finetune_cot.pipeline import data as pipeline

_EXAMPLES = {
    "list": ("", "--data-dir my_data"),
    "show": ("bundled_coin_flip", "gsm8k --template fs_cot --limit 1", "--data-path my_rows.jsonl"),
    "import": (
        "my_questions.csv --question-field problem --answer-field solution",
        "archive.zip --kind reasoning-teacher",
    ),
    "fetch": ("gsm8k", "commonsense_qa --data-dir my_data"),
    "generate": ("bundled_coin_flip --num-samples 5000 --seed 1",),
}


def add_to(app: typer.Typer) -> None:
    """Add the group of commands to the app."""
    group = typer.Typer(help="List, show, import, fetch and generate data sets.", rich_markup_mode=None)
    add = partial(add_command, group)
    add("list", DataListConfig, _list, _show_list, "data list", examples=_EXAMPLES["list"])
    add("show", DataShowConfig, _show, _show_samples, "data show", examples=_EXAMPLES["show"])
    add("import", DataImportConfig, _import, _show_import, "data import", examples=_EXAMPLES["import"])
    add("fetch", DataFetchConfig, _fetch, _show_made, "data fetch", examples=_EXAMPLES["fetch"])
    drawn = _EXAMPLES["generate"]
    add("generate", DataGenerateConfig, _generate, _show_made, "data generate", examples=drawn)
    app.add_typer(group, name="data")


def _list(config: DataListConfig) -> "pipeline.DatasetList":
    from finetune_cot.pipeline.data import list_data

    return list_data(config)


def _show(config: DataShowConfig) -> "pipeline.DatasetExamples":
    from finetune_cot.pipeline.data import show_data

    return show_data(config)


def _import(config: DataImportConfig) -> "pipeline.ImportResult":
    from finetune_cot.pipeline.data import import_data

    return import_data(config)


def _fetch(config: DataFetchConfig) -> "pipeline.FetchResult":
    from finetune_cot.pipeline.data import fetch_data

    return fetch_data(config)


def _generate(config: DataGenerateConfig) -> "pipeline.GenerateResult":
    from finetune_cot.pipeline.data import generate_data

    return generate_data(config)


def _show_list(result: "pipeline.DatasetList") -> None:
    columns = ["data set", "samples", "train", "test", "tasks", "source"]
    rows = [
        [item.key, item.samples, item.train, item.test, item.tasks, item.source] for item in result.datasets
    ]
    show_table(columns, rows)
    # Not among the rows, which programs may read.
    typer.echo("next: ftcot data show KEY", err=True)


def _show_made(result: "pipeline.FetchResult | pipeline.GenerateResult") -> None:
    show_fields(result)
    typer.echo(f"next: ftcot data show {result.key}")


def _show_import(result: "pipeline.ImportResult") -> None:
    show_fields(result)
    files = [*result.written, *result.unchanged]
    looked_at = "list" if len(files) > 1 else f"show --data-path {files[0]}"
    if len(files) == 1 and files[0].parent.name == "dataset":
        looked_at = f"show {files[0].stem}"
    typer.echo(f"next: ftcot data {looked_at}")


def _show_samples(result: "pipeline.DatasetExamples") -> None:
    typer.echo(f"{result.dataset}: {result.format}, {result.samples} samples, template {result.template}")
    for example in result.examples:
        answer = f", answer {example.answer}" if example.answer is not None else ""
        typer.echo(f"\nsample {example.sample_index}, task {example.task}{answer}")
        for segment in example.segments:
            if segment.labelled:
                typer.secho(f"[[{segment.text}]]", bold=True, nl=False)
            else:
                typer.secho(segment.text, dim=True, nl=False)
        typer.echo()
    known = result.examples[0].answer is not None
    data = f"--dataset-key {result.dataset}" if known else "with the same --data-path"
    typer.echo(f"\nnext: ftcot train {data}")
