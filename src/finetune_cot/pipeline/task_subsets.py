"""The subsets of tasks that several commands work on: one list, drawn or given, kept by name."""

from collections.abc import Sequence
from pathlib import Path

from finetune_cot.artifacts.ids import SampledIndicesId
from finetune_cot.artifacts.subset_lists import find_subset_list, keep_subsets, read_subsets
from finetune_cot.config.subsets import SubsetOptions
from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import UsageError
from finetune_cot.estimation.subsets import Subset, leave_one_out, random_subsets, subset_size


def listed_subsets(
    options: SubsetOptions,
    tasks: int,
    seed: int,
    name: str,
    saved_dir: Path,
    *,
    overwrite: bool,
    keep: bool,
    check: bool = False,
) -> list[Subset]:
    """The subsets that the options name.

    Those drawn at random are kept in ``sampled_indices/<name>.txt``, so that every command takes the same.

    Args:
        options: Which subsets.
        tasks: Number of tasks.
        seed: Seed of the draw.
        name: Save name of what is trained.
        saved_dir: Root of ``saved/``.
        overwrite: Whether a list of other subsets may be replaced.
        keep: Whether the list is written.
        check: Whether it must be one that could be.

    Raises:
        UsageError: there are no such subsets.
        DataError: a list is missing, empty or torn.
        ArtifactError: other subsets are kept under the name.
    """
    if options.leave_one_out and options.load_sample_task_dir:
        raise UsageError("give --leave-one-out or --load-sample-task-dir, not both")
    if options.load_sample_task_dir:
        return read_subsets(find_subset_list(options.load_sample_task_dir, saved_dir), tasks)
    if options.leave_one_out:
        return leave_one_out(tasks)
    size = subset_size(options.subset_size, tasks)
    subsets = random_subsets(tasks, size, options.number_of_subsets, seed)
    if keep or check:
        keep_subsets(SampledIndicesId(name).path(saved_dir), subsets, overwrite, write=keep)
    return subsets


def trained_tasks(config: TrainConfig, tasks: int) -> Subset | None:
    """Numbers of the tasks that `train` is told to train on; None for all of them.

    Raises:
        UsageError: two ways of telling it are mixed, or a list holds several subsets or no such one.
        DataError: a list is missing, empty or torn.
    """
    if config.load_sample_task_dir is None:
        if config.subset_num is not None:
            raise UsageError("needs --load-sample-task-dir", where="--subset-num")
        return config.task_idxes
    if config.task_idxes is not None:
        raise UsageError("give --task-idxes or --load-sample-task-dir, not both")
    path = find_subset_list(config.load_sample_task_dir, config.saved_dir)
    subsets = read_subsets(path, tasks)
    number = config.subset_num if len(subsets) > 1 else config.subset_num or 0
    if number is None or number >= len(subsets):
        raise UsageError(
            f"holds {len(subsets)} subsets" + ("" if number is None else f", none of number {number}"),
            where=path,
            remedy=f"choose one by --subset-num, from 0 to {len(subsets) - 1}",
        )
    return subsets[number]


def target_number(given: str, tasks: Sequence[str]) -> int | None:
    """Number of the task whose loss counts; None for the mean over all of them.

    Raises:
        UsageError: there is no such task.
    """
    if given in tasks:
        return tasks.index(given)
    if given == "mean":
        return None
    if given.isdecimal() and int(given) < len(tasks):
        return int(given)
    raise UsageError(
        f"there is no task {given!r}",
        where="--target-task",
        remedy=", ".join(f"{index} {task}" for index, task in enumerate(tasks[:20])),
    )


def chosen_part(
    subsets: Sequence[Subset], start: int, stop: int | None, subset_num: int | None, shard: str | None
) -> list[Subset]:
    """The part of a list that one process works on.

    Raises:
        UsageError: the part is not one, or holds no subset.
    """
    if subset_num is not None:
        start, stop = subset_num, subset_num + 1
    part = list(subsets[start:stop])
    if shard is not None:
        number, count = _shard(shard)
        part = part[number::count]
    if not part:
        raise UsageError(
            f"no subset is left of {len(subsets)}", remedy="check --start, --stop, --subset-num and --shard"
        )
    return part


def _shard(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if number.isdecimal() and count.isdecimal() and int(number) < int(count):
        return int(number), int(count)
    raise UsageError(f"{text!r} is not i/N with i from 0 to N-1, such as 0/4", where="--shard")
