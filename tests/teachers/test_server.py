"""The teacher behind OpenAI's interface, against a real server on loopback."""

import json
import logging
from collections.abc import Iterable

import pytest

from finetune_cot.artifacts.completions import Completion
from finetune_cot.errors import TeacherError
from finetune_cot.teachers.access import API_KEY, server_access
from finetune_cot.teachers.asking import Server
from finetune_cot.teachers.protocol import Failure, Recipe, TeachRequest
from finetune_cot.teachers.server import OpenAITeacher
from finetune_cot.teachers.session import MOST_CHOICES
from tests.loopback import Asked, Reply, completion_reply, error_reply, loopback, reply_of
from tests.teachers.samples import ANN, BEN, requests

KEY = "sk-secret-of-the-user"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def server(base_url: str | None, **options: object) -> Server:
    return Server("m", server_access(base_url, API_KEY), **{"max_retries": 0, **options})  # type: ignore[arg-type]


def answers(
    teacher: OpenAITeacher, recipe: Recipe, asked: list[TeachRequest], done: Iterable[tuple[int, int]] = ()
) -> list[Completion | Failure]:
    found = [answer for batch in teacher.teach(asked, recipe, set(done)) for answer in batch]
    return sorted(found, key=lambda answer: answer.key)


def test_two_turns_of_a_chat() -> None:
    replies = {1: " 3 + 4 is 7.", 3: " 7"}
    with loopback(lambda asked: (200, reply_of(asked, replies[len(asked.body["messages"])]))) as served:
        teacher = OpenAITeacher(server(served.base_url))
        [completion] = answers(teacher, Recipe("zs_cot", chat=True), requests())
    question = "Q: Ann has 3 apples and buys 4. How many?\nA: Let's think step by step."
    assert [asked.body for asked in served.asked] == [
        {
            "model": "m",
            "messages": [{"role": "user", "content": question}],
            "max_tokens": 128,
            "temperature": 0.0,
        },
        {
            "model": "m",
            "messages": [
                {"role": "user", "content": question},
                {"role": "assistant", "content": " 3 + 4 is 7."},
                {"role": "user", "content": "Therefore, the answer is"},
            ],
            "max_tokens": 32,
            "temperature": 0.0,
        },
    ]
    assert completion == Completion(
        sample_index=7,
        completion_index=0,
        question=ANN.question,
        answer="7",
        prompt=f"{question} 3 + 4 is 7.\nTherefore, the answer is",
        completion=" 7",
        reasoning_prompt=question,
        reasoning_completion=" 3 + 4 is 7.",
        finish_reason="stop",
        reasoning_finish_reason="stop",
        extra={
            "prompt_tokens": 20,
            "completion_tokens": 8,
            "parameters": {"max_tokens": 128, "temperature": 0.0},
            "answer_parameters": {"max_tokens": 32, "temperature": 0.0},
        },
    )


def test_two_steps_of_the_completions_endpoint() -> None:
    with loopback(lambda asked: (200, reply_of(asked, " So.", "length"))) as served:
        teacher = OpenAITeacher(server(served.base_url, endpoint="completions"))
        [completion] = answers(teacher, Recipe("zs_cot", temperature=0.7), requests())
    question = "Q: Ann has 3 apples and buys 4. How many?\nA: Let's think step by step."
    assert [asked.path for asked in served.asked] == ["/v1/completions"] * 2
    assert [asked.body["prompt"] for asked in served.asked] == [
        question,
        f"{question} So.\nTherefore, the answer is",
    ]
    assert all(asked.body["temperature"] == 0.7 for asked in served.asked)
    assert isinstance(completion, Completion)
    assert (completion.finish_reason, completion.reasoning_finish_reason) == ("length", "length")


def test_few_shot_sends_its_stop_string_and_asks_once() -> None:
    recipe = Recipe("fs_cot", max_reasoning_tokens=50, few_shot={"sums": "Q: 1 + 1?\nA: The answer is 2."})
    with loopback() as served:
        answers(OpenAITeacher(server(served.base_url)), recipe, requests())
    [asked] = served.asked
    assert asked.body["messages"][0]["content"] == (
        "Q: 1 + 1?\nA: The answer is 2.\nQ: Ann has 3 apples and buys 4. How many?\nA:"
    )
    assert asked.body["stop"] == ["\nQ:"]
    assert asked.body["max_tokens"] == 50


def test_one_request_for_each_completion_and_none_for_those_that_are_done() -> None:
    with loopback(delay=0.02) as served:
        teacher = OpenAITeacher(server(served.base_url, concurrency=3))
        recipe = Recipe("zs", temperature=0.7)
        found = answers(teacher, recipe, requests([ANN, BEN], 4), done=[(7, 0), (9, 3)])
    assert [answer.key for answer in found] == [(7, 1), (7, 2), (7, 3), (9, 0), (9, 1), (9, 2)]
    assert len(served.asked) == 6
    assert [asked.body.get("n") for asked in served.asked] == [3, 3, None, None, None, None]
    assert all("seed" not in asked.body for asked in served.asked)
    assert 1 < served.most_at_once <= 3


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (error_reply(401, f"Incorrect API key provided: {KEY}."), "check OPENAI_API_KEY"),
        (
            error_reply(403, "No access to model m"),
            "No access to model m (HTTP 403); see what the key of OPENAI_API_KEY may do",
        ),
        (error_reply(404, "The model m does not exist"), "check --model-key, --base-url and --endpoint"),
        (error_reply(400, "Unknown\nparameter"), "the server refuses: Unknown parameter (HTTP 400)"),
        (error_reply(400, "temperature must be at most 2", param="temperature"), "must be at most 2 (HTTP"),
        (error_reply(429, "You exceeded your quota", code="insufficient_quota"), "the account's balance"),
    ],
)
def test_what_befalls_every_request_ends_the_run(reply: Reply, message: str) -> None:
    with loopback(lambda _: reply) as served:
        teacher = OpenAITeacher(server(served.base_url))
        with pytest.raises(TeacherError) as caught:
            answers(teacher, Recipe("zs"), requests([ANN, BEN]))
    assert message in str(caught.value)
    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (error_reply(500, "overloaded"), "overloaded (HTTP 500)"),
        (error_reply(400, "too long", code="context_length_exceeded"), "too long (HTTP 400)"),
        ((200, "<html>busy</html>"), "the server's answer is no completion"),
        ((200, {"choices": []}), "the server's answer is no completion"),
        ((200, "refused"), "the server's answer is no completion"),
    ],
)
def test_what_befalls_one_request_is_recorded(reply: Reply, reason: str) -> None:
    def answer(asked: Asked) -> Reply:
        return reply if "Ben" in asked.text else completion_reply(asked)

    with loopback(answer) as served:
        found = answers(OpenAITeacher(server(served.base_url)), Recipe("zs"), requests([ANN, BEN]))
    assert isinstance(found[0], Completion)
    assert found[1] == Failure((9, 0), reason)


def test_an_answer_without_text_tells_its_finish_reason() -> None:
    with loopback(lambda asked: (200, reply_of(asked, None, "tool_calls"))) as served:
        found = answers(OpenAITeacher(server(served.base_url)), Recipe("zs"), requests())
    assert found == [Failure((7, 0), "the server's answer holds no text (finish reason: tool_calls)")]


def test_requests_are_tried_again() -> None:
    failing = iter([error_reply(429, "slow down"), error_reply(503, "busy")])
    with loopback(lambda asked: next(failing, None) or completion_reply(asked)) as served:
        found = answers(OpenAITeacher(server(served.base_url, max_retries=2)), Recipe("zs"), requests())
    assert [type(answer) for answer in found] == [Completion]
    assert len(served.asked) == 3


def test_a_server_that_is_down_is_given_up_after_a_round() -> None:
    with loopback() as served:
        pass
    teacher = OpenAITeacher(server(served.base_url, concurrency=2))
    batches = teacher.teach(requests([ANN, BEN], 50), Recipe("zs", temperature=1), ())
    seen: list[Completion | Failure] = []
    with pytest.raises(TeacherError, match="requests all failed: connection failed: Connection refused"):
        seen.extend(answer for batch in batches for answer in batch)
    assert len(seen) <= 4 * MOST_CHOICES


def test_an_error_keeps_the_answers_that_came_with_it() -> None:
    def answer(asked: Asked) -> Reply:
        return error_reply(404, "gone") if "Ben" in asked.text else completion_reply(asked)

    with loopback(answer) as served:
        batches = OpenAITeacher(server(served.base_url, concurrency=1)).teach(
            requests([ANN, BEN]), Recipe("zs"), ()
        )
        assert [answer.key for answer in next(batches)] == [(7, 0)]
        with pytest.raises(TeacherError, match="gone"):
            next(batches)


def test_the_key_is_sent_and_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with loopback() as served:
        found = answers(OpenAITeacher(server(served.base_url)), Recipe("zs"), requests())
    assert served.asked[0].authorization == f"Bearer {KEY}"
    assert KEY not in caplog.text
    assert KEY not in json.dumps([str(answer) for answer in found])
