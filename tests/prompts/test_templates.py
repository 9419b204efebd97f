import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_cot.errors import UsageError
from finetune_cot.prompts.templates import (
    STOP_PHRASE,
    TEMPLATES,
    answer_messages,
    answer_prefixes,
    answer_prompt,
    chat_messages,
    is_finetune,
    is_two_step,
    prompt_text,
    stop_strings,
    temperature_of,
    template_of,
    training_segments,
)

QUESTION = "Ann has 3 apples and buys 4. How many are there?"
REASONING = "3 + 4 = 7 apples."


@pytest.mark.parametrize(
    ("template", "model_type", "expected"),
    [
        ("zs", "decoder", "Q: Ann has 3 apples and buys 4. How many are there?\n\nA:"),
        ("zs", "encoder_decoder", "question: Ann has 3 apples and buys 4. How many are there?"),
        (
            "zs_cot",
            "decoder",
            "Q: Ann has 3 apples and buys 4. How many are there?\nA: Let's think step by step.",
        ),
        (
            "zs_cot",
            "encoder_decoder",
            "Q: Ann has 3 apples and buys 4. How many are there?\nA: Let's think step by step.",
        ),
        ("ft_token", "decoder", "Ann has 3 apples and buys 4. How many are there? ###"),
        ("ft_token", "encoder_decoder", "Ann has 3 apples and buys 4. How many are there?"),
        ("ft_natural", "decoder", "Q: Ann has 3 apples and buys 4. How many are there?\n\nA:"),
        ("ft_natural", "encoder_decoder", "Q: Ann has 3 apples and buys 4. How many are there?"),
        ("ft_cot_token", "decoder", "Ann has 3 apples and buys 4. How many are there? ###"),
        ("ft_cot_token", "encoder_decoder", "Ann has 3 apples and buys 4. How many are there?"),
        (
            "ft_cot_natural",
            "decoder",
            "Q: Ann has 3 apples and buys 4. How many are there?\n\nA: Let's think step by step.\n\n",
        ),
    ],
)
def test_prompts_are_worded_as_published(template: str, model_type: str, expected: str) -> None:
    assert prompt_text(template, QUESTION, model_type) == expected
    assert prompt_text(template, f" {QUESTION}\n", model_type) == expected


@pytest.mark.parametrize(
    ("template", "model_type", "expected"),
    [
        ("ft_token", "decoder", " 7"),
        ("ft_token", "encoder_decoder", "7"),
        ("ft_natural", "decoder", " 7"),
        ("ft_natural", "encoder_decoder", "7"),
        ("ft_cot_token", "decoder", " 3 + 4 = 7 apples. --> 7"),
        ("ft_cot_token", "encoder_decoder", "3 + 4 = 7 apples. --> 7"),
        ("ft_cot_natural", "decoder", " 3 + 4 = 7 apples.\n\nTherefore the answer is 7"),
    ],
)
def test_labels_are_worded_as_published(template: str, model_type: str, expected: str) -> None:
    prompt, label = training_segments(template, model_type, QUESTION, f" \n\n{REASONING}\n", " 7 ")
    assert (prompt.text, prompt.labelled) == (prompt_text(template, QUESTION, model_type), False)
    assert (label.text, label.labelled) == (expected, True)


def test_few_shot_exemplars_come_first() -> None:
    exemplars = "Q: What is 1 + 1?\nA: 1 + 1 = 2. The answer is 2."
    expected = "Q: What is 1 + 1?\nA: 1 + 1 = 2. The answer is 2.\nQ: What is 2 + 2?\nA:"
    assert prompt_text("fs_cot", "What is 2 + 2?", few_shot=exemplars) == expected
    assert prompt_text("fs_cot", "What is 2 + 2?", few_shot=f"{exemplars}\n") == expected
    with pytest.raises(UsageError, match="needs few-shot exemplars"):
        prompt_text("fs_cot", "What is 2 + 2?")


def test_answer_is_asked_for_after_the_reasoning_as_it_was_written() -> None:
    step = answer_prompt(prompt_text("zs_cot", "Why?"), " \n\nBecause. ")
    assert step == "Q: Why?\nA: Let's think step by step. \n\nBecause. \nTherefore, the answer is"


def test_chat_has_the_same_two_turns() -> None:
    first = {"role": "user", "content": "Q: Why?\nA: Let's think step by step."}
    assert chat_messages("zs_cot", "Why?") == [first]
    assert answer_messages("Why?", "Because.") == [
        first,
        {"role": "assistant", "content": "Because."},
        {"role": "user", "content": "Therefore, the answer is"},
    ]


def test_what_templates_are() -> None:
    assert [name for name in TEMPLATES if is_two_step(name)] == ["zs_cot"]
    assert {name for name in TEMPLATES if is_finetune(name)} == {
        *("ft_token", "ft_natural", "ft_cot_token", "ft_cot_natural", "classify")
    }
    assert {name: answer_prefixes(name) for name in TEMPLATES if answer_prefixes(name)} == {
        "fs_cot": ("The answer is",),
        "ft_cot_token": ("-->",),
        "ft_cot_natural": ("Therefore, the answer is", "Therefore the answer is"),
    }
    assert {name: stop_strings(name) for name in TEMPLATES if stop_strings(name)} == {"fs_cot": ("\nQ:",)}
    assert STOP_PHRASE == " END"


@pytest.mark.parametrize("template", [name for name in TEMPLATES if is_finetune(name)])
def test_label_names_the_answer_after_its_prefix(template: str) -> None:
    label = training_segments(template, "decoder", QUESTION, REASONING, "7")[1].text
    prefixes = answer_prefixes(template)
    assert not prefixes or any(label.endswith(f"{prefix} 7") for prefix in prefixes)


@pytest.mark.parametrize(
    ("key", "template", "temperature"),
    [
        ("zs_cot", "zs_cot", 0.0),
        ("zs_cot_t70", "zs_cot", 0.7),
        ("fs_cot_t70", "fs_cot", 0.7),
        ("ft_cot_token", "ft_cot_token", 0.0),
        ("zs_t100", "zs", 1.0),
    ],
)
def test_completion_keys(key: str, template: str, temperature: float) -> None:
    assert (template_of(key), temperature_of(key)) == (template, temperature)


@pytest.mark.parametrize("key", ["zscot", "zs_cot_t", "zs_cot_t70_t70", "zs_cot_70", "", "t70", "zs_t7000"])
def test_unknown_completion_keys_are_refused(key: str) -> None:
    with pytest.raises(UsageError, match=f"there is no completion key '{key}'"):
        template_of(key)


def test_unknown_template_comes_with_a_guess() -> None:
    with pytest.raises(UsageError, match="did you mean zs_cot"):
        prompt_text("zscot", QUESTION)
    with pytest.raises(UsageError, match="there is no completion key 'zs_cots_t70'; did you mean zs_cot"):
        template_of("zs_cots_t70")


def test_templates_are_refused_where_they_do_not_fit() -> None:
    with pytest.raises(UsageError, match="not for encoder-decoder models"):
        prompt_text("ft_cot_natural", QUESTION, "encoder_decoder")
    with pytest.raises(UsageError, match="no model type 'encoder'"):
        prompt_text("zs", QUESTION, "encoder")
    with pytest.raises(UsageError, match="not for training; use ft_token, ft_natural, ft_cot_token"):
        training_segments("zs_cot", "decoder", QUESTION, REASONING, "7")
    with pytest.raises(UsageError, match=r"needs rationales.*; use ft_token"):
        training_segments("ft_cot_token", "decoder", QUESTION, None, "7")


@given(st.text(), st.text(), st.text())
def test_braces_in_texts_are_kept(question: str, reasoning: str, answer: str) -> None:
    prompt, label = training_segments("ft_cot_token", "decoder", question, reasoning, answer)
    assert prompt.text == question.strip() + " ###"
    assert label.text == f" {reasoning.strip()} --> {answer.strip()}"


@pytest.mark.parametrize("dataset", ["multiarith", "addsub", "coin_flip", "date_understanding"])
def test_published_prompts_are_reproduced(shared_data: Path, dataset: str) -> None:
    folder = shared_data / "completion_data" / "B_text-davinci-002__C_zs_cot"
    content = json.loads((folder / f"D_{dataset}.json").read_text(encoding="utf-8"))
    for (record,) in content["data"].values():
        assert prompt_text("zs_cot", record["question"]) == record["reasoning_prompt"]


def test_a_student_of_messages_is_asked_the_bare_question() -> None:
    assert chat_messages("ft_cot_token", " 1 + 1? ") == [{"role": "user", "content": "1 + 1?"}]
    assert chat_messages("zs", "1 + 1?") == [{"role": "user", "content": "Q: 1 + 1?\n\nA:"}]
