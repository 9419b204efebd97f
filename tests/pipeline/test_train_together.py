"""Two processes train what one trains; runs pass from two to one and back; what dies is taken up again."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from finetune_cot.cli.main import main
from finetune_cot.training.callbacks import Checkpoints
from finetune_cot.training.weights import read_weights
from tests.glue_files import write_glue
from tests.pipeline.numbered_tasks import write_tasks
from tests.pipeline.processes import EACH, lines, results, srun, torchrun

pytestmark = pytest.mark.models

DYING = """
import os, signal, sys
from finetune_cot.cli.main import main
from finetune_cot.training.callbacks import Checkpoints

save = Checkpoints._save_last

def save_and_die(self, trainer, module):
    save(self, trainer, module)
    if trainer.global_step == 3 and trainer.global_rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)

Checkpoints._save_last = save_and_die
sys.exit(main(sys.argv[1:]))
"""


class StopError(Exception):
    """Stands for a kill."""


@pytest.fixture
def command(tiny_llama_dir: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """Makes a command line; 25 samples in batches of 6 leave one to the last batch, and to one process."""
    further = [{"prompt": "one more", "completion": "5", "skill": "extra"}]
    path = write_tasks(tmp_path / "tasks.jsonl", further)

    def line(saved: str, *words: str) -> list[str]:
        data = [f"--model-key={tiny_llama_dir}", f"--data-path={path}", "--dev-fraction=0.25"]
        how = ["--batch-size=6", "--accumulate=2", "--epochs=2", "--checkpoint-every=1", "--lora-rank=2"]
        usual = ["--devices=cpu", "--inference-batch-size=3", f"--saved-dir={tmp_path / saved}", "--json"]
        return ["train", *data, *how, *usual, *words]

    return line


def checkpoint(saved_dir: Path) -> Path:
    (folder,) = (saved_dir / "checkpoints").iterdir()
    return folder


def assert_close(saved_dir: Path, other: Path) -> None:
    """The same losses of steps and epochs, and the same weights, within 1e-5."""
    first, second = checkpoint(saved_dir), checkpoint(other)
    for name in ("steps.csv", "epochs.csv"):
        rows, others = (list(csv.DictReader((folder / name).open())) for folder in (first, second))
        assert len(rows) == len(others) > 0
        for row, expected in zip(rows, others, strict=True):
            numbers = {key: float(value) for key, value in expected.items()}
            assert {key: float(value) for key, value in row.items()} == pytest.approx(numbers, abs=1e-5)
    for part in ("last", "best"):
        weights, expected = read_weights(first / part), read_weights(second / part)
        assert weights.keys() == expected.keys()
        for name, weight in weights.items():
            torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-5)


def assert_ensembles_close(saved_dir: Path, other: Path) -> None:
    """The same members, boosted ones included, with the same shares and losses."""
    (found, expected) = (
        json.loads(next((folder / "checkpoints").glob("*_groups_run_0/outcome.json")).read_text())
        for folder in (saved_dir, other)
    )
    assert len(found["members"]) == 3
    for name in ("members", "dev_loss_by_task", "own_group_loss_by_task"):
        assert found[name] == pytest.approx(expected[name], abs=1e-4)


def stop_after_3_steps(line: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin a training in this process."""
    save = Checkpoints._save_last

    def save_and_stop(self: Checkpoints, trainer: object, module: object) -> None:
        save(self, trainer, module)  # type: ignore[arg-type]
        if trainer.global_step == 3:  # type: ignore[attr-defined]
            raise StopError

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "_save_last", save_and_stop)
        with pytest.raises(StopError):
            main(line)


@pytest.fixture
def classifying(tiny_llama_dir: Path, tmp_path: Path) -> Callable[[str], list[str]]:
    """Makes a command line that trains a classifier."""
    data_dir = write_glue(tmp_path / "data", ("sst2", "rte"))

    def line(saved: str) -> list[str]:
        data = [f"--model-key={tiny_llama_dir}", "--dataset-key=glue/sst2+glue/rte", f"--data-dir={data_dir}"]
        how = ["--devices=cpu", "--batch-size=6", "--epochs=1", "--inference-batch-size=3", "--lora-rank=2"]
        return ["train", *data, *how, f"--saved-dir={tmp_path / saved}", "--json"]

    return line


def test_two_processes_train_what_one_trains(
    command: Callable[..., list[str]],
    classifying: Callable[[str], list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    one_thread: None,
) -> None:
    assert main(command("one")) == 0
    assert main(command("full", "--method=full")) == 0
    assert main(classifying("one_glue")) == 0
    (tmp_path / "groups.txt").write_text("0 1\n2 3\n")
    groups = [f"--groups={tmp_path / 'groups.txt'}", "--boost=1"]
    assert main(command("one_ensemble", *groups)) == 0
    dying = torchrun(DYING, tmp_path, *command("killed"))
    assert dying.returncode != 0
    (error,) = results(dying)
    # It is the broken connection that is noticed first, or torchrun's signal to the others.
    reasons = ("another process of this run is gone", "when one of them is killed")
    assert any(reason in error["error"]["message"] for reason in reasons), error  # type: ignore[index]
    shutil.copytree(tmp_path / "killed", tmp_path / "from_two")

    stop_after_3_steps(command("from_one"), monkeypatch)
    shutil.copytree(tmp_path / "from_one", tmp_path / "sharded_from_one")

    first, second = srun(
        EACH,
        lines(
            command("two"),
            command("killed"),
            command("from_one"),
            command("sharded", "--strategy=fsdp", "--inference-batch-size=32"),
            command("sharded_full", "--strategy=fsdp", "--method=full"),
            classifying("two_glue"),
            command("sharded_from_one", "--strategy=fsdp"),
            command("two_ensemble", *groups),
        ),
    )
    assert first.returncode == 0, first.stderr
    assert second.returncode == 0, second.stderr
    assert second.stdout == ""
    two, killed, from_one, _, full, _, sharded, _ = results(first)
    resumed = [run["resumed"] for run in (two, killed, from_one, sharded)]
    assert resumed == [False, True, True, True]
    for name in ("two", "from_one", "sharded", "sharded_from_one"):
        assert_close(tmp_path / name, tmp_path / "one")
    assert_close(tmp_path / "sharded_full", tmp_path / "full")
    assert_close(tmp_path / "two_glue", tmp_path / "one_glue")
    assert_ensembles_close(tmp_path / "two_ensemble", tmp_path / "one_ensemble")
    configs = [checkpoint(tmp_path / saved) / "last" / "config.json" for saved in ("sharded_full", "full")]
    assert configs[0].read_text() == configs[1].read_text()
    assert full["trainable_parameters"] == json.loads(_outcome(tmp_path / "full"))["trainable_parameters"]
    for name in (
        "last/adapter_model.safetensors",
        "last/trainer_state.safetensors",
        "steps.csv",
        "epochs.csv",
    ):
        files = [checkpoint(tmp_path / saved) / name for saved in ("two", "killed")]
        assert files[0].read_bytes() == files[1].read_bytes(), name

    assert main(command("from_two")) == 0
    assert_close(tmp_path / "from_two", tmp_path / "one")
    left = {path.name for path in (tmp_path / "two").rglob("*") if path.name.startswith(".")}
    assert left == set()


@pytest.mark.slow
def test_deepspeed_trains_what_one_process_trains(
    command: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    pytest.importorskip("deepspeed")

    def line(saved: str, *words: str) -> list[str]:
        return command(saved, "--accumulate=1", *words)

    zero = "--strategy=deepspeed_stage_2"
    assert main(line("one")) == 0
    assert main(line("full", "--method=full")) == 0
    assert main(line("mixed", "--precision=bf16-mixed")) == 0
    assert torchrun(DYING, tmp_path, *line("killed", zero)).returncode != 0
    shutil.copytree(tmp_path / "killed", tmp_path / "from_two")
    stop_after_3_steps(line("from_one"), monkeypatch)
    first, second = srun(
        EACH,
        lines(
            line("two", zero),
            line("killed", zero),
            line("from_one", zero),
            line("stage_1", "--strategy=deepspeed_stage_1"),
            line("divided_full", zero, "--method=full"),
            line("divided_mixed", zero, "--precision=bf16-mixed"),
        ),
    )
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert [run["resumed"] for run in results(first)] == [False, True, True, False, False, False]
    assert second.stdout == ""
    assert main(line("from_two")) == 0
    for name in ("two", "killed", "from_one", "stage_1", "from_two"):
        assert_close(tmp_path / name, tmp_path / "one")
    assert_close(tmp_path / "divided_full", tmp_path / "full")
    mixed = [json.loads(_outcome(tmp_path / saved))["dev_loss"] for saved in ("divided_mixed", "mixed")]
    assert mixed[0] == pytest.approx(mixed[1], rel=1e-3)


def _outcome(saved_dir: Path) -> str:
    return (checkpoint(saved_dir) / "outcome.json").read_text()


@pytest.mark.gpu
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_two_gpus_train_what_one_trains(
    method: str, strategy: str, command: Callable[..., list[str]], tmp_path: Path
) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    for saved, devices in (("one", ["0"]), ("two", ["0", "1"])):
        line = [word for word in command(saved, f"--method={method}") if word != "--devices=cpu"]
        strategies = [f"--strategy={strategy}"] if len(devices) > 1 else []
        assert main([*line, *strategies, "--devices", *devices]) == 0
    assert_close(tmp_path / "two", tmp_path / "one")


def test_several_devices_start_as_many_processes(
    command: Callable[..., list[str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = [word for word in command("two", "--devices", "cpu,cpu") if word != "--devices=cpu"]
    assert main([*line, "--batch-size=1"]) == 2
    (error,) = capfd.readouterr().out.splitlines()
    assert "1 samples cannot be shared by 2 devices" in json.loads(error)["error"]["message"]
    assert main([*line, "--strategy=fsdp", "--method=qlora"]) == 2
    (error,) = capfd.readouterr().out.splitlines()
    assert "cannot divide the weights of --method qlora" in json.loads(error)["error"]["message"]
    assert not (tmp_path / "two").exists()
