"""Parameters that servers refuse, and how that is learnt from what they say."""

import pytest

from finetune_cot.teachers.dialect import Dialect, wanted_parameters
from finetune_cot.teachers.protocol import Recipe

WANTED = {"max_tokens": 9, "temperature": 0.7, "stop": ["\nQ:"], "seed": 3, "n": 4}


def after(message: str, parameter: str | None = None, chat: bool = True) -> dict[str, object] | None:
    """What is sent after a refusal; None where nothing could be learnt."""
    dialect = Dialect(is_openai=False, chat=chat)
    learnt = dialect.learn(message, parameter, dialect.parameters(WANTED))
    return dialect.parameters(WANTED) if learnt else None


def test_only_what_is_set_is_wanted() -> None:
    assert wanted_parameters(Recipe("zs"), 9, 0) == {"max_tokens": 9, "temperature": 0.0}
    assert wanted_parameters(Recipe("fs_cot", temperature=0.7), 9, 0)["stop"] == ["\nQ:"]


def test_openai_is_asked_in_its_own_way() -> None:
    assert Dialect(is_openai=True, chat=True).parameters({"max_tokens": 9, "temperature": 1}) == {
        "max_completion_tokens": 9
    }
    assert Dialect(is_openai=True, chat=False).parameters({"max_tokens": 9, "temperature": 0}) == {
        "max_tokens": 9,
        "temperature": 0,
    }


@pytest.mark.parametrize(
    ("message", "parameter", "gone"),
    [
        (
            "Unsupported value: 'temperature' does not support 0.7.",
            "temperature",
            "temperature",
        ),
        ("Unexpected keys in the request: {'seed'}", None, "seed"),  # transformers serve
        ("[{'loc': ['body', 'stop'], 'msg': 'Extra inputs are not permitted'}]", None, "stop"),
        ("n must be 1", None, "n"),
        ("Unsupported parameter: 'n'", None, "n"),
    ],
)
def test_what_is_refused_is_left_out(message: str, parameter: str | None, gone: str) -> None:
    assert after(message, parameter) == {name: value for name, value in WANTED.items() if name != gone}


def test_the_limit_has_two_names() -> None:
    message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    assert after(message) == {
        "max_completion_tokens": 9,
        **{k: v for k, v in WANTED.items() if k != "max_tokens"},
    }
    assert after(message, chat=False) is None


def test_many_requests_learn_the_same_at_once() -> None:
    dialect = Dialect(is_openai=False, chat=True)
    sent = dialect.parameters(WANTED)
    for _ in range(3):
        assert dialect.learn("'max_tokens' is not supported", None, sent)
        assert dialect.learn("'seed' is not supported", None, sent)
    assert dialect.parameters(WANTED)["max_completion_tokens"] == 9
    assert not dialect.learn("'max_completion_tokens' is too large", None, dialect.parameters(WANTED))


@pytest.mark.parametrize("message", ["no such model", "temperature must be at most 2", "seen in n places"])
def test_what_is_no_refusal_of_a_parameter(message: str) -> None:
    assert after(message) is None
