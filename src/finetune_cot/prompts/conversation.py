"""Conversations as training text, of which the assistant's turns are learned."""

from collections.abc import Callable, Sequence

from finetune_cot.errors import DataError
from finetune_cot.prompts.segments import Segment
from finetune_cot.tasks.instruction import Message

RenderChat = Callable[[list[dict[str, str]], bool], str]
"""A chat template: messages, and whether the text ends where the assistant is to begin."""

_HEADINGS = {"user": "### Instruction:\n", "assistant": "### Response:\n", "system": ""}


def conversation_segments(
    messages: Sequence[Message], model_type: str, render_chat: RenderChat | None = None
) -> tuple[Segment, ...]:
    """A conversation as text in order, each turn of the assistant labelled.

    A label holds what the template closes a turn with, such as ``<|im_end|>``; white space after that belongs
    to what follows. A turn of the assistant that nothing came before is not labelled. The last turn alone is,
    where a template writes an earlier turn in another way than the last one (as some do with thoughts), and
    for encoder-decoder models, whose source is all that came before.

    Args:
        messages: The conversation; the last message is the assistant's.
        model_type: ``decoder`` or ``encoder_decoder``.
        render_chat: The tokenizer's chat template; headings of our own where it is None.

    Raises:
        DataError: the last message is not the assistant's, or it is the only one.
    """
    if len(messages) < 2 or messages[-1].role != "assistant":
        raise DataError("a conversation needs a question and, at its end, the assistant's answer")
    turns = [{"role": message.role, "content": message.content} for message in messages]
    render = render_chat or render_plain
    if model_type == "encoder_decoder":
        return _last_turn(turns, render)
    return _every_turn(turns, render) or _last_turn(turns, render)


def render_plain(messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
    """Messages under headings, for models without a chat template."""
    text = "\n\n".join(_HEADINGS[message["role"]] + message["content"].strip() for message in messages)
    return f"{text}\n\n{_HEADINGS['assistant']}" if add_generation_prompt else text


def _every_turn(turns: list[dict[str, str]], render: RenderChat) -> tuple[Segment, ...] | None:
    """Prompts and labels by what each turn adds to the text; None where a turn changes what was before it."""
    segments: list[Segment] = []
    done = ""
    whole = render(turns, False)
    for position, turn in enumerate(turns):
        if turn["role"] != "assistant" or position == 0:
            continue
        prompt = render(turns[:position], True)
        answered = render(turns[: position + 1], False).rstrip()
        label = answered[len(prompt) :]
        grows = prompt.startswith(done) and answered.startswith(prompt) and whole.startswith(answered)
        if not grows or not label:
            return None
        segments += [Segment(prompt[len(done) :], labelled=False), Segment(label, labelled=True)]
        done = answered
    return tuple(segments)


def _last_turn(turns: list[dict[str, str]], render: RenderChat) -> tuple[Segment, ...]:
    prompt = render(turns[:-1], True)
    answer = turns[-1]["content"].strip()
    return Segment(prompt, labelled=False), Segment(answer, labelled=True)
