from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_cot.errors import DataError
from finetune_cot.prompts.conversation import conversation_segments, render_plain
from finetune_cot.prompts.segments import Segment
from finetune_cot.tasks.instruction import Message

TWO_TURNS = (
    Message("system", "Be brief."),
    Message("user", "Hello?"),
    Message("assistant", "Hi."),
    Message("user", "Bye?"),
    Message("assistant", "Bye."),
)


def chatml(messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
    text = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in messages)
    return text + ("<|im_start|>assistant\n" if add_generation_prompt else "")


def forgetful(messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
    """Leaves out what the assistant said before, as some templates do with its thoughts."""
    kept = [turn for turn in messages[:-1] if turn["role"] != "assistant"] + messages[-1:]
    return chatml(kept, add_generation_prompt)


def test_every_turn_of_the_assistant_is_labelled() -> None:
    assert conversation_segments(TWO_TURNS, "decoder", chatml) == (
        Segment(
            "<|im_start|>system\nBe brief.<|im_end|>\n"
            "<|im_start|>user\nHello?<|im_end|>\n<|im_start|>assistant\n",
            labelled=False,
        ),
        Segment("Hi.<|im_end|>", labelled=True),
        Segment("\n<|im_start|>user\nBye?<|im_end|>\n<|im_start|>assistant\n", labelled=False),
        Segment("Bye.<|im_end|>", labelled=True),
    )


def test_without_a_chat_template_there_are_headings() -> None:
    assert conversation_segments(TWO_TURNS, "decoder") == (
        Segment("Be brief.\n\n### Instruction:\nHello?\n\n### Response:\n", labelled=False),
        Segment("Hi.", labelled=True),
        Segment("\n\n### Instruction:\nBye?\n\n### Response:\n", labelled=False),
        Segment("Bye.", labelled=True),
    )


def test_only_the_last_turn_is_labelled_where_the_template_changes_earlier_ones() -> None:
    assert conversation_segments(TWO_TURNS, "decoder", forgetful) == (
        Segment(forgetful([_turn(item) for item in TWO_TURNS[:-1]], True), labelled=False),
        Segment("Bye.", labelled=True),
    )


def test_encoder_reads_what_came_before_and_decoder_writes_the_last_turn() -> None:
    source, target = conversation_segments(TWO_TURNS, "encoder_decoder")
    assert source.text == (
        "Be brief.\n\n### Instruction:\nHello?\n\n### Response:\nHi.\n\n"
        "### Instruction:\nBye?\n\n### Response:\n"
    )
    assert (source.labelled, target) == (False, Segment("Bye.", labelled=True))


def test_an_opening_of_the_assistant_is_not_labelled() -> None:
    messages = (Message("assistant", "Welcome."), *TWO_TURNS[1:3])
    segments = conversation_segments(messages, "decoder", chatml)
    assert [item.text for item in segments if item.labelled] == ["Hi.<|im_end|>"]
    assert segments[0].text.startswith("<|im_start|>assistant\nWelcome.")


@pytest.mark.parametrize("messages", [(), TWO_TURNS[1:2], TWO_TURNS[2:3], TWO_TURNS[:4]])
def test_conversation_must_end_with_an_answer(messages: tuple[Message, ...]) -> None:
    with pytest.raises(DataError, match="a conversation needs"):
        conversation_segments(messages, "decoder")


_CONTENTS = st.text(min_size=1).filter(lambda text: bool(text.strip()))
_ROLES = st.lists(st.sampled_from(["user", "assistant"]), max_size=4)


@given(_ROLES, st.data(), st.sampled_from([None, chatml]))
def test_segments_joined_are_the_whole_text(roles: list[str], data: st.DataObject, render: object) -> None:
    messages = [Message(role, data.draw(_CONTENTS)) for role in ["user", *roles, "assistant"]]
    segments = conversation_segments(messages, "decoder", render)  # type: ignore[arg-type]
    whole = (render or render_plain)([_turn(item) for item in messages], False)  # type: ignore[operator]
    assert "".join(item.text for item in segments) == whole.rstrip()
    labels = [item.text for item in segments if item.labelled]
    answers = [item.content.strip() for item in messages if item.role == "assistant"]
    assert len(labels) == len(answers)
    assert all(answer in label for answer, label in zip(answers, labels, strict=True))


@pytest.mark.models
def test_chat_template_of_a_tokenizer(tiny_llama_dir: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_llama_dir)

    def render(messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
        text = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=add_generation_prompt
        )
        assert isinstance(text, str)
        return text

    assert conversation_segments(TWO_TURNS[1:], "decoder", render) == (
        Segment("<|user|>\nHello?</s>\n<|assistant|>\n", labelled=False),
        Segment("Hi.</s>", labelled=True),
        Segment("\n<|user|>\nBye?</s>\n<|assistant|>\n", labelled=False),
        Segment("Bye.</s>", labelled=True),
    )


def _turn(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}
