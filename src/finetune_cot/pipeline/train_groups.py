"""``ftcot train --groups``: an adapter for each group of tasks, joined to an ensemble, and boosted.

Tasks that help each other share an adapter (EnsembleLoRA, Li et al., ACL 2025).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from finetune_cot.artifacts.subset_lists import Subset, find_subset_list, read_subsets
from finetune_cot.config.options import replace as changed
from finetune_cot.config.train import TrainConfig
from finetune_cot.config.training import LORA_METHODS
from finetune_cot.errors import UsageError
from finetune_cot.pipeline.ensemble import (
    EnsembleResult,
    MeasuredMembers,
    from_plain,
    join,
    measure_members,
    member_names,
)
from finetune_cot.pipeline.member_losses import member_losses
from finetune_cot.pipeline.progress import say
from finetune_cot.pipeline.ranks import Ranks
from finetune_cot.pipeline.train_data import Parts, TrainingData, divide
from finetune_cot.pipeline.train_plan import RunPlan, plan_run
from finetune_cot.pipeline.train_run import check_folder
from finetune_cot.pipeline.train_runs import train_runs
from finetune_cot.training.settings import Processes


def check_groups(config: TrainConfig, data: TrainingData) -> list[Subset]:
    """The groups that ``--groups`` names.

    Raises:
        UsageError: an option contradicts it, or a task is in several groups.
        DataError: the list is missing, empty or torn.
    """
    named = {
        "--task-idxes": config.task_idxes,
        "--load-sample-task-dir": config.load_sample_task_dir,
        "--load-model-dir": config.load_model_dir,
        "--write-results": config.write_results or None,
    }
    given = next((name for name, value in named.items() if value is not None), None)
    if given:
        raise UsageError(f"contradicts {given}", where="--groups", remedy="give one of them")
    if config.method not in LORA_METHODS:
        raise UsageError(
            f"cannot join what --method {config.method} trains",
            where="--groups",
            remedy=f"give --method {' or '.join(LORA_METHODS)}",
        )
    scored = [task for task in data.labels.tasks if data.labels.is_regression(task)] if data.labels else []
    if scored:
        raise UsageError(
            f"cannot join scores, which have no probabilities, such as those of {scored[0]}",
            where="--groups",
            remedy="leave that task out",
        )
    groups = read_subsets(find_subset_list(str(config.groups), config.saved_dir), len(data.tasks))
    listed = [task for group in groups for task in group]
    doubled = next((task for task in listed if listed.count(task) > 1), None)
    if doubled is not None:
        raise UsageError(f"task {doubled} is in several groups", where=config.groups)
    return groups


def plan_groups(
    config: TrainConfig,
    run: int,
    data: TrainingData,
    groups: Sequence[Subset],
    device: str,
    processes: Processes,
) -> list[RunPlan]:
    """The run of each group.

    Raises:
        UsageError: there are no dev samples to learn weights on.
    """
    plans = []
    for number, group in enumerate(groups):
        own = _member_config(config, f"group_{number}")
        parts = divide(data, own, group, config.dev_tasks)
        plans.append(plan_run(own, run, data, parts, device, processes))
    if not any(plan.parts.dev for plan in plans):
        raise UsageError("there are no dev samples to learn weights on", where="--dev-fraction")
    return plans


def train_groups(
    config: TrainConfig, run: int, data: TrainingData, plans: Sequence[RunPlan], ranks: Ranks
) -> EnsembleResult:
    """Train every group's adapter and the boosted ones, learn their weights, and write the ensemble.

    Raises:
        ArtifactError: another ensemble is in the folder.
        ModelError, DataError, TrainingError: as of any training.
    """
    parts = divide(data, config, [task for plan in plans for task in plan.parts.task_indices], "trained")
    members = list(plans)
    runs = train_runs(members, ranks)
    for number in range(config.boost):

        def draw() -> tuple[int, list[int]]:
            return _drawn(config, run, data, members, len(plans), parts)

        worst, places = ranks.agree(f"boost {run} {number}", draw)
        boosted = _boosted(config, run, data, members[worst], number, places)
        runs += train_runs([boosted], ranks, show_example=False)
        members.append(boosted)
    joined = ranks.agree(f"joined {run}", lambda: join(config, run, data, members, parts).plain())
    return replace(from_plain(joined), runs=tuple(runs))


def _member_config(config: TrainConfig, name: str) -> TrainConfig:
    own = "_".join(filter(None, (config.save_name, name)))
    return changed(config, groups=None, boost=0, save_name=own, train_key=f"{config.train_key}_{name}")


def _drawn(
    config: TrainConfig,
    run: int,
    data: TrainingData,
    members: Sequence[RunPlan],
    groups: int,
    parts: Parts,
) -> tuple[int, list[int]]:
    """The group with the highest loss, and samples of it drawn by how little they are known, by their places.

    A sample of loss l is drawn with a chance proportional to exp(l), one over its probability a token: the
    weight of boosted density estimation (Rosset and Segal 2002).
    """
    measured = measure_members(config, members, data, parts)
    losses = [
        _dev_loss(measured, [data.tasks[task] for task in plan.parts.task_indices])
        for plan in members[:groups]
    ]
    number = int(np.argmax(losses))
    worst = members[number]
    say(f"boosting {worst.folder.name}, whose dev loss is {max(losses):.4g}")
    tasks = {data.tasks[task] for task in worst.parts.task_indices}
    examples = [example for example in measured.train if example.task in tasks]
    train = member_losses(measured.loaded, member_names(members), examples, config.inference_batch_size)
    usual = tuple(measured.dev.weights(np.ones(len(measured.dev.tasks), dtype=bool)).tolist())
    mixed = train.mixed({task: measured.weights_by_task.get(task, usual) for task in tasks}).tolist()
    loss_of = dict(zip(zip(train.tasks, train.indices, strict=True), mixed, strict=True))
    places = [
        place for place, text in enumerate(worst.parts.train) if (text.task, text.sample_index) in loss_of
    ]
    texts = [worst.parts.train[place] for place in places]
    chances = np.exp([loss_of[text.task, text.sample_index] for text in texts])
    random = np.random.default_rng([config.seed, run, len(members) - groups])
    drawn = np.sort(random.choice(len(texts), len(texts), p=chances / chances.sum()))
    return number, [places[place] for place in drawn]


def _dev_loss(measured: MeasuredMembers, tasks: Sequence[str]) -> float:
    """Mean over those of the tasks that have dev samples; of none of them nothing is known to be bad."""
    known = [measured.dev_loss[task] for task in tasks if task in measured.dev_loss]
    return float(np.mean(known)) if known else -np.inf


def _boosted(
    config: TrainConfig, run: int, data: TrainingData, worst: RunPlan, number: int, places: Sequence[int]
) -> RunPlan:
    """A further adapter, begun from that of a group, on some of its samples."""
    own = changed(_member_config(config, f"boost_{number}"), load_model_dir=worst.folder.resolve())
    parts = replace(worst.parts, train=tuple(worst.parts.train[place] for place in places))
    plan = plan_run(own, run, data, parts, worst.device, worst.processes)
    check_folder(plan)
    return plan
