"""``ftcot train``, from samples to a student that other commands find."""

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from finetune_cot.artifacts.ids import ModelMetadataId
from finetune_cot.artifacts.lock import artifact_lock
from finetune_cot.artifacts.manifest import read_manifest
from finetune_cot.artifacts.results import read_results
from finetune_cot.artifacts.students import STUDENT_FILE, read_student
from finetune_cot.cli.main import main
from finetune_cot.config.options import build
from finetune_cot.config.replay import read_config_file
from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import ArtifactError, DataError, FtcotError, ModelError, UsageError
from finetune_cot.pipeline.train import train
from finetune_cot.pipeline.train_result import TrainResult

pytestmark = pytest.mark.models

Config = Any


@pytest.fixture
def data_path(tmp_path: Path) -> Path:
    """Instruction data of two tasks, 12 rows each."""
    path = tmp_path / "mine.jsonl"
    rows = [
        {"instruction": f"Ann has {index} apples. How many?", "output": f"{index}", "skill": skill}
        for skill in ("count", "say")
        for index in (range(12) if skill == "count" else range(12, 24))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def config(tiny_llama_dir: Path, data_path: Path, saved_dir: Path) -> TrainConfig:
    values = {"model_key": str(tiny_llama_dir), "data_path": str(data_path), "saved_dir": saved_dir}
    return build(TrainConfig, values | {"epochs": 2, "batch_size": 4, "lr": 1e-2, "devices": "cpu"})


def changed(config: TrainConfig, **values: Any) -> TrainConfig:
    from finetune_cot.config.options import replace

    return replace(config, **values)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_a_student_is_trained_and_found_by_its_keys(config: TrainConfig, tiny_llama_dir: Path) -> None:
    result = train(config)
    folder = config.saved_dir / "checkpoints" / f"Instruction_{tiny_llama_dir.name}_lora_r_4_run_0"
    assert result.checkpoint == folder
    assert (result.epochs, result.steps, result.samples, result.dev_samples) == (2, 12, 22, 2)
    assert (result.resumed, result.reused, result.too_long, result.dev_loss_std) == (False, False, 0, None)
    assert set(result.dev_loss_by_task) == {"count", "say"}
    assert result.dev_loss == pytest.approx(statistics.fmean(result.dev_loss_by_task.values()))
    # 2 layers; q: 32 -> 32, k and v: 32 -> 16, each with 4 x (in + out).
    assert result.trainable_parameters == 2 * 4 * ((32 + 32) + 2 * (32 + 16))
    assert min(result.seconds, result.seconds_per_sample or 0, result.peak_memory_bytes or 0) > 0
    student = read_student(ModelMetadataId(tiny_llama_dir.name, "mine", "lora").path(config.saved_dir))
    assert student == read_student(folder / STUDENT_FILE)
    assert student.checkpoints == {"0": f"checkpoints/{folder.name}"}
    assert (student.method, student.template, student.training_samples) == ("lora", None, 22)


def test_the_checkpoint_loads_and_makes_the_measured_loss(config: TrainConfig) -> None:
    from finetune_cot.batches.collation import collate
    from finetune_cot.batches.encoding import encode
    from finetune_cot.models.finetuned import load_finetuned
    from finetune_cot.pipeline.train_data import chat_renderer, divide, read_training_data, text_segments
    from finetune_cot.training.loss import mean_sample_losses

    result = train(config)
    loaded = load_finetuned(result.checkpoint, model_key=config.model_key, device="cpu")
    dev = divide(read_training_data(config), config).dev
    render = chat_renderer(loaded.tokenizer)
    examples = [
        encode(loaded.tokenizer, "decoder", text_segments(text, None, "decoder", render), 0, text.task)
        for text in dev
    ]
    losses = mean_sample_losses(loaded.model, collate(examples, loaded.tokenizer.pad_token_id))
    assert losses.mean().item() == pytest.approx(result.dev_loss, rel=1e-4)


def test_a_finished_run_is_not_repeated(config: TrainConfig, capsys: pytest.CaptureFixture[str]) -> None:
    first = train(config)
    before = {path: path.stat().st_mtime_ns for path in config.saved_dir.rglob("*")}
    again = train(changed(config, inference_batch_size=3, devices=("1",)))
    assert again.reused
    assert (again.dev_loss, again.seconds, again.samples) == (first.dev_loss, first.seconds, first.samples)
    assert "is there already" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in config.saved_dir.rglob("*")} == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"lr": 0.5}, r"--lr was 0\.01, not 0\.5"),
        ({"epochs": 3}, "--epochs was 2, not 3"),
        ({"downsample": 0.5}, "the training samples were others"),
        ({"dev_fraction": 0.3}, "the dev samples were others"),
        ({"train_key": "mine"}, "--train-key was lora, not mine"),
    ],
)
def test_another_training_is_refused_without_overwrite(
    config: TrainConfig, change: dict[str, Any], told: str
) -> None:
    train(config)
    with pytest.raises(ArtifactError, match=rf"{told}; give another --save-name, or --overwrite"):
        train(changed(config, **change))
    replaced = train(changed(config, **change, overwrite=True))
    assert not replaced.reused
    assert train(changed(config, **change)).reused


def test_another_save_name_needs_another_train_key(config: TrainConfig) -> None:
    """Or the completions of one student would be taken for those of the other."""
    first = train(config)
    with pytest.raises(ArtifactError, match=r"run 0 of this student is another checkpoint, .*--train-key"):
        train(changed(config, save_name="other"))
    second = train(changed(config, save_name="other", train_key="other"))
    assert second.checkpoint.name == first.checkpoint.name.replace("_run_0", "_other_run_0")
    assert second.dev_loss == first.dev_loss


def test_runs_have_seeds_of_their_own(config: TrainConfig, tiny_llama_dir: Path) -> None:
    result = train(changed(config, runs=3, seed=5))
    assert [run.seed for run in result.runs] == [5, 6, 7]
    losses = [run.dev_loss or 0.0 for run in result.runs]
    assert len(set(losses)) == 3
    assert result.dev_loss_mean == pytest.approx(sum(losses) / 3)
    mean = sum(losses) / 3
    assert result.dev_loss_std == pytest.approx((sum((loss - mean) ** 2 for loss in losses) / 2) ** 0.5)
    student = read_student(ModelMetadataId(tiny_llama_dir.name, "mine", "lora").path(config.saved_dir))
    assert sorted(student.checkpoints) == ["0", "1", "2"]
    alone = train(changed(config, run=2, seed=5))
    assert alone.reused
    assert alone.dev_loss == losses[2]


def test_results_in_the_columns_of_the_seed(config: TrainConfig) -> None:
    asked = changed(config, write_results=True, runs=2)
    result = train(asked)
    train(asked)
    assert result.results_path is not None
    rows = read_results(result.results_path)
    assert [row.task_indices for row in rows] == [(0, 1), (0, 1)]
    assert [row.loss for row in rows] == [run.dev_loss for run in result.runs]
    header = result.results_path.read_text().splitlines()[0]
    assert header == "Data indices,loss,loss_count,loss_say"
    with pytest.raises(UsageError, match="--write-results: there is no dev set"):
        train(changed(asked, dev_fraction=0.0))


def test_a_manifest_replays_its_run(config: TrainConfig) -> None:
    result = train(changed(config, runs=2))
    folder = Path(result.runs[1].checkpoint)
    replayed = build(TrainConfig, read_config_file(folder, "train"))
    assert (replayed.run, replayed.runs) == (1, 1)
    again = train(replayed)
    assert again.reused
    assert again.dev_loss == result.runs[1].dev_loss
    manifest = read_manifest(folder / "manifest.json")
    assert {"last/adapter_model.safetensors", "best/adapter_model.safetensors", "epochs.csv"} < set(
        manifest.outputs
    )


def test_full_fine_tuning_and_encoder_decoders(config: TrainConfig, tiny_t5_dir: Path) -> None:
    result = train(
        changed(
            config,
            method="full",
            model_key=str(tiny_t5_dir),
            data_path=None,
            downsample=0.1,
            dataset_key="bundled_coin_flip",
        )
    )
    assert result.checkpoint.name == f"bundled_coin_flip_{tiny_t5_dir.name}_run_0"
    student = read_student(result.checkpoint / STUDENT_FILE)
    assert (student.method, student.train_key, student.template) == ("full", "full", "ft_cot_token")


def test_training_starts_from_an_adapter(config: TrainConfig, tiny_gpt2_dir: Path) -> None:
    first = train(config)
    further = {"save_name": "more", "train_key": "more", "load_model_dir": first.checkpoint}
    second = train(changed(config, **further))
    assert second.trainable_parameters == first.trainable_parameters
    assert second.train_loss is not None
    assert first.train_loss is not None
    assert second.train_loss < first.train_loss
    with pytest.raises(UsageError, match=r"the adapter has rank 4, not 8; give --lora-rank 4"):
        train(changed(config, **(further | {"train_key": "eight"}), lora_rank=8))
    with pytest.raises(ModelError, match="an adapter of another model"):
        train(changed(config, **further, model_key=str(tiny_gpt2_dir)))
    with pytest.raises(UsageError, match="holds an adapter"):
        train(changed(config, **further, method="full"))
    with pytest.raises(UsageError, match="holds a whole model, not an adapter"):
        train(changed(config, **(further | {"load_model_dir": Path(config.model_key)})))


def test_a_plan_writes_nothing(config: TrainConfig) -> None:
    result = train(changed(config, dry_run=True, runs=2))
    assert files(config.saved_dir) == set()
    assert result.plan is not None
    assert (result.plan["steps"], result.plan["tasks"]) == (12, ["count", "say"])
    assert [run["state"] for run in result.plan["runs"]] == ["new", "new"]


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"devices": ("99",)}, UsageError, "--devices: 99 devices are asked for; this machine has"),
        ({"devices": ("cpu", "cpu")}, UsageError, "--devices: 2 devices are asked for.*torchrun"),
        ({"devices": ("tpu",)}, UsageError, "--devices: this machine has no device 'tpu'"),
        ({"precision": "16-mixed"}, UsageError, "--precision: 16-mixed needs a GPU.*bf16-mixed"),
        ({"precision": "16"}, UsageError, "--precision: 16-mixed needs a GPU"),
        ({"precision": "16-true"}, UsageError, "--precision: 16-true needs a GPU"),
        ({"strategy": "fsdp"}, UsageError, "--strategy fsdp: divides a training between several devices"),
        ({"precision": "transformer-engine"}, UsageError, "--precision: .* needs an NVIDIA GPU"),
        ({"train_lora": True, "method": "full"}, UsageError, "--train-lora: contradicts"),
        ({"task_idxes": (7,)}, UsageError, "--task-idxes: there is no task 7"),
        ({"data_path": "nowhere.jsonl"}, DataError, "nowhere"),
        ({"data_path": None, "dataset_key": "nope"}, UsageError, "there is no data set 'nope'"),
        ({"data_path": None, "dataset_key": "../up"}, UsageError, "path separator"),
        ({"data_path": None, "finetune_key": "nope"}, ArtifactError, "is not there"),
        ({"max_length": 3}, DataError, "--max-length: every training sample is longer than 3 tokens"),
        ({"lora_targets": ("nope",)}, UsageError, "no module of this model is called nope"),
        ({"load_model_dir": Path("nowhere")}, ModelError, "nowhere: no fine-tuned model is there"),
        ({"model_key": "./nowhere"}, ModelError, "no model folder is there"),
        ({"save_name": "../up"}, UsageError, "path separator"),
        ({"train_key": "a__b"}, UsageError, "train key 'a__b'"),
    ],
)
def test_what_cannot_be_is_told_in_a_line_and_leaves_nothing(
    config: TrainConfig, change: dict[str, Any], error: type[FtcotError], told: str
) -> None:
    with pytest.raises(error, match=told) as caught:
        train(changed(config, **change))
    assert "\n" not in str(caught.value)
    assert files(config.saved_dir) == set()


def test_the_model_is_looked_for_before_the_data(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="nobody/nothing"):
        train(changed(config, model_key="nobody/nothing", data_path="nowhere.jsonl"))


def test_a_loss_that_is_no_number_ends_the_run(config: TrainConfig) -> None:
    from finetune_cot.errors import TrainingError

    with pytest.raises(TrainingError, match=r"finite|the loss is"):
        train(changed(config, lr=1e30, gradient_clip=0.0, warmup=0.0, method="full"))


def test_long_samples_are_left_out_and_counted(config: TrainConfig, data_path: Path) -> None:
    with data_path.open("a", encoding="utf-8") as file:
        for number in range(3):
            row = {"instruction": f"Sing {number}.", "output": "la " * 90, "skill": "say"}
            file.write(json.dumps(row) + "\n")
    result = train(changed(config, max_length=90, dev_fraction=0.0))
    assert (result.samples, result.too_long) == (24, 3)
    assert read_student(result.checkpoint / STUDENT_FILE).training_samples == 24


def test_a_folder_in_use_names_its_holder(config: TrainConfig) -> None:
    folder = train(changed(config, dry_run=True)).checkpoint
    with (
        artifact_lock(folder, "train"),
        pytest.raises(ArtifactError, match=r"is in use by `ftcot train` \(process \d+"),
    ):
        train(config)


def test_a_torn_checkpoint_is_named(config: TrainConfig) -> None:
    folder = train(config).checkpoint
    weights = folder / "last" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(ArtifactError, match=r"last/adapter_model.safetensors: is torn or was edited"):
        train(config)


def test_one_example_is_shown_with_its_mask(config: TrainConfig, capsys: pytest.CaptureFixture[str]) -> None:
    train(changed(config, runs=2, epochs=1))
    shown = capsys.readouterr().err
    assert shown.count("[[") == 2  # once in the explanation, once in the example
    assert "</s>]]" in shown


def test_the_command_line(config: TrainConfig, data_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--model-key", config.model_key, "--saved-dir", str(config.saved_dir), "--epochs", "1"]
    assert main(["train", *options, "--data-path", str(data_path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["schema_version"] == 1
    keys = {
        *("checkpoint", "epochs", "steps", "trainable_parameters", "train_loss", "dev_loss"),
        *("dev_loss_by_task", "seconds", "seconds_per_sample", "peak_memory_bytes", "results_path"),
    }
    assert keys < result.keys()
    assert main(["train", *options, "--data-path", str(data_path)]) == 0
    assert "dev loss" in capsys.readouterr().out
    assert main(["train", *options, "--devices", "3"]) == 2
    assert main(["train", *options, "--lora-rank", "0"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "ftcot: --lora-rank: 0 must be above 0"


def test_the_result_has_every_key_without_work() -> None:
    assert TrainResult(Path("x"), epochs=1, steps=0).dev_loss_by_task == {}
