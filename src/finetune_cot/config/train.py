"""Options of ``ftcot train``."""

from finetune_cot.config import shared
from finetune_cot.config.asking import ServerOptions
from finetune_cot.config.checks import not_negative, positive
from finetune_cot.config.engine import EngineOptions
from finetune_cot.config.options import command_config, option
from finetune_cot.config.subsets import TaskOptions
from finetune_cot.config.training import TrainingOptions

STRATEGIES = (
    *("auto", "ddp", "ddp_find_unused_parameters_true", "fsdp"),
    *("deepspeed_stage_1", "deepspeed_stage_2", "deepspeed_stage_3"),
)
"""How Lightning divides a training between devices."""


@command_config
class TrainConfig(ServerOptions, EngineOptions, TaskOptions, TrainingOptions):
    """A student is fine-tuned on rationales or on instruction data."""

    task_idxes: tuple[int, ...] | None = option(
        None, "Train on these tasks only, by their number in the sorted list.", check=not_negative
    )
    subset_num: int | None = option(
        None, "Which subset of --load-sample-task-dir, by its number from 0.", check=not_negative
    )
    groups: str | None = option(
        None,
        "Train an adapter on each group of tasks in a list, as `select --select-by affinity` writes it, and"
        " join them to an ensemble: a file, or a saved name.",
        values="saved_names",
    )
    boost: int = option(
        0,
        "With --groups, further adapters, each begun from that of the group whose loss is highest, on those"
        " of its samples that the ensemble knows least.",
        check=not_negative,
    )
    dev_tasks: str = option(
        "trained", "Tasks whose dev loss is measured: those trained on, or all.", choices=("trained", "all")
    )
    strategy: str = option(
        "auto",
        "How several devices train one model: ddp (auto), each with a whole copy; fsdp, each with a part;"
        " or by DeepSpeed, each with a part of the optimizer's state.",
        choices=STRATEGIES,
    )
    num_nodes: int | None = option(
        None,
        "Machines, each of which starts this command; by default as many as torchrun or srun tells.",
        check=positive,
    )
    runs: int = option(1, "Runs with different seeds, one after another.", check=positive)
    train_key: str | None = option(
        None,
        "Name of this way of training in the student's completions; by default that of the method, or openai"
        " of a platform's student.",
    )
    platform: str = option(
        "custom",
        "Where it is trained: here (custom), or by a server with OpenAI's fine-tuning interface, on prompts"
        " and completions (openai) or messages (openai-chat).",
        choices=("custom", "openai", "openai-chat"),
    )
    poll_seconds: float = option(10.0, "Seconds between two looks at a platform's job.", check=positive)
    keep_epochs: bool = option(False, "Keep the weights of every epoch, not only the best and the last.")
    checkpoint_every: int = option(
        100, "Optimizer steps between two checkpoints within an epoch.", check=positive
    )
    logger: tuple[str, ...] = option(
        (), "Logs beside the CSV file.", choices=("tensorboard", "trackio", "wandb")
    )
    write_results: bool = option(False, "Add dev losses to results.csv.")
    overwrite: bool = shared.overwrite("a checkpoint")
    dry_run: bool = shared.dry_run()
