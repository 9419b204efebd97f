"""Options of ``ftcot report``."""

from pathlib import Path

from finetune_cot.config import shared
from finetune_cot.config.checks import not_negative
from finetune_cot.config.options import command_config, option


@command_config
class ReportConfig:
    """Tables and figures of everything that is saved."""

    name: str = option("report", "Name of the folder under saved/reports.")
    dataset_key: str | None = shared.dataset_key(None, "Only completions of this data set.")
    results: str | None = option(
        None, "Only the estimates of this folder under saved/results.", values="estimates"
    )
    split: str = shared.part("test")
    split_key: str = shared.split_key()
    checker: str = shared.checker()
    figure_format: tuple[str, ...] = option(
        ("png", "svg"), "Forms of the figures, or none.", choices=("png", "svg", "none")
    )
    page: bool = option(True, "Also one HTML page with charts and completions, which needs no network.")
    open: bool = option(False, "Open the page in the browser.")
    serve: bool = option(
        False, "Show the page on this machine alone, and make it anew while runs go on; Ctrl-C ends it."
    )
    port: int = option(0, "Port of --serve; 0 for any that is free.", check=not_negative)
    saved_dir: Path = shared.saved_dir()
    data_dir: Path = shared.data_dir()
