"""Options that several commands have in common, each declared once."""

from pathlib import Path
from typing import Any

from finetune_cot.config.checks import fraction, not_negative, positive
from finetune_cot.config.options import option

DEFAULT_MODEL = "SmolLM2-135M-Instruct"
DEFAULT_COT_DATASET = "bundled_one_step_word_problem"
PRECISIONS = (
    *("32-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "64-true"),
    *("transformer-engine", "32", "16", "bf16"),
)
REASONING_TOKENS, ANSWER_TOKENS = 128, 32
"""New tokens of each step, where neither an option nor a file says otherwise."""
CHECKERS = ("published", "robust", "math-verify")


def saved_dir() -> Any:
    """``--saved-dir``."""
    return option(Path("saved"), "Folder of everything that is written.", environment="FTCOT_SAVED_DIR")


def data_dir() -> Any:
    """``--data-dir``."""
    return option(
        Path("data"),
        "Folder with dataset/, split/ and few_shot_cot_prompts.json; bundled data sets need none.",
        environment="FTCOT_DATA_DIR",
    )


def model_key() -> Any:
    """``--model-key``."""
    return option(
        DEFAULT_MODEL,
        "Model: a Hugging Face name, an alias, a folder, or a server's model name.",
        values="model_keys",
    )


def dataset_key(
    default: str | None = DEFAULT_COT_DATASET,
    help: str = "Data set; see `ftcot data list`.",
    argument: bool = False,
) -> Any:
    """``--dataset-key``, or the argument in its stead."""
    return option(default, help, values="dataset_keys", argument=argument)


def split_key() -> Any:
    """``--split-key``."""
    return option("default", "How the data set is divided into train and test: default or template.")


def part(default: str) -> Any:
    """``--split``: which part of the data set is worked on."""
    return option(default, "Part of the data set.", choices=("train", "test", "all"))


def task_field() -> Any:
    """``--task-field``."""
    return option("skill", "Column of instruction data that names the task of a sample.")


def seed() -> Any:
    """``--seed``."""
    return option(0, "Seed of everything random.", check=not_negative)


def limit() -> Any:
    """``--limit``."""
    return option(None, "Only the first so many samples.", check=positive)


def load_model_dir() -> Any:
    """``--load-model-dir``."""
    return option(
        None,
        "Fine-tuned model: a checkpoint, an adapter, or an exported model's folder.",
        values="saved_models",
    )


def finetune_key(help: str) -> Any:
    """``--finetune-key``."""
    return option(None, help, values="finetune_keys")


def run() -> Any:
    """``--run``."""
    return option(0, "Number of the run, from 0; each run has a seed of its own.", check=not_negative)


def precision() -> Any:
    """``--precision``."""
    return option("32-true", "Number format, by Lightning's names.", choices=PRECISIONS)


def device() -> Any:
    """``--device``."""
    return option("auto", "Where a local model runs: auto, cpu, cuda, cuda:1, mps.")


def inference_batch_size() -> Any:
    """``--inference-batch-size``."""
    return option(32, "Prompts that a local model answers at once.", check=positive)


def checker() -> Any:
    """``--checker``."""
    return option("published", "How answers are found and compared.", choices=CHECKERS)


def downsample() -> Any:
    """``--downsample``."""
    return option(1.0, "Share of the training samples of each task to use.", check=fraction)


def overwrite(what: str) -> Any:
    """``--overwrite``."""
    return option(False, f"Replace {what} where something else would be written.")


def dry_run() -> Any:
    """``--dry-run``."""
    return option(False, "Check everything and show the plan, without doing it.")


def temperature() -> Any:
    """``--temperature``."""
    return option(None, "Sampling temperature; by default that of the completion key.", check=not_negative)


def max_reasoning_tokens(default: int | None = REASONING_TOKENS) -> Any:
    """``--max-reasoning-tokens``; without a default, as many as in the completions that are there."""
    help = "New tokens of a rationale, or of a student's whole answer, at most" + _as_there(
        REASONING_TOKENS, default
    )
    return option(default, help, check=positive)


def max_answer_tokens(default: int | None = ANSWER_TOKENS) -> Any:
    """``--max-answer-tokens``; without a default, as many as in the completions that are there."""
    help = "New tokens of the answer after a rationale, at most" + _as_there(ANSWER_TOKENS, default)
    return option(default, help, check=positive)


def _as_there(otherwise: int, default: int | None) -> str:
    if default is not None:
        return "."
    return f"; by default as many as in the completions that are there, or {otherwise}."


def chat() -> Any:
    """``--chat``."""
    return option(False, "Ask in messages, by the model's chat template, rather than in plain text.")


def base_url() -> Any:
    """``--base-url``."""
    return option(None, "Address of a server with OpenAI's interface.", environment="OPENAI_BASE_URL")


def api_key_env() -> Any:
    """``--api-key-env``."""
    return option(
        None,
        "Environment variable that holds the server's key; by default OPENAI_API_KEY, which goes to OpenAI"
        " and to the server that OPENAI_BASE_URL names alone.",
    )


def api_key_file() -> Any:
    """``--api-key-file``."""
    return option(None, "File that holds the server's key, and that only you can read.")


def endpoint() -> Any:
    """``--endpoint``."""
    return option("chat", "Which of the server's endpoints is used.", choices=("chat", "completions"))


def concurrency() -> Any:
    """``--concurrency``."""
    return option(8, "Requests to a server at once.", check=positive)


def max_requests_per_minute() -> Any:
    """``--max-requests-per-minute``."""
    return option(
        None, "Requests to a server in a minute; what it tells of its own limits is kept too.", check=positive
    )


def max_tokens_per_minute() -> Any:
    """``--max-tokens-per-minute``."""
    return option(None, "Tokens in a minute, read and written, of all requests to a server.", check=positive)


def timeout() -> Any:
    """``--timeout``."""
    return option(
        120.0, "Seconds until a request without its whole answer is given up and tried again.", check=positive
    )


def max_retries() -> Any:
    """``--max-retries``."""
    return option(6, "How often a failed request is tried again.", check=not_negative)


def max_backoff() -> Any:
    """``--max-backoff``."""
    return option(
        20.0,
        "Seconds between two attempts, at most, where the server does not say how long to wait.",
        check=positive,
    )
