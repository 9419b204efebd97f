"""Devices by the names that ``--devices`` knows: one process each."""

import os
from collections.abc import Sequence

from finetune_cot.errors import UsageError
from finetune_cot.pipeline.ranks import Ranks
from finetune_cot.training.settings import Processes


def training_device(devices: Sequence[str]) -> str:
    """The one device that ``--devices`` means: ``cpu``, ``mps`` or ``cuda:<index>``.

    Raises:
        UsageError: this machine has no such device, or several are asked for.
    """
    import torch

    from finetune_cot.models.loading import pick_device

    gpus = torch.cuda.device_count()
    wanted = [name.lower() for name in devices] or ["auto"]
    number = int(wanted[0]) if wanted[0].isdecimal() else None
    if _count(devices) > 1:
        raise UsageError(
            f"{_count(devices)} devices are asked for, and this command uses one",
            where="--devices",
            remedy="give auto, cpu, or one GPU such as cuda:1",
        )
    if number == 0 and gpus == 0:
        raise UsageError(
            "this machine has no GPU 0", where="--devices", remedy="give auto, or cpu to train without a GPU"
        )
    name = {0: "cuda:0", 1: "auto", None: wanted[0]}[number]
    try:
        return str(pick_device(name))
    except UsageError as error:
        raise UsageError(error.what, where="--devices", remedy=error.remedy) from None


def named_devices(devices: Sequence[str]) -> tuple[str, ...]:
    """The devices that ``--devices`` means, one for each process that is to be started.

    A number above 1 is that of GPUs or, on a machine without any, of processes on the CPU.

    Raises:
        UsageError: this machine has not so many, or not those.
    """
    import torch

    if _count(devices) < 2:
        return (training_device(devices),)
    if len(devices) > 1:
        names = tuple(training_device([_in_list(name)]) for name in devices)
        if len({name.partition(":")[0] for name in names}) > 1:
            raise UsageError("names devices of different kinds", where="--devices")
        if names[0] != "cpu" and len(set(names)) < len(names):
            raise UsageError("names a device twice", where="--devices")
        return names
    wanted, gpus, cores = _count(devices), torch.cuda.device_count(), os.cpu_count() or 1
    if wanted > (gpus or cores):
        there = f"{gpus} GPUs" if gpus else f"no GPU, and {cores} cores"
        raise UsageError(
            f"{wanted} devices are asked for; this machine has {there}",
            where="--devices",
            remedy=f"give at most {gpus or cores}",
        )
    return tuple(f"cuda:{index}" for index in range(wanted)) if gpus else ("cpu",) * wanted


def started_devices(devices: Sequence[str], started: int) -> tuple[str, ...]:
    """The devices of the processes that ``torchrun`` or ``srun`` started on this machine, in their order.

    Raises:
        UsageError: this machine has not so many, or ``--devices`` means another number of them.
    """
    import torch

    if _count(devices) > 1:
        names = named_devices(devices)
        if len(names) != started:
            raise UsageError(
                f"{len(names)} devices are asked for, and {started} processes were started on this machine",
                where="--devices",
                remedy="start one process for each device",
            )
        return names
    device, gpus = training_device(devices), torch.cuda.device_count()
    if device == "cpu" or started == 1:
        return (device,) * started
    if started > gpus or not {name.lower() for name in devices} <= {"auto", "cuda", "1"}:
        raise UsageError(
            f"{started} processes were started on this machine, which has {gpus} GPUs",
            where="--devices",
            remedy="start one process for each device, and give auto or name all of them",
        )
    return tuple(f"cuda:{index}" for index in range(started))


def placement(devices: Sequence[str], nodes: int | None, ranks: Ranks) -> tuple[str, Processes]:
    """This process's device, and all those of a training.

    Args:
        devices: What ``--devices`` says.
        nodes: What ``--num-nodes`` says.
        ranks: The processes that were started.

    Raises:
        UsageError: this machine has no such devices, or other processes were started than the options say.
    """
    if ranks.world == 1:
        named_devices(devices)
        device, processes = rank_device(devices, 1, 0), Processes()
    else:
        names = started_devices(devices, ranks.local_world)
        device, processes = names[ranks.local_rank], Processes(ranks.rank, ranks.world, names)
        if processes.nodes * len(names) != ranks.world:
            raise UsageError("the machines have different numbers of processes", where="--devices")
    if nodes not in (None, processes.nodes):
        raise UsageError(
            f"{nodes} machines are asked for, and the processes of {processes.nodes} were started",
            where="--num-nodes",
            remedy="start the command on each machine by torchrun or srun: see docs/laptop-to-cluster.md",
        )
    return device, processes


def rank_device(devices: Sequence[str], world: int, local_rank: int) -> str:
    """The device of one of several processes: its own of those named, or of this machine's GPUs.

    Args:
        devices: What ``--devices`` says.
        world: Processes of the run, on all machines; a single one has the `training_device`.
        local_rank: Number of the process on its machine.

    Raises:
        UsageError: this machine has no such device, or a single process is to use several.
    """
    import torch

    count = _count(devices)
    if world == 1 and count > 1:
        raise UsageError(
            f"{count} devices are asked for, and each needs a process of its own",
            where="--devices",
            remedy=f"run torchrun --standalone --nproc-per-node {count} -m finetune_cot, and the same words",
        )
    named = [_in_list(name) for name in devices]
    if len(devices) < 2 and devices and (devices[0].isdecimal() or devices[0].lower() in ("auto", "cuda")):
        named = [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cpu"]
    return training_device([named[local_rank % len(named)]] if world > 1 else devices)


def _count(devices: Sequence[str]) -> int:
    """How many devices the words name; a number by itself is how many, but for 0, which is the first GPU."""
    return max(1, int(devices[0])) if len(devices) == 1 and devices[0].isdecimal() else len(devices)


def _in_list(name: str) -> str:
    return f"cuda:{name}" if name.isdecimal() else name
