"""Options of ``ftcot evaluate``."""

from finetune_cot.config import shared
from finetune_cot.config.asking import LocalModelOptions, QuestionOptions, RequestOptions
from finetune_cot.config.checks import positive
from finetune_cot.config.options import command_config, option


@command_config
class EvaluateConfig(LocalModelOptions, RequestOptions, QuestionOptions):
    """Completions are checked; those that are missing are generated first."""

    completion_key: str | None = option(
        None,
        "Kind of prompt: zs, zs_cot, fs_cot, or ft_... or classify of a fine-tuned model, whose own is the"
        " default.",
    )
    finetune_key: str | None = shared.finetune_key("Training data of the student.")
    train_key: str | None = option(
        None,
        "Way of training of the student; by default the only one there is, else lora; of a server's student"
        " openai.",
    )
    run: int = shared.run()
    epoch: int | None = option(None, "The student after so many epochs; by default the last.", check=positive)
    num_completions: int = option(1, "Completions of each question.", check=positive)
    split: str = shared.part("test")
    checker: str = shared.checker()
    generate: bool = option(
        True, "Generate completions that are missing; --no-generate scores only what is there."
    )
    teacher: str = option(
        "local", "Who writes missing completions: a local model or a server.", choices=("local", "openai")
    )
    max_reasoning_tokens: int | None = shared.max_reasoning_tokens(None)
    max_answer_tokens: int | None = shared.max_answer_tokens(None)
    overwrite: bool = shared.overwrite("a completion file")
    dry_run: bool = shared.dry_run()
