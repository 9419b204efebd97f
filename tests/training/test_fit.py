"""The training loop: resumed runs equal uninterrupted ones, steps equal those written by hand."""

import csv
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from finetune_cot.batches.collation import ShuffledBatches, collate
from finetune_cot.batches.encoding import EncodedExample
from finetune_cot.errors import TrainingError
from finetune_cot.models.loading import LoadedModel, load_model
from finetune_cot.training.bottleneck import Bottleneck, add_bottleneck
from finetune_cot.training.chosen_layers import choose_layers
from finetune_cot.training.fit import fine_tune, total_batches, total_steps
from finetune_cot.training.lora import add_lora
from finetune_cot.training.settings import TrainingOutcome, TrainingSettings
from finetune_cot.training.weights import read_weights, trainable_weights
from tests.adapters_library import with_adapters
from tests.training.conftest import CLASSIFIER, Load, samples

pytestmark = pytest.mark.models

SETTINGS = TrainingSettings(epochs=3, lr=1e-2, batch_size=4, accumulate=2, checkpoint_every=1)
TRAIN, DEV = 18, 4


class StopError(Exception):
    """Stands for a kill: nothing of the process's memory is used afterwards."""


def student(loaded: LoadedModel, method: str, dropout: float = 0.1) -> Any:
    if method == "full":
        return loaded.model.requires_grad_(True)
    if method == "layers":
        return choose_layers(loaded.model, ["last-1"])
    if method == "adapter":
        bottleneck = Bottleneck(True, True, reduction_factor=4, non_linearity="relu")
        return add_bottleneck(loaded.model, bottleneck, base_name=loaded.base_name, seed=0)
    base = loaded.model
    if method == "qlora":
        base = load_model(loaded.base_name, device="cpu", quantized=True).model
    options = {"rank": 2, "alpha": 8.0, "dropout": dropout, "targets": None, "seed": 0}
    return add_lora(base, base_name=loaded.base_name, **options)


def run(
    loaded: LoadedModel,
    method: str,
    folder: Path,
    settings: TrainingSettings = SETTINGS,
    stop_at: int | None = None,
    change: Callable[[list[EncodedExample]], list[EncodedExample]] = list,
    dev: int = DEV,
) -> tuple[TrainingOutcome, dict[str, Tensor]]:
    def report(done: int) -> None:
        if done == stop_at:
            raise StopError

    folder.mkdir(exist_ok=True)
    model = student(loaded, method)
    examples = samples(loaded, TRAIN + dev)
    pad = loaded.tokenizer.pad_token_id
    outcome = fine_tune(model, pad, change(examples[:TRAIN]), examples[TRAIN:], settings, folder, report)
    return outcome, trainable_weights(model)


def assert_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("family", "method", "stops"),
    [
        # 15 batches in 3 epochs of 5: a step is 2 batches, the last of an epoch 1.
        ("llama", "lora", (1, 2, 3, 4, 5, 6, 7, 10, 11, 15)),
        ("gpt2", "full", (3, 6, 12)),
        ("t5", "full", (5, 13)),
        ("t5", "lora", (8,)),
        ("llama", "layers", (5, 8)),
        ("wide llama", "qlora", (5, 8)),
        (CLASSIFIER, "lora", (5, 8)),
        pytest.param("t5", "adapter", (5, 8), marks=with_adapters),
    ],
)
def test_resumed_equals_uninterrupted(
    family: str, method: str, stops: tuple[int, ...], load: Load, tmp_path: Path
) -> None:
    whole, weights = run(load(family), method, tmp_path / "whole")
    for stop in stops:
        folder = tmp_path / f"stopped_{stop}"
        with pytest.raises(StopError):
            run(load(family), method, folder, stop_at=stop)
        resumed, resumed_weights = run(load(family), method, folder)
        assert_equal(weights, resumed_weights)
        assert (resumed.epochs, resumed.steps) == (whole.epochs, whole.steps)
        assert resumed.samples_seen == whole.samples_seen == 3 * TRAIN
        for name in ("steps.csv", "epochs.csv"):
            assert (folder / name).read_text() == (tmp_path / "whole" / name).read_text()
        assert_equal(read_weights(folder / "best"), read_weights(tmp_path / "whole" / "best"))


def test_stopped_again_and_again_without_a_dev_set(load: Load, tmp_path: Path) -> None:
    _, weights = run(load("llama"), "lora", tmp_path / "whole", dev=0)
    for stop in (3, 6, 7, 12, 15):
        with pytest.raises(StopError):
            run(load("llama"), "lora", tmp_path / "stopped", stop_at=stop, dev=0)
    outcome, resumed = run(load("llama"), "lora", tmp_path / "stopped", dev=0)
    assert_equal(weights, resumed)
    assert [epoch.dev_loss for epoch in outcome.epochs] == [None] * 3
    assert outcome.best.epoch == 3


def test_a_finished_run_is_not_trained_further(load: Load, tmp_path: Path) -> None:
    first, weights = run(load("llama"), "lora", tmp_path / "run")
    again, same = run(load("llama"), "lora", tmp_path / "run", stop_at=16)
    assert again.epochs == first.epochs
    assert again.steps == first.steps == total_steps(TRAIN, SETTINGS) == 9
    assert_equal(weights, same)


def test_steps_are_those_of_a_loop_by_hand(load: Load, tmp_path: Path) -> None:
    """Each step is the mean over all label tokens of its batches, also where an epoch ends in fewer."""
    loaded = load("llama")
    pad, examples = loaded.tokenizer.pad_token_id, samples(loaded, TRAIN)
    model = loaded.model.requires_grad_(True).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    data = {example.sample_index: example for example in examples}
    batches = ShuffledBatches(examples, 4, pad, seed=0)
    for _ in range(2):
        order = [batch.sample_indices for batch in batches]
        for start in range(0, len(order), 2):
            step = collate([data[index] for batch in order[start : start + 2] for index in batch], pad)
            inputs = {"input_ids": step.input_ids, "attention_mask": step.attention_mask}
            model(**inputs, labels=step.labels).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    settings = replace(SETTINGS, epochs=2, schedule="constant", warmup=0.0)
    _, ours = run(load("llama"), "full", tmp_path / "run", settings, dev=0)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(ours[name], weight.detach(), rtol=1e-3, atol=2e-4)


def test_dev_losses_by_task_do_not_depend_on_the_batch_size(load: Load, tmp_path: Path) -> None:
    outcomes = [
        run(load("llama"), "lora", tmp_path / str(size), replace(SETTINGS, inference_batch_size=size))[0]
        for size in (1, 4)
    ]
    for first, second in zip(*(outcome.epochs for outcome in outcomes), strict=True):
        assert first.train_loss == second.train_loss
        assert first.dev_loss == pytest.approx(second.dev_loss, rel=1e-5)
        assert first.dev_loss_by_task == pytest.approx(second.dev_loss_by_task, rel=1e-5)
        assert set(first.dev_loss_by_task) == {"odd", "even"}


def test_training_lowers_the_loss_and_the_log_says_so(load: Load, tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=6, keep_epochs=True)
    outcome, _ = run(load("llama"), "full", tmp_path / "run", settings)
    with (tmp_path / "run" / "steps.csv").open() as file:
        steps = list(csv.DictReader(file))
    assert float(steps[-1]["train_loss"]) < 0.7 * float(steps[0]["train_loss"])
    assert [int(step["step"]) for step in steps] == list(range(1, 19))
    with (tmp_path / "run" / "epochs.csv").open() as file:
        epochs = list(csv.DictReader(file))
    assert [float(epoch["dev_loss"]) for epoch in epochs] == [epoch.dev_loss for epoch in outcome.epochs]
    kept = sorted(path.name for path in (tmp_path / "run" / "epochs").iterdir())
    assert kept == [f"epoch_{number:03d}" for number in range(1, 7)]
    best = read_weights(tmp_path / "run" / "best")
    assert_equal(best, read_weights(tmp_path / "run" / "epochs" / f"epoch_{outcome.best.epoch:03d}"))


def test_a_checkpoint_holds_the_trainable_weights_alone(load: Load, tmp_path: Path) -> None:
    loaded = load("llama")
    _, weights = run(loaded, "lora", tmp_path / "run")
    files = {path.name for path in (tmp_path / "run" / "last").iterdir()}
    assert files == {
        *("adapter_config.json", "adapter_model.safetensors"),
        *("trainer_state.json", "trainer_state.safetensors"),
    }
    assert_equal(read_weights(tmp_path / "run" / "last"), weights)
    numbers = sum(weight.numel() for weight in weights.values())
    # AdamW keeps two numbers for each weight.
    assert (tmp_path / "run" / "last" / "adapter_model.safetensors").stat().st_size < 4 * numbers + 4096
    assert (tmp_path / "run" / "last" / "trainer_state.safetensors").stat().st_size < 8 * numbers + 8192


def test_adapters_load_with_peft_and_whole_models_with_transformers(
    load: Load, tiny_llama_dir: Path, tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    _, weights = run(load("llama"), "lora", tmp_path / "lora")
    loaded = PeftModel.from_pretrained(load("llama").model, tmp_path / "lora" / "best")
    names = {name.replace(".default.", "."): weight for name, weight in loaded.named_parameters()}
    best = read_weights(tmp_path / "lora" / "best")
    assert best.keys() == weights.keys()
    assert all(torch.equal(names[name], best[name]) for name in best)
    _, weights = run(load("llama"), "full", tmp_path / "full")
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "full" / "last")
    assert_equal({name: weight.detach() for name, weight in whole.named_parameters()}, weights)


@pytest.mark.parametrize("precision", ["bf16-true", "bf16-mixed", "64-true"])
def test_number_formats_resume_too(precision: str, tiny_llama_dir: Path, tmp_path: Path) -> None:
    from finetune_cot.models.loading import load_model, weights_dtype

    def fresh() -> LoadedModel:
        return load_model(str(tiny_llama_dir), precision=precision, device="cpu")

    settings = replace(SETTINGS, precision=precision)
    _, weights = run(fresh(), "full", tmp_path / "whole", settings)
    with pytest.raises(StopError):
        run(fresh(), "full", tmp_path / "stopped", settings, stop_at=8)
    _, resumed = run(fresh(), "full", tmp_path / "stopped", settings)
    assert_equal(weights, resumed)
    assert {weight.dtype for weight in weights.values()} == {weights_dtype(precision)}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw_8bit"])
def test_optimizers_learn_and_resume(optimizer: str, load: Load, tmp_path: Path) -> None:
    settings = replace(SETTINGS, optimizer=optimizer)
    outcome, weights = run(load("llama"), "full", tmp_path / "whole", settings)
    assert outcome.epochs[-1].train_loss < outcome.epochs[0].train_loss
    with pytest.raises(StopError):
        run(load("llama"), "full", tmp_path / "stopped", settings, stop_at=8)
    _, resumed = run(load("llama"), "full", tmp_path / "stopped", settings)
    assert_equal(weights, resumed)


@pytest.mark.parametrize(
    "method", ["lora", "qlora", "layers", "full", pytest.param("adapter", marks=with_adapters)]
)
def test_gradient_checkpointing_changes_no_weights(method: str, load: Load, tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=1)
    _, plain = run(load("wide llama"), method, tmp_path / "plain", settings)
    checkpointing = replace(settings, gradient_checkpointing=True)
    _, saving = run(load("wide llama"), method, tmp_path / "saving", checkpointing)
    for name in plain:
        torch.testing.assert_close(plain[name], saving[name])


def test_dropout_is_on_while_training(load: Load, tmp_path: Path) -> None:
    """Models are loaded in evaluation mode, and GPT-2 has dropout of its own."""
    losses = []
    for probability in (0.1, 0.0):
        loaded = load("gpt2")
        for part in loaded.model.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = probability
        losses.append(run(loaded, "full", tmp_path / str(probability))[0].epochs[0].train_loss)
    assert losses[0] != losses[1]


def test_a_loss_that_is_no_number_stops_with_the_last_good_checkpoint(load: Load, tmp_path: Path) -> None:
    loaded = load("llama")

    def spoil(done: int) -> None:
        if done == 8:
            with torch.no_grad():
                loaded.model.get_input_embeddings().weight[0, 0] = math.nan

    model = student(loaded, "full")
    examples = samples(loaded, TRAIN)
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(TrainingError, match=r"the loss is nan in epoch 2, step 5; the last good checkpoint"):
        fine_tune(model, loaded.tokenizer.pad_token_id, examples, [], SETTINGS, folder, spoil)
    assert all(torch.isfinite(weight).all() for weight in read_weights(folder / "last").values())


def test_spoilt_weights_are_not_saved(load: Load, tmp_path: Path) -> None:
    settings = replace(SETTINGS, lr=1e30, gradient_clip=0.0, warmup=0.0, accumulate=1)
    with pytest.raises(TrainingError, match=r"no longer finite|the loss is"):
        run(load("llama"), "full", tmp_path / "run", settings)
    last = tmp_path / "run" / "last"
    assert not last.exists() or all(torch.isfinite(weight).all() for weight in read_weights(last).values())


def test_progress_counts_every_batch_of_the_run(load: Load, tmp_path: Path) -> None:
    loaded, told = load("llama"), []
    (tmp_path / "run").mkdir()
    model, examples = student(loaded, "lora"), samples(loaded, TRAIN)
    fine_tune(model, loaded.tokenizer.pad_token_id, examples, [], SETTINGS, tmp_path / "run", told.append)
    assert told == [0, *range(1, 16)]
    assert total_batches(TRAIN, SETTINGS) == 15


def test_nothing_is_said_on_the_terminal(
    load: Load, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(load("gpt2"), "full", tmp_path / "run")
    assert capfd.readouterr() == ("", "")
