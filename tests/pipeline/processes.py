"""Commands run in two processes at once, as the launchers start them."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lightning.fabric.plugins.environments.lightning import find_free_network_port

Done = subprocess.CompletedProcess[str]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
EACH = """
import json, sys
from finetune_cot.cli.main import main
for line in json.loads(sys.argv[1]):
    if main(line):
        sys.exit(1)
"""
"""Runs the command lines of a list one after another."""


def environment() -> dict[str, str]:
    """That of this process, without what a launcher told it."""
    told = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "MASTER_"))}
    return told | {"OMP_NUM_THREADS": "1"}


def torchrun(script: str, folder: Path, *words: str) -> Done:
    """Run a script in two processes of torchrun, whose own files go to the folder too."""
    path = folder / "script.py"
    path.write_text(script)
    line, own = [*TORCHRUN, str(path), *words], environment() | {"TMPDIR": str(folder)}
    return subprocess.run(line, env=own, capture_output=True, text=True, timeout=300)


def srun(script: str, *words: str) -> list[Done]:
    """Run a script in two processes that have the environment of SLURM's tasks, in their order."""
    port = str(find_free_network_port())
    job = {
        **{"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "train", "SLURM_NODELIST": "localhost"},
        **{"SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS_PER_NODE": "2"},
        **{"SLURM_NNODES": "1", "SLURM_NODEID": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
    }
    line = [sys.executable, "-c", script, *words]
    tasks = [
        subprocess.Popen(
            line,
            env=environment() | job | {"SLURM_PROCID": rank, "SLURM_LOCALID": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    told = [task.communicate(timeout=300) for task in tasks]
    return [
        subprocess.CompletedProcess(line, task.returncode, *words)
        for task, words in zip(tasks, told, strict=True)
    ]


def results(done: Done) -> list[dict[str, object]]:
    """The JSON objects that a run printed."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def lines(*commands: Sequence[str]) -> str:
    """Command lines as the script ``EACH`` takes them."""
    return json.dumps(commands)
