"""``ftcot data``: list, show, import, fetch and generate data sets."""

from typing import TYPE_CHECKING

import typer

from finetune_cot.cli.command import add_command
from finetune_cot.cli.output import show_table
from finetune_cot.config.data import (
    DataFetchConfig,
    DataGenerateConfig,
    DataImportConfig,
    DataListConfig,
    DataShowConfig,
)

if TYPE_CHECKING:
    from finetune_cot.pipeline import data as pipeline


def add_to(app: typer.Typer) -> None:
    """Add the group of commands to the app."""
    group = typer.Typer(help="List, show, import, fetch and generate data sets.", rich_markup_mode=None)
    add_command(group, "list", DataListConfig, _list, _show_list, "data list")
    add_command(group, "show", DataShowConfig, _show, _show_samples, "data show")
    add_command(group, "import", DataImportConfig, _import, manifest_command="data import")
    add_command(group, "fetch", DataFetchConfig, _fetch, manifest_command="data fetch")
    add_command(group, "generate", DataGenerateConfig, _generate, manifest_command="data generate")
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
