"""Options of ``ftcot build-finetune-data``."""

from pathlib import Path

from finetune_cot.config import shared
from finetune_cot.config.checks import positive
from finetune_cot.config.options import command_config, option


@command_config
class BuildFinetuneDataConfig:
    """The teacher's right and complete rationales become training data."""

    model_key: str = shared.model_key()
    dataset_key: str = shared.dataset_key()
    preset_key: str | None = option(
        None, "What to train on: ft_cot, ft_cot_t70_<k>aug, or ft (answers only); overrides --completion-key."
    )
    completion_key: str = option("zs_cot", "Which of the teacher's completions to use.")
    num_completions: int | None = option(
        None, "The first so many completions of each question.", check=positive
    )
    finetune_key: str | None = shared.finetune_key(
        "Name of the training data; by default <preset>_<dataset>."
    )
    platform: tuple[str, ...] = option(
        ("custom", "openai", "openai-chat"),
        "Forms to write: for `train`, OpenAI's prompt/completion lines, OpenAI's chat messages.",
        choices=("custom", "openai", "openai-chat"),
    )
    template: str = option(
        "token", "How question, rationale and answer are joined for OpenAI.", choices=("token", "natural")
    )
    split: str = shared.part("train")
    split_key: str = shared.split_key()
    only_correct: bool = option(True, "Leave out rationales that reach a wrong answer.")
    only_complete: bool = option(True, "Leave out rationales that were cut off.")
    deduplicate: bool = option(True, "Keep one of several equal rationales of a question.")
    checker: str = shared.checker()
    overwrite: bool = shared.overwrite("training data")
    saved_dir: Path = shared.saved_dir()
    data_dir: Path = shared.data_dir()
    dry_run: bool = shared.dry_run()
