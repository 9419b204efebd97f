"""Options of every command that asks a model on this machine, or a server."""

from pathlib import Path

from finetune_cot.config import shared
from finetune_cot.config.options import command_config


@command_config
class QuestionOptions:
    """Which model answers which questions."""

    model_key: str = shared.model_key()
    dataset_key: str = shared.dataset_key()
    split_key: str = shared.split_key()
    limit: int | None = shared.limit()
    temperature: float | None = shared.temperature()
    chat: bool = shared.chat()
    seed: int = shared.seed()
    saved_dir: Path = shared.saved_dir()
    data_dir: Path = shared.data_dir()


@command_config
class ServerOptions:
    """A server with OpenAI's interface."""

    base_url: str | None = shared.base_url()
    api_key_env: str | None = shared.api_key_env()
    api_key_file: Path | None = shared.api_key_file()
    timeout: float = shared.timeout()
    max_retries: int = shared.max_retries()


@command_config
class RequestOptions(ServerOptions):
    """What a server is asked, and how fast."""

    endpoint: str = shared.endpoint()
    concurrency: int = shared.concurrency()
    max_requests_per_minute: int | None = shared.max_requests_per_minute()
    max_tokens_per_minute: int | None = shared.max_tokens_per_minute()
    max_backoff: float = shared.max_backoff()


@command_config
class LocalModelOptions:
    """A model on this machine."""

    load_model_dir: Path | None = shared.load_model_dir()
    inference_batch_size: int = shared.inference_batch_size()
    precision: str = shared.precision()
    device: str = shared.device()
