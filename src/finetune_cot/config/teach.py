"""Options of ``ftcot teach``."""

from finetune_cot.config import shared
from finetune_cot.config.asking import LocalModelOptions, QuestionOptions, RequestOptions
from finetune_cot.config.checks import not_negative, positive
from finetune_cot.config.options import command_config, option


@command_config
class TeachConfig(LocalModelOptions, RequestOptions, QuestionOptions):
    """A teacher writes rationales and answers for the questions of a data set."""

    completion_key: str = option(
        "zs_cot", "Kind of prompt: zs, zs_cot, fs_cot, and with _t70 at the end, sampled at temperature 0.7."
    )
    teacher: str = option(
        "local",
        "Who answers: a local model, a server with OpenAI's interface, or the data set's own rationales.",
        choices=("local", "openai", "rationale"),
    )
    batch: str | None = option(
        None,
        "By the server's batch interface, in a day and at half the price: submit what is missing, see its"
        " status, collect what is back, or cancel what is under way.",
        choices=("submit", "status", "collect", "cancel"),
    )
    num_completions: int = option(
        1, "Completions of each question, up to 64 for diverse reasoning.", check=positive
    )
    split: str = shared.part("all")
    max_reasoning_tokens: int = shared.max_reasoning_tokens()
    max_answer_tokens: int = shared.max_answer_tokens()
    price_in: float | None = option(
        None,
        "US dollars for a million tokens read; by default what is generally known of the model and server.",
        check=not_negative,
    )
    price_out: float | None = option(
        None, "US dollars for a million tokens written; by default as with --price-in.", check=not_negative
    )
    max_cost: float | None = option(
        None,
        "US dollars that the completion file may cost, earlier runs and batches counted too; what there is is"
        " kept.",
        check=positive,
    )
    overwrite: bool = shared.overwrite("a completion file")
    dry_run: bool = shared.dry_run()
