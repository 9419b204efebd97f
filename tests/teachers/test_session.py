"""Many completions at once: several choices of a request, limits of cost, faults of some requests."""

import time
from collections.abc import Callable

import pytest

from finetune_cot.artifacts.completions import Completion
from finetune_cot.errors import TeacherError
from finetune_cot.teachers.access import server_access
from finetune_cot.teachers.asking import Server
from finetune_cot.teachers.prices import Prices
from finetune_cot.teachers.protocol import Failure, Recipe, TeachRequest
from finetune_cot.teachers.server import OpenAITeacher
from tests.loopback import Asked, Loopback, Reply, completion_reply, error_reply, loopback, reply_of
from tests.teachers.samples import ANN, BEN, requests

SAMPLED = Recipe("zs", temperature=0.7)


def several(asked: Asked) -> Reply:
    """As many choices as ``n`` says."""
    reply = reply_of(asked, " 7")
    count = asked.body.get("n", 1)
    reply["choices"] = [{**reply["choices"][0], "index": index} for index in range(count)]
    reply["usage"] = {"prompt_tokens": 10, "completion_tokens": 4 * count}
    return 200, reply


def taught(
    served: Loopback,
    asked: list[TeachRequest],
    recipe: Recipe = SAMPLED,
    max_cost: float | None = None,
    **options: object,
) -> list[Completion | Failure]:
    """All answers, by their keys."""
    server = Server("m", server_access(served.base_url), **{"max_retries": 3, **options})  # type: ignore[arg-type]
    teacher = OpenAITeacher(server, Prices(1.0, 1.0, cached=1.0), max_cost)
    answers = [answer for batch in teacher.teach(asked, recipe, ()) for answer in batch]
    return sorted(answers, key=lambda answer: answer.key)


def test_several_choices_are_asked_for_at_once() -> None:
    with loopback(several) as served:
        found = taught(served, requests([ANN, BEN], 11))
    assert sorted(asked.body["n"] for asked in served.asked) == [3, 3, 8, 8]
    assert [answer.key for answer in found] == [(index, number) for index in (7, 9) for number in range(11)]
    completions = [answer for answer in found if isinstance(answer, Completion)]
    assert sum(completion.extra["prompt_tokens"] for completion in completions) == 40
    assert sum(completion.extra["completion_tokens"] for completion in completions) == 22 * 4


def test_choices_that_a_reply_lacks_are_topped_up() -> None:
    def two_fewer(asked: Asked) -> Reply:
        status, reply = several(asked)
        if asked.body.get("n", 1) > 4:
            reply["choices"] = reply["choices"][2:]
        return status, reply

    with loopback(two_fewer) as served:
        found = taught(served, requests([ANN], 8))
    assert [answer.key[1] for answer in found] == list(range(8))
    assert [asked.body["n"] for asked in served.asked] == [8, 2]


def test_each_request_has_a_seed_of_its_own_where_one_is_set() -> None:
    with loopback() as served:
        taught(served, requests([ANN], 3), Recipe("zs", temperature=0.7, seed=5))
        taught(served, requests([ANN]), Recipe("zs", seed=5))
    seeds = [asked.body.get("seed") for asked in served.asked]
    assert (sorted(seeds[:3]), seeds[3:]) == ([5, 6, 7], [None])


def test_the_cost_stays_below_its_limit() -> None:
    with loopback(several) as served:
        found = taught(served, requests([ANN], 200), max_cost=0.002, concurrency=3)
    completions = [answer for answer in found if isinstance(answer, Completion)]
    left = [answer for answer in found if isinstance(answer, Failure)]
    tokens = sum(item.extra["prompt_tokens"] + item.extra["completion_tokens"] for item in completions)
    assert len(found) == 200
    assert completions
    assert tokens <= 2000
    assert {failure.reason for failure in left} == {"not asked, as --max-cost is reached"}
    assert not any(failure.asked for failure in left)


def test_a_filter_in_the_first_step_ends_the_completion() -> None:
    with loopback(lambda asked: (200, reply_of(asked, None, "content_filter"))) as served:
        [completion] = taught(served, requests(), Recipe("zs_cot", chat=True))
    assert len(served.asked) == 1
    assert isinstance(completion, Completion)
    assert (completion.reasoning_completion, completion.completion) == ("", "")
    assert completion.reasoning_finish_reason == completion.finish_reason == "content_filter"


def test_the_hidden_reasoning_of_both_steps_is_kept_apart() -> None:
    def thinking(asked: Asked) -> Reply:
        reply = reply_of(asked, " 7")
        reply["choices"][0]["message"]["reasoning_content"] = f"turn {len(asked.body['messages'])}"
        reply["usage"]["completion_tokens_details"] = {"reasoning_tokens": 3}
        return 200, reply

    with loopback(thinking) as served:
        [completion] = taught(served, requests(), Recipe("zs_cot", chat=True))
    assert isinstance(completion, Completion)
    assert completion.extra["reasoning_content"] == "turn 1"
    assert completion.extra["answer_reasoning_content"] == "turn 3"
    assert completion.extra["reasoning_tokens"] == 6
    assert "turn 1" not in completion.prompt


def test_a_model_that_refuses_parameters_works_all_the_same() -> None:
    def refusing(asked: Asked) -> Reply:
        if "max_tokens" in asked.body:
            return error_reply(400, "Use 'max_completion_tokens' instead.", param="max_tokens")
        if "temperature" in asked.body:
            return error_reply(400, "Only the default (1) value is supported.", param="temperature")
        return completion_reply(asked)

    with loopback(refusing) as served:
        found = taught(served, requests([ANN, BEN]), Recipe("zs"), concurrency=1)
    assert len(served.asked) == 4
    assert [answer.extra["parameters"] for answer in found if isinstance(answer, Completion)] == [
        {"max_completion_tokens": 128}
    ] * 2


def test_a_parameter_that_is_refused_in_another_form_is_left_out_too() -> None:
    def refusing(asked: Asked) -> Reply:
        if "seed" in asked.body:
            return 422, {"detail": "Unexpected keys in the request: {'seed'}"}
        return completion_reply(asked)

    with loopback(refusing) as served:
        [found] = taught(served, requests([ANN]), Recipe("zs", temperature=0.7, seed=5))
    assert isinstance(found, Completion)


def test_a_prompt_that_is_too_long_says_nothing_of_the_server() -> None:
    message = "'max_tokens' is too large: 128. This model's maximum context length is 100 tokens"

    def answer(asked: Asked) -> Reply:
        return error_reply(400, message) if "Ann" in asked.text else completion_reply(asked)

    with loopback(answer) as served:
        found = taught(served, requests([ANN, BEN]), Recipe("zs"), concurrency=1)
    assert isinstance(found[0], Failure)
    assert isinstance(found[1], Completion)
    assert ["max_tokens" in asked.body for asked in served.asked] == [True, True]


@pytest.mark.parametrize("concurrency", [1, 4])
def test_one_bad_request_among_good_ones_is_recorded(concurrency: int) -> None:
    def answer(asked: Asked) -> Reply:
        if "Ben" not in asked.text:
            return completion_reply(asked)
        while len(served.asked) < 2:  # not before another one has come
            time.sleep(0.01)
        time.sleep(0.2)
        return error_reply(400, "invalid character")

    with loopback(answer) as served:
        found = taught(served, requests([ANN, BEN]), Recipe("zs"), concurrency=concurrency)
    assert isinstance(found[0], Completion)
    assert found[1] == Failure((9, 0), "invalid character (HTTP 400)")


def test_after_a_refusal_nothing_is_asked_and_what_was_paid_for_is_told() -> None:
    def answer(asked: Asked) -> Reply:
        return error_reply(401, "expired") if "answer is" in asked.text else completion_reply(asked)

    with loopback(answer) as served:
        server = Server("m", server_access(served.base_url), endpoint="completions", concurrency=4)
        answers = OpenAITeacher(server).teach(requests([ANN, BEN], 20), Recipe("zs_cot"), ())
        found: list[Completion | Failure] = []
        with pytest.raises(TeacherError, match="expired"):
            found.extend(answer for batch in answers for answer in batch)
    assert (
        len(served.asked) <= 12
    )  # four first steps, and what was begun when the first second step came back
    assert found
    assert all(isinstance(item, Failure) and item.usage.prompt == 10 for item in found)


def test_a_refusal_for_too_much_lets_all_wait_and_none_fails() -> None:
    began = time.monotonic()

    def crowded(asked: Asked) -> Reply:
        return error_reply(429, "slow") if time.monotonic() - began < 1 else completion_reply(asked)

    with loopback(crowded) as served:
        found = taught(served, requests([ANN, BEN], 8), concurrency=8)
    assert all(isinstance(answer, Completion) for answer in found)


FaultyReply = Callable[[Asked], Reply]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (lambda asked: error_reply(500, "out of order"), "out of order (HTTP 500)"),
        (lambda asked: (200, '{"choices": [{"index"'), "the server's answer is no completion"),
        (lambda asked: (200, {**reply_of(asked, ""), "choices": []}), "the server's answer is no completion"),
        (lambda asked: time.sleep(2) or completion_reply(asked), "no whole answer within 0.3 s"),
        (lambda asked: (0, ""), "connection failed: Server disconnected"),
        (lambda asked: error_reply(429, "slow down"), "slow down (HTTP 429)"),
    ],
    ids=["500", "half JSON", "no choices", "hung", "cut", "429"],
)
def test_each_fault_is_tried_again_and_told_in_one_line(reply: FaultyReply, reason: str) -> None:
    with loopback(reply) as served, pytest.raises(TeacherError) as caught:
        taught(served, requests(), Recipe("zs"), concurrency=1, max_retries=1, timeout=0.3)
    assert len(served.asked) == 2
    assert f"the last 1 requests all failed: {reason}; what is done is kept" in str(caught.value)
    failing = iter([reply])
    with loopback(lambda asked: next(failing, completion_reply)(asked)) as served:
        [found] = taught(served, requests(), Recipe("zs"), max_retries=1, timeout=0.3)
    assert isinstance(found, Completion)
