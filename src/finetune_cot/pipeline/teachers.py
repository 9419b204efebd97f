"""The teacher that the options name, whether it can be had, and what asking it comes to."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_cot.errors import UsageError
from finetune_cot.models.registry import check_available
from finetune_cot.pipeline.costs import prices_of
from finetune_cot.pipeline.devices import rank_device
from finetune_cot.pipeline.jobs import Job, Options
from finetune_cot.pipeline.progress import say
from finetune_cot.pipeline.ranks import Ranks
from finetune_cot.pipeline.subject import Subject, load_subject, require_weights
from finetune_cot.pipeline.train_checks import check_precision
from finetune_cot.prompts.templates import is_two_step, prompt_text
from finetune_cot.tasks.sample import Sample
from finetune_cot.teachers.protocol import Teacher
from finetune_cot.teachers.rationale import RationaleTeacher
from finetune_cot.teachers.usage import TokenUsage

if TYPE_CHECKING:
    from finetune_cot.teachers.asking import Server
    from finetune_cot.teachers.prices import Prices

_CHARACTERS_PER_TOKEN = 4
"""Of English text, about; for estimates before any model is loaded."""


@dataclass(frozen=True)
class Plan:
    """What a dry run would ask for."""

    missing: int
    """Completions that would be asked for."""
    requests: int
    """To a server, at most: one for each step of each of them."""
    prompt_tokens: int
    """About, at four characters a token, after rationales of the greatest length."""
    completion_tokens: int
    """At most."""
    cost: float | None
    """About, in US dollars, at most; None where the prices are not known."""
    first_prompt: str
    writes: Path
    cost_left: float | None = None
    """US dollars that are left of ``--max-cost``, after earlier runs and batches; None for any amount."""


def asks_in_messages(options: Options) -> bool:
    """Whether the prompts are chat messages."""
    return options.endpoint == "chat" if options.teacher == "openai" else options.chat


def teacher_maker(options: Options, subject: Subject, ranks: Ranks) -> Callable[[float | None], Teacher]:
    """A function that gives the teacher which the options name; a local model is loaded by its call.

    Its argument is how many US dollars may be spent; None for any amount.

    Args:
        options: Which teacher, on which device.
        subject: The model.
        ranks: The processes that share a local model's batches.

    Raises:
        UsageError: there are several processes, and a teacher that one process asks.
    """
    if options.teacher != "local" and ranks.world > 1:
        raise UsageError(
            "answers one process", where=f"--teacher {options.teacher}", remedy="run it without torchrun"
        )

    def make(dollars: float | None) -> Teacher:
        if options.teacher == "rationale":
            return RationaleTeacher()
        if options.teacher == "openai":
            return _server_teacher(options, dollars)
        from finetune_cot.teachers.local import LocalTeacher

        loaded = load_subject(subject, options.precision, local_device(options, ranks))
        return LocalTeacher(loaded, options.inference_batch_size, ranks.sharer("batches"))

    return make


def check_teacher(options: Options, subject: Subject) -> None:
    """Find out in a moment whether the teacher can be had.

    Raises:
        UsageError: the API key is missing, or this machine cannot compute so.
        ModelError: the model is not there.
        ArtifactError: the student is not there.
    """
    if options.teacher != "local":
        teacher_maker(options, subject, Ranks())(None)
        return
    local_device(options, Ranks())
    if subject.folder is None:
        require_weights(subject)
        check_available(subject.model_key)


def estimate(job: Job, samples: list[Sample], prices: "Prices | None", discount: float = 1.0) -> Plan:
    """What the requests for these samples, one for each completion that is missing, come to.

    Args:
        job: How they are asked for.
        samples: A sample for each completion that is missing.
        prices: What tokens cost, where it is known.
        discount: What the cost is multiplied with.
    """
    recipe = job.recipe
    prompts = [
        prompt_text(recipe.template, sample.question, few_shot=recipe.few_shot.get(sample.task))
        for sample in samples
    ]
    usage = TokenUsage(
        sum(map(len, prompts)) // _CHARACTERS_PER_TOKEN, len(samples) * recipe.max_reasoning_tokens
    )
    steps = 2 if is_two_step(recipe.template) else 1
    if steps == 2:
        usage += TokenUsage(usage.prompt + usage.completion, len(samples) * recipe.max_answer_tokens)
    return Plan(
        missing=len(samples),
        requests=len(samples) * steps,
        prompt_tokens=usage.prompt,
        completion_tokens=usage.completion,
        cost=prices.cost(usage, discount) if prices else None,
        first_prompt=prompts[0] if prompts else "",
        writes=job.path,
    )


def local_device(options: Options, ranks: Ranks) -> str:
    """The device of this process, which can compute in the precision that is wanted.

    Raises:
        UsageError: this machine has no such device, or it cannot.
    """
    from finetune_cot.models.loading import pick_device

    own = str(pick_device(options.device)) if ranks.world == 1 else None
    device = own or rank_device((options.device,), ranks.world, ranks.local_rank)
    check_precision(options.precision, device)
    return device


def server_of(options: Options) -> "Server":
    """The server that the options name, and how it is asked.

    Raises:
        UsageError: its key is not there, or is not safe where it is.
    """
    from finetune_cot.teachers.access import server_access
    from finetune_cot.teachers.asking import Server

    return Server(
        model=options.model_key,
        access=server_access(options.base_url, options.api_key_env, options.api_key_file),
        endpoint="chat" if options.endpoint == "chat" else "completions",
        concurrency=options.concurrency,
        timeout=options.timeout,
        max_retries=options.max_retries,
        max_backoff=options.max_backoff,
        requests_per_minute=options.max_requests_per_minute,
        tokens_per_minute=options.max_tokens_per_minute,
    )


def _server_teacher(options: Options, dollars: float | None) -> Teacher:
    from finetune_cot.teachers.server import OpenAITeacher

    prices = None if dollars is None else prices_of(options)
    return OpenAITeacher(server_of(options), prices, dollars, say)
