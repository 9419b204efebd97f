import re

import pytest

from finetune_cot.tasks.procedural.registry import generate_samples


def numbers(question: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", question)]


def product(question: str) -> str:
    a, b = numbers(question)
    return str(a * b)


def test_sums(check_answers) -> None:
    check_answers("small_addition", lambda question: str(sum(numbers(question))))
    check_answers("digit_addition", lambda question: str(sum(numbers(question))))


def test_differences(check_answers) -> None:
    check_answers("digit_subtraction", lambda question: str(max(numbers(question)) - min(numbers(question))))


def test_products(check_answers) -> None:
    check_answers("multiplication_by_steps", product)


@pytest.mark.parametrize(
    "task", ["small_addition", "digit_addition", "digit_subtraction", "multiplication_by_steps"]
)
def test_every_step_is_right(task: str, check_equations) -> None:
    check_equations(task)


def test_the_written_digits_make_the_sum() -> None:
    for task in ("digit_addition", "noisy_digit_addition"):
        for sample in generate_samples(task, 300, seed=3):
            digits = re.findall(r"write (\d)", sample.rationale)
            assert int("".join(reversed(digits))) == int(sample.answer)


def test_noisy_sums_are_always_wrong() -> None:
    for sample in generate_samples("noisy_digit_addition", 2000, seed=5):
        assert int(sample.answer) != sum(numbers(sample.question))


def test_noise_has_the_questions_of_digit_addition() -> None:
    def wordings(task: str) -> set[str]:
        return {re.sub(r"\d+", "0", sample.question) for sample in generate_samples(task, 100)}

    assert wordings("noisy_digit_addition") == wordings("digit_addition")


def test_borrowing_across_a_zero_by_hand() -> None:
    sample = next(
        sample
        for sample in generate_samples("digit_subtraction", 2000)
        if re.search(
            r"Tens: 0 - 1 = -1 after lending; -1 is less than 4, so borrow 10; 9 - 4 = 5", sample.rationale
        )
    )
    assert int(sample.answer) // 10 % 10 == 5
