"""Options of ``ftcot demo``."""

from pathlib import Path

from finetune_cot.config import shared
from finetune_cot.config.checks import positive
from finetune_cot.config.options import command_config, option


@command_config
class DemoConfig:
    """The whole road, from a question to a measured student, in minutes."""

    model_key: str = shared.model_key()
    questions: int = option(
        120,
        "Held-out questions that base and student are measured on, of all tasks together.",
        check=positive,
    )
    seed: int = shared.seed()
    saved_dir: Path = option(Path("saved/demo"), "Folder of everything that is written.")
