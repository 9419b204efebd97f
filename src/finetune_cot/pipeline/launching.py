"""A command on several devices of this machine starts itself once for each, as ``torchrun`` would."""

import contextlib
import json
import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from finetune_cot.config.options import to_plain
from finetune_cot.errors import StoppedByAnotherError
from finetune_cot.pipeline.devices import named_devices
from finetune_cot.pipeline.ranks import started_by_others

_THREADS = "OMP_NUM_THREADS"


def processes_to_start(devices: Sequence[str]) -> int:
    """How many processes a command is to start; 1 where it does the work itself, or has others beside it.

    Args:
        devices: What ``--devices`` says.

    Raises:
        UsageError: this machine has not so many devices.
    """
    return 1 if started_by_others() else len(named_devices(devices))


def run_in_processes(command: str, config: Any, processes: int, *words: str) -> None:
    """Run a command in several processes; the first one tells its progress and its result.

    Args:
        command: The command's name.
        config: Its options.
        processes: How many.
        words: Further words of the command line.

    Raises:
        StoppedByAnotherError: one of them failed, and told why.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    launch = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    with tempfile.TemporaryDirectory() as folder, _sharing_cores(processes), _undisturbed():
        path = Path(folder) / "options.json"
        path.write_text(json.dumps({"command": command, "config": to_plain(config)}), encoding="utf-8")
        line = ["-m", "finetune_cot", command, "--config", str(path), *words]
        try:
            elastic_launch(launch, sys.executable)(*line)
        except ChildFailedError as error:
            _, failure = error.get_first_failure()
            raise _stopped(failure.exitcode) from None
        except SignalException as error:
            raise _stopped(130 if error.sigval == signal.SIGINT else 1) from None


@contextlib.contextmanager
def _sharing_cores(processes: int) -> Iterator[None]:
    """Give each process its share of the cores, unless the user has said how many threads there are to be."""
    if _THREADS in os.environ:
        yield
        return
    os.environ[_THREADS] = str(max(1, (os.cpu_count() or 1) // processes))
    try:
        yield
    finally:
        del os.environ[_THREADS]


def _stopped(code: int) -> StoppedByAnotherError:
    error = StoppedByAnotherError("a process of this run has failed")
    error.exit_code = code if code > 0 else 1
    return error


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep torch's words about its processes to itself, and put its signal handlers away afterwards."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    handlers = {number: signal.getsignal(number) for number in numbers}
    silent = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(silent)
        for number, handler in handlers.items():
            signal.signal(number, handler)
