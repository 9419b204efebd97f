"""``ftcot report``."""

import contextlib
from typing import TYPE_CHECKING

import typer

from finetune_cot.cli.command import add_command
from finetune_cot.cli.output import show_table
from finetune_cot.config.report import ReportConfig
from finetune_cot.errors import UsageError

if TYPE_CHECKING:
    from finetune_cot.pipeline.report_result import ReportResult

_EXAMPLES = (
    "",
    "--open",
    "--serve --port 8080",
    "--dataset-key gsm8k --split all --figure-format none",
)


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, "report", ReportConfig, _run, _show, examples=_EXAMPLES)


def _run(config: ReportConfig) -> "ReportResult":
    from finetune_cot.pipeline.report import report

    if (config.open or config.serve) and not config.page:
        raise UsageError(
            "needs the page", where="--open" if config.open else "--serve", remedy="leave --no-page out"
        )
    result = report(config)
    if config.serve:
        _serve(config, result)
    elif config.open and result.page is not None:
        _open(result.page.resolve().as_uri())
    return result


def _serve(config: ReportConfig, result: "ReportResult") -> None:
    """Show the page until Ctrl-C."""
    import threading

    from finetune_cot.pipeline.report_server import ReportServer

    server = ReportServer(config, result.path)
    typer.echo(f"serving   {server.address} (Ctrl-C ends it)", err=True)
    if config.open:
        _open(server.address)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(threading.Event())


def _open(address: str) -> None:
    import webbrowser

    if not webbrowser.open(address):
        typer.echo(f"no browser was found; open {address}", err=True)


def _show(result: "ReportResult") -> None:
    rows = [
        (row.model, row.method, row.training, row.dataset, row.n, f"{row.accuracy:.1%} ± {row.error:.1%}")
        for row in result.accuracy
    ]
    if rows:
        show_table(("model", "method", "training", "dataset", "n", "accuracy"), rows)
    if result.comparisons:
        _show_agreement(result)
    typer.echo(f"report    {result.report_md}")
    if result.page is not None:
        typer.echo(f"page      {result.page}")
    typer.echo(f"tables    {len(result.tables)}")
    typer.echo(f"figures   {len(result.figures)}")
    if result.left_out:
        typer.echo(f"left out  {len(result.left_out)}, named in the report")
    typer.echo(f"next: {result.next_command or 'ftcot report --open'}")


def _show_agreement(result: "ReportResult") -> None:
    """Estimators beside the truth, one a line; correlations over all subsets and within the two kinds."""
    rows = []
    for item in result.comparisons:
        named = {item.estimator: item.agreement, **item.baselines}
        if item.noise_floor is not None:
            named["truth, another seed"] = item.noise_floor.agreement
        for name, found in named.items():
            correlations = (found.spearman, found.spearman_holding, found.spearman_not_holding, found.pearson)
            error = "" if found.relative_error_mean is None else f"{found.relative_error_mean:.1%}"
            numbers = ("" if value is None else f"{value:.2f}" for value in correlations)
            rows.append((item.name, name, item.subsets, *numbers, error))
    columns = ("estimates", "estimator", "subsets", "spearman", "holding", "not_holding", "pearson", "error")
    show_table(columns, rows)
    for item in result.comparisons:
        if item.speedup is not None:
            typer.echo(f"speedup   {item.speedup:.1f} x over fine-tuning on 100 subsets ({item.name})")
