import re
from collections.abc import Callable

import pytest

from finetune_cot.tasks.procedural.registry import generate_samples

CheckAnswers = Callable[[str, Callable[[str], str | None]], None]


@pytest.fixture(scope="session")
def check_answers() -> CheckAnswers:
    """Compares the answers of a task with those that a solver finds from the questions alone."""

    def check(task_key: str, solve: Callable[[str], str | None]) -> None:
        for sample in generate_samples(task_key, 300, seed=11):
            assert solve(sample.question) == sample.answer, sample.question

    return check


@pytest.fixture(scope="session")
def check_equations() -> Callable[[str], None]:
    """Works out every calculation that the rationales of a task write down."""

    def check(task_key: str) -> None:
        found = 0
        for sample in generate_samples(task_key, 300, seed=12):
            for left, right in re.findall(r"(-?\d+(?: [-+*/] \d+)+) = (-?\d+)", sample.rationale or ""):
                assert eval(left) == int(right), sample.rationale
                found += 1
        assert found >= 300

    return check
