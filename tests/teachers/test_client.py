"""A server's errors in one line, in whatever form it tells them."""

import httpx2
import openai
import pytest

from finetune_cot.teachers.access import Access
from finetune_cot.teachers.client import error_line

ACCESS = Access("http://127.0.0.1/v1", "sk-secret", "KEY")
REQUEST = httpx2.Request("POST", "http://127.0.0.1/v1/completions")


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ({"message": "Bad key\n sk-secret."}, "Bad key *** (HTTP 422)"),
        (
            {"detail": "Unexpected keys in the request: {'seed'}"},
            "Unexpected keys in the request: {'seed'} (HTTP 422)",
        ),
        ({"detail": [{"loc": ["body", "seed"]}]}, "[{'loc': ['body', 'seed']}] (HTTP 422)"),
        ("out of memory", "out of memory (HTTP 422)"),
        ("<html><body>Bad Gateway</body></html>", "Error code: 422 (HTTP 422)"),
        (None, "Error code: 422 (HTTP 422)"),
    ],
)
def test_the_forms_of_errors(body: object, line: str) -> None:
    response = httpx2.Response(422, request=REQUEST)
    assert error_line(ACCESS, openai.APIStatusError("Error code: 422", response=response, body=body)) == line
