"""`ftcot evaluate` as a function: published completions, base models, students, and folders."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from finetune_cot.artifacts.completions import read_completions
from finetune_cot.artifacts.ids import CompletionId, ModelMetadataId
from finetune_cot.artifacts.students import STUDENT_FILE, Student, write_student
from finetune_cot.cli.main import main
from finetune_cot.config.evaluate import EvaluateConfig
from finetune_cot.config.shared import DEFAULT_MODEL
from finetune_cot.errors import ArtifactError, ModelError, UsageError
from finetune_cot.pipeline.evaluate import evaluate
from tests.loopback import loopback

DATASET = "bundled_coin_flip"


def write_completions(
    path: Path, answers: list[list[str]], metadata: dict[str, object] | None = None
) -> None:
    """Completions to the first questions of the data set, as a published file would hold them."""
    from finetune_cot.tasks.procedural.registry import bundled_dataset

    data = {
        str(sample.sample_index): [
            {
                "sample_index": sample.sample_index,
                "completion_index": index,
                "question": sample.question,
                "answer": sample.answer,
                "prompt": "p",
                "completion": sample.answer if text == "right" else text,
            }
            for index, text in enumerate(texts)
        ]
        for sample, texts in zip(bundled_dataset(DATASET).samples, answers, strict=False)
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"metadata": {}, "data": data}))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("key", "correct", "n"),
    [
        ("multiarith", 472, 600),
        ("addsub", 282, 395),
        ("coin_flip", 457, 500),
        ("date_understanding", 249, 369),
    ],
)
def test_published_completions(key: str, correct: int, n: int, shared_data: Path) -> None:
    before = sorted(shared_data.rglob("*"))
    result = evaluate(
        EvaluateConfig(
            model_key="text-davinci-002",
            completion_key="zs_cot",
            dataset_key=key,
            split="all",
            saved_dir=shared_data,
            data_dir=shared_data,
        )
    )
    assert (result.correct, result.n, result.generated, result.reused) == (correct, n, 0, n)
    assert result.accuracy == correct / n
    assert result.stderr == pytest.approx(math.sqrt(correct / n * (1 - correct / n) / n))
    assert result.complete is None
    assert sorted(shared_data.rglob("*")) == before


def config(saved_dir: Path, **options: object) -> EvaluateConfig:
    given = {
        "model_key": "m",
        "dataset_key": DATASET,
        "split": "all",
        "limit": 4,
        "saved_dir": saved_dir,
        **options,
    }
    return EvaluateConfig(**given)  # type: ignore[arg-type]


def test_what_is_there_is_scored_and_what_is_missing_told(
    saved_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = CompletionId("m", "zs_cot", DATASET).path(saved_dir)
    write_completions(path, [["right"], ["right"], ["neither"]])
    before = tree(saved_dir)
    result = evaluate(config(saved_dir, generate=False))
    assert (result.n, result.correct, result.missing, result.reused) == (3, 2, 1, 3)
    assert [(task.task, task.n, task.correct) for task in result.tasks] == [("coin_flip", 3, 2)]
    assert "1 of 4 completions are missing" in capsys.readouterr().err
    assert evaluate(config(saved_dir, limit=3)).missing == 0
    assert tree(saved_dir) == before
    with pytest.raises(ArtifactError, match="there are no such completions"):
        evaluate(config(saved_dir, generate=False, completion_key="zs"))


def test_the_standard_error_of_several_completions_is_over_questions(saved_dir: Path) -> None:
    path = CompletionId("m", "zs_cot_t70", DATASET).path(saved_dir)
    write_completions(path, [["right", "right"], ["right", "?"], ["?", "?"], ["right", "right"]])
    result = evaluate(config(saved_dir, completion_key="zs_cot_t70", num_completions=2))
    assert (result.n, result.correct, result.accuracy) == (8, 5, 0.625)
    # Means of the questions: 1, 1/2, 0, 1.
    spread = (0.375**2 + 0.125**2 + 0.625**2 + 0.375**2) / 4
    assert result.stderr == pytest.approx(math.sqrt(spread / 4))


@pytest.mark.parametrize(
    "name",
    [
        f"F_data__T_lora__D_{DATASET}.json",
        f"D_{DATASET}__F_data__T_lora.json",
        f"F_data__D_{DATASET}.json",
        f"D_{DATASET}__F_data.json",
        f"D_{DATASET}__T_lora__F_data__E_003.json",
    ],
)
def test_published_students_in_every_order_of_names(name: str, saved_dir: Path) -> None:
    folder = saved_dir / "completion_data" / "B_m__C_ft_cot_token"
    write_completions(folder / name, [["So. --> right"]] * 4)
    write_completions(folder / f"F_data__T_other__D_{DATASET}__E_009.json", [["?"]] * 4)
    result = evaluate(config(saved_dir, finetune_key="data"))
    assert result.path.name == name
    assert result.completion_key == "ft_cot_token"
    assert result.n == 4
    assert result.epoch == (3 if "__E_" in name else None)


def test_of_several_epochs_the_last_one_counts(saved_dir: Path) -> None:
    folder = saved_dir / "completion_data" / "B_m__C_ft_cot_token"
    for epoch in (2, 10, 9):
        write_completions(folder / f"D_{DATASET}__T_lora__F_data__E_{epoch:03d}.json", [["?"]] * 4)
    assert evaluate(config(saved_dir, finetune_key="data")).epoch == 10
    assert evaluate(config(saved_dir, finetune_key="data", epoch=2)).path.name.endswith("E_002.json")


def test_options_that_contradict(saved_dir: Path) -> None:
    with pytest.raises(UsageError, match="a server knows a student by its own name"):
        evaluate(config(saved_dir, finetune_key="data", teacher="openai"))
    with pytest.raises(UsageError, match="--load-model-dir"):
        evaluate(config(saved_dir, finetune_key="data", load_model_dir=saved_dir))
    with pytest.raises(UsageError, match="greedy completions"):
        evaluate(config(saved_dir, num_completions=2))
    with pytest.raises(ArtifactError, match=r"no student of m .* see --finetune-key"):
        evaluate(config(saved_dir, finetune_key="data"))
    with pytest.raises(ArtifactError, match="no student of m"):
        evaluate(config(saved_dir, finetune_key="data", dry_run=True))
    with pytest.raises(ModelError, match="neither a checkpoint"):
        evaluate(config(saved_dir, load_model_dir=saved_dir))
    assert list(saved_dir.iterdir()) == []


def test_completions_of_a_server(saved_dir: Path) -> None:
    with loopback() as served:
        asked = config(saved_dir, teacher="openai", base_url=served.base_url, completion_key="zs")
        result = evaluate(asked)
        assert (result.generated, result.complete) == (4, 4)
        assert len(served.asked) == 4
    assert evaluate(replace(asked, base_url="http://127.0.0.1:9/v1")).reused == 4
    assert evaluate(config(saved_dir, completion_key="zs")).reused == 4  # no model is needed


def test_what_people_and_scripts_see(saved_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_completions(CompletionId("m", "zs_cot", DATASET).path(saved_dir), [["right"]] * 3 + [["?"]])
    arguments = ["evaluate", "--model-key", "m", "--dataset-key", DATASET, "--split", "all", "--limit", "4"]
    arguments += ["--saved-dir", str(saved_dir)]
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "accuracy 75.0% +- 21.7% (standard error): 3 of 4 right, bundled_coin_flip (all), zs_cot"
    )
    assert main([*arguments, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    counts = {"n", "correct", "contains_answer", "correct_format", "complete", "generated", "reused"}
    assert counts | {"accuracy", "stderr", "path", "tasks", "ungradable"} <= shown.keys()
    assert main([*arguments, "--dataset-key", "../x"]) == 2


@pytest.mark.models
def test_a_base_model_generates_only_what_is_missing(saved_dir: Path, tiny_llama_dir: Path) -> None:
    options = {"model_key": str(tiny_llama_dir), "max_reasoning_tokens": 5, "max_answer_tokens": 3}
    first = evaluate(config(saved_dir, **options))
    assert (first.generated, first.reused, first.n) == (4, 0, 4)
    before = tree(saved_dir)
    assert evaluate(config(saved_dir, **options)).reused == 4
    assert tree(saved_dir) == before
    # The lengths of the completions that are there are taken over.
    more = evaluate(config(saved_dir, model_key=str(tiny_llama_dir), limit=6))
    assert (more.generated, more.reused) == (2, 4)
    assert read_completions(more.path).metadata["max_reasoning_tokens"] == 5
    with pytest.raises(ArtifactError, match="max_reasoning_tokens 5, not 7"):
        evaluate(config(saved_dir, model_key=str(tiny_llama_dir), max_reasoning_tokens=7))


@pytest.mark.models
def test_another_model_of_the_same_name_is_not_taken_for_it(
    saved_dir: Path, tiny_llama_dir: Path, tmp_path: Path
) -> None:
    from tests.tiny_models import write_llama

    options = {"max_reasoning_tokens": 5, "max_answer_tokens": 3}
    evaluate(config(saved_dir, model_key=str(tiny_llama_dir), **options))
    other = write_llama(tmp_path / "other" / tiny_llama_dir.name, seed=1)
    with pytest.raises(ArtifactError, match="holds completions of other weights"):
        evaluate(config(saved_dir, model_key=str(other), **options))


@pytest.mark.models
def test_a_student_by_its_keys_and_again_after_more_training(saved_dir: Path, tiny_llama_dir: Path) -> None:
    checkpoint = write_checkpoint(saved_dir, tiny_llama_dir, seed=1)
    asked = config(
        saved_dir,
        model_key=str(tiny_llama_dir),
        finetune_key="data",
        max_reasoning_tokens=5,
    )
    first = evaluate(asked)
    base = tiny_llama_dir.name
    expected = CompletionId(base, "ft_cot_token", DATASET, "data", "lora").path(saved_dir)
    assert (first.path, first.generated, first.train_key) == (expected, 4, "lora")
    prompts = [completion.prompt for completion in read_completions(first.path).completions]
    assert all(prompt.endswith(" ###") for prompt in prompts)
    assert evaluate(asked).reused == 4

    by_folder = evaluate(config(saved_dir, model_key=DEFAULT_MODEL, load_model_dir=checkpoint))
    assert (by_folder.path, by_folder.reused) == (expected, 4)

    write_adapter(checkpoint / "last", tiny_llama_dir, seed=2)
    before = first.path.read_bytes()
    for attempt in (asked, replace(asked, generate=False), replace(asked, dry_run=True)):
        with pytest.raises(ArtifactError, match=r"holds completions of other weights.*--overwrite"):
            evaluate(attempt)
    assert first.path.read_bytes() == before
    again = evaluate(replace(asked, overwrite=True))
    assert (again.generated, again.reused) == (4, 0)
    assert first.path.read_bytes() != before
    assert evaluate(replace(asked, overwrite=True)).reused == 4
    with pytest.raises(ArtifactError, match="this student has no run 1"):
        evaluate(replace(asked, run=1))


@pytest.mark.models
def test_folders_without_metadata(saved_dir: Path, tiny_llama_dir: Path, tmp_path: Path) -> None:
    write_adapter(tmp_path / "my-adapter", tiny_llama_dir, seed=1)
    adapter = tmp_path / "my-adapter"
    asked = config(saved_dir, model_key=DEFAULT_MODEL, load_model_dir=adapter, max_reasoning_tokens=5)
    result = evaluate(replace(asked, max_answer_tokens=3))
    assert (result.model, result.finetune_key, result.train_key) == (
        tiny_llama_dir.name,
        "my-adapter",
        "adapter",
    )
    assert (result.completion_key, result.generated) == ("zs_cot", 4)
    shutil.copytree(tiny_llama_dir, tmp_path / "my-model")
    whole = evaluate(
        config(saved_dir, load_model_dir=tmp_path / "my-model", completion_key="zs", max_reasoning_tokens=5)
    )
    assert (whole.model, whole.finetune_key, whole.generated) == ("my-model", None, 4)


def write_checkpoint(saved_dir: Path, base: Path, seed: int) -> Path:
    """What `train` leaves of a student, as far as `evaluate` looks at it."""
    name = "checkpoints/data_tiny_lora_r_2_run_0"
    student = Student(
        model_key=str(base),
        finetune_key="data",
        train_key="lora",
        method="lora",
        template="ft_cot_token",
        checkpoints={"0": name},
        training_samples=1,
    )
    write_adapter(saved_dir / name / "last", base, seed)
    write_student(ModelMetadataId(base.name, "data", "lora").path(saved_dir), student)
    write_student(saved_dir / name / STUDENT_FILE, student)
    return saved_dir / name


def write_adapter(folder: Path, base: Path, seed: int) -> None:
    """A LoRA adapter with random matrices, large enough to change answers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    settings = LoraConfig(r=2, lora_alpha=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings)
    model.save_pretrained(str(folder))


@pytest.mark.parametrize("precision", ["16", "16-true", "transformer-engine"])
def test_a_precision_that_this_device_has_not_leaves_nothing(
    precision: str, tiny_llama_dir: Path, saved_dir: Path
) -> None:
    for dry_run in (True, False):
        with pytest.raises(UsageError, match=r"--precision: .* needs a"):
            evaluate(
                EvaluateConfig(
                    model_key=str(tiny_llama_dir),
                    dataset_key=DATASET,
                    precision=precision,
                    device="cpu",
                    saved_dir=saved_dir,
                    dry_run=dry_run,
                )
            )
    assert tree(saved_dir) == {}
