"""Options of every command that may ask a server, or a model on this machine in its stead."""

from pathlib import Path

from finetune_cot.config import shared
from finetune_cot.config.options import command_config


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
