import json
from pathlib import Path

import pytest

from finetune_cot.errors import DataError
from finetune_cot.prompts.few_shot import EXEMPLARS, few_shot_prompts, own_exemplars
from finetune_cot.prompts.templates import prompt_text
from finetune_cot.tasks.procedural.registry import bundled_dataset, generate_samples, procedural_tasks
from finetune_cot.tasks.reasoning import load_dataset
from finetune_cot.tasks.sample import AnswerFormat, Dataset, Sample

PUBLISHED_COUNTS = {
    **dict.fromkeys(("addsub", "single_eq", "multiarith", "gsm8k", "svamp"), 8),
    **dict.fromkeys(("last_letter_concatenation", "coin_flip"), 8),
    **{"aqua": 4, "date_understanding": 6, "commonsense_qa": 7, "strategy_qa": 6},
}


def _dataset(key: str, task: str | None = None, question: str = "Why?") -> Dataset:
    task = task or key
    return Dataset(key, (Sample(0, question, "yes", task),), "here", {task: AnswerFormat("yes_no")})


def _questions(prompt: str) -> list[str]:
    return [line.removeprefix("Q: ") for line in prompt.splitlines() if line.startswith("Q: ")]


@pytest.mark.parametrize("key", PUBLISHED_COUNTS)
def test_published_exemplars(shared_data: Path, key: str) -> None:
    dataset = load_dataset(key, shared_data)
    (prompt,) = few_shot_prompts(dataset, shared_data).values()
    assert len(_questions(prompt)) == prompt.count("\nA: ") == PUBLISHED_COUNTS[key]
    assert prompt.count("The answer is") == PUBLISHED_COUNTS[key]
    asked = prompt_text("fs_cot", dataset.samples[0].question, few_shot=prompt)
    assert asked == f"{prompt}\nQ: {dataset.samples[0].question}\nA:"
    assert "\n\nQ:" not in asked
    assert "\nQ:\nQ:" not in asked


def test_no_published_exemplars_for_tracking_shuffled_objects(shared_data: Path) -> None:
    with pytest.raises(DataError, match="no few-shot exemplars for tracking_shuffled_objects"):
        few_shot_prompts(load_dataset("tracking_shuffled_objects", shared_data), shared_data)


def test_bundled_tasks_have_exemplars_without_a_data_folder() -> None:
    prompts = few_shot_prompts(bundled_dataset("bundled"), None)
    assert list(prompts) == list(procedural_tasks())


@pytest.mark.parametrize("task", procedural_tasks())
def test_own_exemplars_are_no_questions_of_the_data_set(task: str) -> None:
    prompt = own_exemplars(task)
    lines = prompt.splitlines()
    assert len(lines) == 2 * EXEMPLARS
    assert all(line.startswith("Q: ") for line in lines[::2])
    assert all(line.startswith("A: ") and " The answer is " in line for line in lines[1::2])
    assert all(line.endswith(".") for line in lines[1::2])
    bundled = {sample.question for sample in generate_samples(task, 300)}
    assert not bundled & set(_questions(prompt))
    assert len(set(_questions(prompt))) == EXEMPLARS


def test_own_exemplars_avoid_the_questions_given() -> None:
    first = own_exemplars("coin_flip")
    others = own_exemplars("coin_flip", _questions(first))
    assert not set(_questions(first)) & set(_questions(others))


def test_own_exemplars_show_both_answers_equally_often() -> None:
    prompt = own_exemplars("coin_flip")
    assert prompt.count("The answer is yes.") == prompt.count("The answer is no.") == EXEMPLARS / 2


def test_generated_data_set_of_a_bundled_task_takes_ours() -> None:
    prompts = few_shot_prompts(_dataset("coins", "coin_flip"), None)
    assert prompts == {"coin_flip": own_exemplars("coin_flip")}
    assert few_shot_prompts(_dataset("bundled_coin_flip_9", "coin_flip"), None) == prompts


def test_variant_takes_the_exemplars_of_its_data_set(tmp_path: Path) -> None:
    stored = {"coin_flip": {"prompt": "Q: Heads?\nA: Yes. The answer is yes.\n"}}
    (tmp_path / "few_shot_cot_prompts.json").write_text(json.dumps(stored), encoding="utf-8")
    prompts = few_shot_prompts(_dataset("coin_flip-hard"), tmp_path)
    assert prompts == {"coin_flip-hard": "Q: Heads?\nA: Yes. The answer is yes."}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there are no few-shot exemplars"),
        ("[]", "is no object by data set"),
        ('{"coin_flip": {}}', "the `prompt` of coin_flip is missing"),
        ('{"coin_flip": {"prompt": "Q', "JSON"),
    ],
)
def test_missing_or_torn_file_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "few_shot_cot_prompts.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        few_shot_prompts(_dataset("coin_flip"), tmp_path)
    assert str(path) in str(caught.value)
