"""Several processes, started by torchrun, leave what a single one leaves."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from torch.distributed import HashStore

from finetune_cot.artifacts.results import read_results
from finetune_cot.cli.main import main
from finetune_cot.config.sample_truth import SampleTruthConfig
from finetune_cot.errors import StoppedByAnotherError, TrainingError, UsageError
from finetune_cot.pipeline import ranks as module
from finetune_cot.pipeline import sample_truth as truth_module
from finetune_cot.pipeline.ranks import Ranks, joined
from finetune_cot.pipeline.train_checks import rank_device
from tests.pipeline.numbered_tasks import write_tasks

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
ALL = """
import sys
from finetune_cot.cli.main import main
shared = sys.argv[1:]
truth = ["--epochs", "1", "--number-of-subsets", "5", "--json"]
sys.exit(main(["grads", *shared, "--shard-samples=5", "--json"]) or main(["sample-truth", *shared, *truth]))
"""
DYING = """
import os, signal, sys, time
from finetune_cot.cli.main import main
from finetune_cot.pipeline import gradient_pass

write, rank = gradient_pass.write_shard, os.environ["RANK"]

def write_and_die(*shard):
    write(*shard)
    if rank == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(1)  # so that the other one has not done everything before

gradient_pass.write_shard = write_and_die
sys.exit(main(["grads", *sys.argv[1:], "--shard-samples=1", "--json"]))
"""


@pytest.fixture
def options(tmp_path: Path, tiny_llama_dir: Path) -> list[str]:
    path = write_tasks(tmp_path / "tasks.jsonl")
    model = [f"--model-key={tiny_llama_dir}", "--devices=cpu", "--lora-rank=2"]
    return [*model, f"--data-path={path}", "--dev-fraction=0.25"]


def torchrun(script: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = folder / "script.py"
    path.write_text(script)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*TORCHRUN, str(path), *words], env=environment, capture_output=True, text=True, timeout=300
    )


def shards(saved_dir: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in saved_dir.rglob("*.safetensors")}


def losses(saved_dir: Path) -> list[str]:
    (path,) = saved_dir.rglob("results.csv")
    return sorted(str(replace(row, seconds=None)) for row in read_results(path))


def test_each_process_has_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert [rank_device(("auto",), 8, rank) for rank in (0, 3, 4)] == ["cuda:0", "cuda:3", "cuda:0"]
    assert [rank_device(("2",), 2, rank) for rank in (0, 1)] == ["cuda:0", "cuda:1"]
    assert [rank_device(("3", "cuda:1"), 2, rank) for rank in (0, 1)] == ["cuda:3", "cuda:1"]
    assert [rank_device(("cpu",), 2, rank) for rank in (0, 1)] == ["cpu", "cpu"]
    for several in (("2",), ("0", "1")):
        with pytest.raises(UsageError, match="torchrun --standalone --nproc-per-node 2 -m finetune_cot"):
            rank_device(several, 1, 0)


def two_ranks() -> tuple[Ranks, Ranks]:
    store = HashStore()
    return Ranks(0, 2, 0, store), Ranks(1, 2, 1, store)


def test_items_go_to_one_rank_each() -> None:
    found: list[list[tuple[int, str]]] = [[], []]
    items = [f"item {number}" for number in range(200)]

    def work(ranks: Ranks) -> None:
        for item in ranks.share("items", items):
            found[ranks.rank].append(item)
            time.sleep(0.0001)

    threads = [threading.Thread(target=work, args=(ranks,)) for ranks in two_ranks()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted([*found[0], *found[1]]) == list(enumerate(items))
    assert all(found)


def test_a_single_process_is_all_ranks() -> None:
    with joined() as ranks:
        assert list(ranks.share("items", "ab")) == [(0, "a"), (1, "b")]
        assert ranks.gather("words", {"a": 1}) == [{"a": 1}]


def test_what_one_rank_tells_the_others_hear() -> None:
    first, second = two_ranks()
    first.tell("missing", [1, 2])
    assert second.hear("missing") == [1, 2]
    threading.Timer(0.2, second.tell, ("taken 1", 3)).start()
    assert first.gather("taken", 4) == [4, 3]


def test_nobody_waits_for_a_dead_or_a_failed_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.3)
    first, second = two_ranks()
    with pytest.raises(TrainingError, match="process 1 of 2 is silent; what is done is kept"):
        first.hear("never", 1)
    first.store.add("failed", 1)
    with pytest.raises(StoppedByAnotherError):
        second.hear("never")
    with pytest.raises(StoppedByAnotherError):
        list(second.share("items", "ab"))


def test_two_processes_leave_what_one_leaves(options: list[str], tmp_path: Path, one_thread: None) -> None:
    done = torchrun(ALL, tmp_path, *options, f"--saved-dir={tmp_path / 'two'}")
    assert done.returncode == 0, done.stderr
    taken, measured = map(json.loads, done.stdout.splitlines())
    assert [taken["samples"], taken["reused_samples"]] == [32, 0]
    assert [measured["subsets"], measured["reused"], measured["elsewhere"]] == [5, 0, 0]
    one = [*options, f"--saved-dir={tmp_path / 'one'}"]
    assert main(["grads", *one, "--shard-samples=5"]) == 0
    assert main(["sample-truth", *one, "--epochs=1", "--number-of-subsets=5"]) == 0
    assert len(shards(tmp_path / "one")) == 8
    assert shards(tmp_path / "two") == shards(tmp_path / "one")
    assert losses(tmp_path / "two") == losses(tmp_path / "one")


def test_a_killed_process_ends_the_run_and_loses_nothing(
    options: list[str], tmp_path: Path, one_thread: None, capsys: pytest.CaptureFixture[str]
) -> None:
    killed = torchrun(DYING, tmp_path, *options, f"--saved-dir={tmp_path / 'killed'}")
    assert killed.returncode != 0
    (line,) = killed.stdout.splitlines()
    assert "killed; what is done is kept" in json.loads(line)["error"]["message"]
    assert main(["grads", *options, f"--saved-dir={tmp_path / 'killed'}", "--shard-samples=1", "--json"]) == 0
    assert 0 < json.loads(capsys.readouterr().out)["reused_samples"] < 32
    assert main(["grads", *options, f"--saved-dir={tmp_path / 'one'}", "--shard-samples=1"]) == 0
    assert shards(tmp_path / "killed") == shards(tmp_path / "one")


def test_a_plan_is_made_by_all(options: list[str], saved_dir: Path) -> None:
    shown: list[int] = []

    def plan(ranks: Ranks) -> None:
        config = SampleTruthConfig(
            model_key=options[0].partition("=")[2],
            data_path=options[3].partition("=")[2],
            dev_fraction=0.25,
            devices=("cpu",),
            number_of_subsets=5,
            saved_dir=saved_dir,
            dry_run=True,
        )
        result = truth_module._sample_truth(config, ranks)
        shown.append(result.plan["subsets missing"] if result.plan else 0)

    threads = [threading.Thread(target=plan, args=(ranks,)) for ranks in reversed(two_ranks())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert shown == [5, 5]
    assert not list(saved_dir.iterdir())
