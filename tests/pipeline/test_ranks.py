"""Several processes, started by torchrun, leave what a single one leaves."""

import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from torch.distributed import HashStore

from finetune_cot.artifacts.results import read_results
from finetune_cot.cli.main import main
from finetune_cot.config.sample_truth import SampleTruthConfig
from finetune_cot.errors import StoppedByAnotherError, TrainingError
from finetune_cot.pipeline import ranks as module
from finetune_cot.pipeline import sample_truth as truth_module
from finetune_cot.pipeline.ranks import Ranks, joined
from tests.pipeline.numbered_tasks import write_tasks
from tests.pipeline.processes import EACH, lines, results, srun, torchrun

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


def shards(saved_dir: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in saved_dir.rglob("*.safetensors")}


def completions(saved_dir: Path) -> dict[str, object]:
    (path,) = (saved_dir / "completion_data").rglob("*.json")
    data: dict[str, object] = json.loads(path.read_text())["data"]
    return data


def losses(saved_dir: Path) -> list[str]:
    (path,) = saved_dir.rglob("results.csv")
    return sorted(str(replace(row, seconds=None)) for row in read_results(path))


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
    def commands(saved: str) -> list[list[str]]:
        saved_dir = f"--saved-dir={tmp_path / saved}"
        questions = ["--dataset-key=bundled_coin_flip", "--inference-batch-size=2", "--device=cpu"]
        short = ["--max-reasoning-tokens=6", "--max-answer-tokens=3", options[0]]
        return [
            ["grads", *options, saved_dir, "--shard-samples=5", "--json"],
            ["sample-truth", *options, saved_dir, "--epochs=1", "--number-of-subsets=5", "--json"],
            # Fewer questions than processes, and then a number of batches that two cannot share evenly.
            *(["evaluate", *questions, *short, saved_dir, f"--limit={limit}", "--json"] for limit in (1, 6)),
        ]

    done = torchrun(EACH, tmp_path, lines(*commands("two")))
    assert done.returncode == 0, done.stderr
    taken, measured, *evaluated = results(done)
    assert [taken["samples"], taken["reused_samples"]] == [32, 0]
    assert [measured["subsets"], measured["reused"], measured["elsewhere"]] == [5, 0, 0]
    assert [[one["n"], one["generated"], one["reused"]] for one in evaluated] == [[1, 1, 0], [6, 5, 1]]
    assert [main(command) for command in commands("one")] == [0, 0, 0, 0]
    assert len(shards(tmp_path / "one")) == 8
    assert shards(tmp_path / "two") == shards(tmp_path / "one")
    assert losses(tmp_path / "two") == losses(tmp_path / "one")
    assert completions(tmp_path / "two") == completions(tmp_path / "one")


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


def test_an_error_that_all_find_is_told_once() -> None:
    first, second = srun(EACH, lines(["train", "--epochs=0"]))
    assert "--epochs: 0" in first.stderr
    assert (first.stdout, second.stdout, second.stderr) == ("", "", "")
    first, second = srun(EACH, lines(["train", "--no-such-option", "--json"]))
    assert "no-such-option" in first.stdout
    assert (second.stdout, second.stderr) == ("", "")


def test_the_first_rank_decides_once_for_all() -> None:
    first, second = two_ranks()
    made: list[int] = []
    assert first.agree("choice", lambda: made.append(1) or {"a": 1}) == {"a": 1}
    assert second.agree("choice", lambda: made.append(2) or {}) == {"a": 1}
    assert made == [1]
