import dataclasses
from pathlib import Path

import pytest
import torch

from finetune_cot.errors import ModelError
from finetune_cot.models.generation import Generated, GenerationSettings, end_token_ids, generate
from finetune_cot.models.loading import LoadedModel, load_model

pytestmark = pytest.mark.models

PROMPTS = (
    "Question: Ann has 3 apples and buys 4 more. How many apples does she have?",
    "Is the coin",
    "Take the last letters",
    "Question:",
    "Translate the sentence, then sort the list of words: pear, fig, plum.",
)
GREEDY = GenerationSettings(max_new_tokens=24)


@pytest.fixture(scope="module", params=["tiny_llama_dir", "tiny_gpt2_dir", "tiny_t5_dir"])
def loaded(request: pytest.FixtureRequest) -> LoadedModel:
    return load_model(str(request.getfixturevalue(request.param)), device="cpu")


@pytest.fixture(scope="module")
def llama(tiny_llama_dir: Path) -> LoadedModel:
    return load_model(str(tiny_llama_dir), device="cpu")


def one_by_one(loaded: LoadedModel, settings: GenerationSettings) -> list[Generated]:
    return [generate(loaded, [prompt], settings)[0] for prompt in PROMPTS]


def greedy_by_hand(loaded: LoadedModel, prompt: str, count: int) -> list[int]:
    """Tokens by whole forward passes: no cache, no padding, no `generate`."""
    ids = loaded.tokenizer(prompt, return_tensors="pt").input_ids
    encoder_decoder = loaded.model_type == "encoder_decoder"
    new = ids.new_full((1, 1), loaded.model.config.decoder_start_token_id) if encoder_decoder else ids[:, :0]
    start = new.shape[1]
    with torch.inference_mode():
        for _ in range(count):
            inputs = {"input_ids": ids, "decoder_input_ids": new}
            if not encoder_decoder:
                inputs = {"input_ids": torch.cat([ids, new], dim=1)}
            token = loaded.model(**inputs).logits[:, -1].argmax(dim=-1, keepdim=True)
            new = torch.cat([new, token], dim=1)
            if int(token) in end_token_ids(loaded):
                break
    return list(map(int, new[0, start:]))


def test_equals_greedy_decoding_by_hand(loaded: LoadedModel) -> None:
    for prompt, generated in zip(PROMPTS, generate(loaded, PROMPTS, GREEDY), strict=True):
        ids = greedy_by_hand(loaded, prompt, 24)
        assert generated.text == loaded.tokenizer.decode(ids, skip_special_tokens=True)
        assert generated.completion_tokens == len(ids)
        assert generated.prompt_tokens == len(loaded.tokenizer(prompt).input_ids)


def test_a_batch_equals_one_at_a_time(loaded: LoadedModel) -> None:
    assert generate(loaded, PROMPTS, GREEDY) == one_by_one(loaded, GREEDY)


def test_rows_that_end_leave_the_others_as_they_are(loaded: LoadedModel) -> None:
    # These stop strings end the rows of random models at many different places.
    settings = dataclasses.replace(GREEDY, stop=("e", "o", "t"))
    batch = generate(loaded, PROMPTS, settings)
    assert batch == one_by_one(loaded, settings)
    assert len({generated.completion_tokens for generated in batch}) > 1


def test_stop_strings_are_cut_off(loaded: LoadedModel) -> None:
    free = generate(loaded, PROMPTS, GREEDY)
    for prompt, generated in zip(PROMPTS, free, strict=True):
        stop = generated.text[3:6]
        cut = generate(loaded, [prompt], dataclasses.replace(GREEDY, stop=("never there", stop)))[0]
        assert cut.text == generated.text[: generated.text.index(stop)]
        assert cut.finish_reason == "stop"
        assert cut.completion_tokens <= generated.completion_tokens


def test_an_end_token_stops_and_is_no_part_of_the_text(loaded: LoadedModel) -> None:
    ids = greedy_by_hand(loaded, PROMPTS[0], 6)
    config = loaded.model.generation_config
    before = config.eos_token_id
    config.eos_token_id = ids[3]
    try:
        generated = generate(loaded, PROMPTS[:2], GREEDY)[0]
    finally:
        config.eos_token_id = before
    end = ids.index(ids[3]) + 1
    assert generated.finish_reason == "stop"
    assert generated.completion_tokens == end
    assert generated.text == loaded.tokenizer.decode(ids[: end - 1], skip_special_tokens=True)


def test_the_limit_is_told_as_length(llama: LoadedModel) -> None:
    generated = generate(llama, PROMPTS[:1], GenerationSettings(max_new_tokens=3))[0]
    assert (generated.finish_reason, generated.completion_tokens) == ("length", 3)


def test_sampling_depends_on_its_seed_alone(loaded: LoadedModel) -> None:
    sampled = dataclasses.replace(GREEDY, temperature=1.0, seed=5)
    first = generate(loaded, PROMPTS, sampled)
    torch.rand(3)
    state = torch.get_rng_state()
    assert generate(loaded, PROMPTS, sampled) == first
    assert torch.equal(torch.get_rng_state(), state)
    assert generate(loaded, PROMPTS, dataclasses.replace(sampled, seed=6)) != first


def test_a_low_temperature_is_nearly_greedy(llama: LoadedModel) -> None:
    cold = dataclasses.replace(GREEDY, temperature=1e-4)
    assert generate(llama, PROMPTS, cold) == generate(llama, PROMPTS, GREEDY)


def test_the_whole_distribution_is_sampled(llama: LoadedModel) -> None:
    # At a very high temperature all of the 400 or so tokens are as likely; a top-k of 50 would show.
    hot = GenerationSettings(max_new_tokens=200, temperature=1e6, seed=1)
    tokens = llama.tokenizer("".join(item.text for item in generate(llama, PROMPTS, hot))).input_ids
    assert len(set(tokens)) > 100


@pytest.mark.parametrize("precision", ["bf16-true", "bf16-mixed"])
def test_bfloat16(tiny_llama_dir: Path, precision: str) -> None:
    loaded = load_model(str(tiny_llama_dir), precision=precision, device="cpu")
    assert all(item.completion_tokens > 0 for item in generate(loaded, PROMPTS, GREEDY))


def test_learned_positions_are_never_exceeded(tiny_gpt2_dir: Path) -> None:
    loaded = load_model(str(tiny_gpt2_dir), device="cpu")
    prompt = "apple " * 200
    ids = loaded.tokenizer(prompt).input_ids
    kept = loaded.tokenizer.decode(ids[:250])
    room = 256 - len(loaded.tokenizer(kept).input_ids)
    generated = generate(loaded, [kept], GenerationSettings(max_new_tokens=64))[0]
    assert generated.completion_tokens <= room
    with pytest.raises(ModelError, match="leaves no room in the model's context of 256"):
        generate(loaded, [prompt], GREEDY)


def test_no_prompts(llama: LoadedModel) -> None:
    assert generate(llama, [], GREEDY) == []
