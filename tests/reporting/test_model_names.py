import pytest

from finetune_cot.reporting.model_names import family, millions


@pytest.mark.parametrize(
    ("name", "size", "of"),
    [
        ("SmolLM2-135M-Instruct", 135, "SmolLM2"),
        ("opt-6.7b", 6700, "opt"),
        ("gpt2", 124, "gpt2"),
        ("gpt2-medium", None, "gpt2"),
        ("flan-t5-xxl", None, "flan-t5"),
        ("T5-3B", 3000, "T5"),
        ("gemma-2-2b-it", 2000, "gemma-2"),
        ("bloomz-1b1", None, "bloomz"),
        ("text-davinci-002", 175_000, "text-davinci-002"),
        ("7b", 7000, "7b"),
        ("", None, ""),
    ],
)
def test_family_and_size_are_read_from_names(name: str, size: int | None, of: str) -> None:
    assert (millions(name), family(name)) == (size, of)
