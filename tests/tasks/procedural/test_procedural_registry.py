import re
import subprocess
import sys
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_cot.errors import DataError, UsageError
from finetune_cot.tasks.procedural.generation import different_problems
from finetune_cot.tasks.procedural.problem import Problem, ProceduralTask
from finetune_cot.tasks.procedural.registry import (
    bundled_dataset,
    bundled_keys,
    generate_samples,
    is_bundled,
    procedural_tasks,
)
from finetune_cot.tasks.sample import AnswerFormat

TASKS = sorted(procedural_tasks())

PINNED = {
    "one_step_word_problem": (
        "Elif has 17 flags and buys 6 more. How many flags does Elif have now?",
        "23",
    ),
    "two_step_word_problem": (
        "Marek found 27 cookies on Friday, 15 on Saturday and 26 on Sunday. How many cookies is that in all?",
        "68",
    ),
    "three_step_word_problem": (
        "Elif bought 5 packs with 3 biscuits each. 7 of the biscuits were damaged, and Elif got 4 new "
        "ones. How many good biscuits does Elif have?",
        "12",
    ),
    "small_addition": (
        "Work out 49 + 38.",
        "87",
    ),
    "digit_addition": (
        "Use column addition to find 976 + 964.",
        "1940",
    ),
    "noisy_digit_addition": (
        "Use column addition to find 196 + 209.",
        "1794",
    ),
    "digit_subtraction": (
        "Subtract 1688 from 3679 digit by digit.",
        "1991",
    ),
    "multiplication_by_steps": (
        "Multiply 64 by 36.",
        "2304",
    ),
    "sequence_continuation": (
        "Continue the sequence 6, 18, 54, 162 by one number.",
        "486",
    ),
    "unit_conversion": (
        "Convert 202000 milliliters to liters.",
        "202",
    ),
    "list_maximum": (
        "Which is the largest number in this list: 752, 683, 352, 616, 90, 996?",
        "996",
    ),
    "compare_numbers": (
        "Here are two numbers: 5800 and 3447. Which one is larger?",
        "5800",
    ),
    "compare_word_lengths": (
        'Is "evening" or "pillow" the longer word?',
        "evening",
    ),
    "sort_numbers": (
        "Arrange these numbers from largest to smallest: 26, 16, 25, 75, 36.",
        "75, 36, 26, 25, 16",
    ),
    "sort_words": (
        "Sort glove, yellow, horizon and galaxy from A to Z.",
        "galaxy, glove, horizon, yellow",
    ),
    "count_items": (
        "A child has drawn an owl, an otter, a hedgehog, an axe and a scarf. How many animals are there?",
        "3",
    ),
    "count_letter": (
        'Count the letter o in "window oak glove".',
        "3",
    ),
    "last_letter_concatenation": (
        'What do you get when you join the final letters of "Sofia Thabo Zainab Vera"?',
        "aoba",
    ),
    "reverse_word": (
        'How is "zinigi" spelled backwards?',
        "iginiz",
    ),
    "remove_vowels": (
        'Leave out every vowel (a, e, i, o, u) of "chair barrel". What is left?',
        "chr brrl",
    ),
    "replace_letter": (
        'What does "meadow garlic" become when each r is changed to u?',
        "meadow gaulic",
    ),
    "coin_flip": (
        "A coin shows heads. Milan does not touch it. Bela only looks at it. Ada leaves it as it is. Is "
        "heads on top at the end?",
        "yes",
    ),
    "tracking_shuffled_objects": (
        "Pavel holds the silver ring, Jonas holds the brass bell and Ilse holds the red scarf. First, "
        "Ilse and Pavel swap what they hold. Then, Ilse and Jonas swap what they hold. Finally, Jonas "
        "and Ilse swap what they hold. What does Ilse hold in the end? Options: (A) the brass bell, (B) "
        "the red scarf, (C) the silver ring.",
        "C",
    ),
    "clock_time": (
        "The rehearsal starts at 13:25. What time is it when 230 minutes have passed?",
        "17:15",
    ),
    "weekday_shift": (
        "Rania started a diary on a Thursday. What day of the week had it been 28 days earlier?",
        "Thursday",
    ),
    "date_shift": (
        "A fair opens exactly 37 days after 18 January 2003. On which date is that? Write it as year-"
        "month-day, like 2005-01-30.",
        "2003-02-24",
    ),
    "days_between": (
        "How many days pass between 22 January 2023 and 27 February 2023?",
        "36",
    ),
    "parity": (
        "Is 997 * 420 an even number?",
        "yes",
    ),
    "boolean_expression": (
        "Evaluate (not False or False) and (False and not False). Does it come out true?",
        "no",
    ),
    "transitive_order": (
        "Ingrid is slower than Thabo. Ingrid is faster than Noor. Tamar is slower than Noor. Who is the "
        "slowest? Options: (A) Thabo, (B) Noor, (C) Tamar, (D) Ingrid.",
        "C",
    ),
}
"""The first sample of each task for seed 2; the answers were found by hand."""

ANSWER_FORMS = {
    "number": r"-?\d+(\.\d+)?",
    "yes_no": r"yes|no",
    "choice": r"[A-E]",
    "letters": r"[A-Za-z0-9 ,:-]+",
}

seeds = st.integers(0, 2**31)


@pytest.mark.parametrize("task", TASKS)
def test_pinned_sample(task: str) -> None:
    (sample,) = generate_samples(task, 1, seed=2)
    assert (sample.question, sample.answer) == PINNED[task]


@pytest.mark.parametrize("task", TASKS)
@given(seed=seeds, count=st.integers(0, 12), more=st.integers(0, 12))
@settings(max_examples=10, deadline=None)
def test_fewer_samples_are_a_prefix_of_more(task: str, seed: int, count: int, more: int) -> None:
    samples = generate_samples(task, count + more, seed)
    assert generate_samples(task, count, seed) == samples[:count]
    assert generate_samples(task, more, seed, start_index=count) == samples[count:]


@pytest.mark.parametrize("task", TASKS)
def test_five_thousand_different_questions(task: str) -> None:
    samples = generate_samples(task, 5000, seed=1)
    assert len({sample.question for sample in samples}) == 5000
    assert [sample.sample_index for sample in samples] == list(range(5000))
    assert {sample.task for sample in samples} == {task}


@pytest.mark.parametrize("task", TASKS)
@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_text_is_well_formed(task: str, seed: int) -> None:
    form = procedural_tasks()[task].answer_format
    for sample in generate_samples(task, 10, seed):
        assert re.fullmatch(ANSWER_FORMS[form.kind], sample.answer)
        last_sentence = re.split(r"(?<=[.:]) ", sample.rationale)[-1]
        assert re.search(rf"\b{re.escape(sample.answer)}\b", last_sentence), sample.rationale
        assert sample.question[-1] in "?."
        assert sample.rationale.endswith(".")
        for text in (sample.question, sample.rationale):
            assert not re.search(r"  |\n|-->|###|[{}]|answer is|\.\.| ,", text), text
            assert not re.search(r"(?<![\d:.-])1 (days|weeks|hours|minutes|digits|times)\b", text), text
        if form.kind == "choice":
            assert sample.answer in form.choices
            assert re.findall(r"\((\w)\)", sample.question) == list(form.choices)


@pytest.mark.parametrize("task", TASKS)
def test_no_answer_can_be_guessed(task: str) -> None:
    commonest = Counter(sample.answer for sample in generate_samples(task, 1000)).most_common(1)[0][1]
    assert commonest < (560 if procedural_tasks()[task].answer_format.kind == "yes_no" else 450)


def test_seeds_give_different_samples() -> None:
    for task in TASKS:
        assert generate_samples(task, 5, seed=0) != generate_samples(task, 5, seed=1)


def test_families_and_levels() -> None:
    tasks = procedural_tasks()
    assert len(tasks) == 30
    assert {task.level for task in tasks.values()} == {1, 2, 3}
    assert len({task.family for task in tasks.values()}) == 10
    assert all(key == task.key for key, task in tasks.items())


def test_an_exhausted_task_says_how_many_questions_it_has() -> None:
    def generate(rng: Random) -> Problem:
        digit = rng.choice("123")
        return Problem(f"What is {digit}?", f"It is {digit}.", digit)

    tiny = ProceduralTask("tiny", "tests", 1, AnswerFormat("number"), generate)
    assert sorted(problem.answer for problem in different_problems(tiny, 3, seed=0)) == ["1", "2", "3"]
    with pytest.raises(DataError, match="tiny has only 3 different questions, not 4"):
        different_problems(tiny, 4, seed=0)


def test_unknown_tasks_are_named_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no bundled task 'juggling'.*choose one of: .*coin_flip"):
        generate_samples("juggling", 1)
    with pytest.raises(UsageError, match="no bundled data set 'bundled_juggling'"):
        bundled_dataset("bundled_juggling")


def test_keys_of_the_bundled_data_sets() -> None:
    assert set(bundled_keys()) == {"bundled", *(f"bundled_{task}" for task in TASKS)}
    assert is_bundled("bundled")
    assert is_bundled("bundled_coin_flip")
    assert not is_bundled("coin_flip")
    assert not is_bundled("bundled_")


def test_data_set_of_one_task() -> None:
    dataset = bundled_dataset("bundled_coin_flip", seed=4)
    assert dataset.samples == generate_samples("coin_flip", 300, seed=4)
    assert dataset.answer_formats == {"coin_flip": AnswerFormat("yes_no")}
    assert dataset.source == "generated from seed 4"


def test_in_the_data_set_of_all_tasks_they_take_turns() -> None:
    dataset = bundled_dataset("bundled")
    assert len(dataset.samples) == 30 * len(TASKS)
    assert [sample.sample_index for sample in dataset.samples] == list(range(len(dataset.samples)))
    assert dataset.tasks == tuple(procedural_tasks())
    for sample in dataset.samples:
        assert sample.task == dataset.tasks[sample.sample_index % len(TASKS)]
    assert bundled_dataset("bundled", count_per_task=2).samples == dataset.samples[: 2 * len(TASKS)]


def test_samples_do_not_depend_on_the_hash_seed() -> None:
    program = (
        "from finetune_cot.tasks.procedural.registry import bundled_dataset;"
        "from hashlib import sha256;"
        "print(sha256(repr(bundled_dataset('bundled', 5).samples).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
