"""Options about who does pieces of work that need nothing of each other."""

from finetune_cot.config.checks import positive
from finetune_cot.config.options import command_config, option


@command_config
class EngineOptions:
    """This machine, or a Ray cluster."""

    engine: str = option(
        "local",
        "Who trains several subsets or runs: this machine, or the workers of a Ray cluster.",
        choices=("local", "ray"),
    )
    ray_address: str | None = option(
        None,
        "Ray cluster, such as 10.0.0.1:6379, or local to start one here; by default $RAY_ADDRESS, a cluster"
        " that this machine is part of, or local.",
    )
    ray_workers: int | None = option(
        None, "Workers of the Ray cluster; by default one a GPU, or without GPUs one a core.", check=positive
    )
