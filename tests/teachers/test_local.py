"""A local model as a teacher: batches, resumption, chat, and both kinds of models."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from finetune_cot.artifacts.completions import Completion
from finetune_cot.errors import UsageError
from finetune_cot.models.loading import LoadedModel, load_model
from finetune_cot.tasks.procedural.registry import bundled_dataset
from finetune_cot.tasks.sample import Sample
from finetune_cot.teachers.local import LocalTeacher, batch_seed
from finetune_cot.teachers.protocol import Failure, Recipe, TeachRequest

pytestmark = pytest.mark.models

SAMPLES = bundled_dataset("bundled").samples[:7]
GREEDY = Recipe("zs_cot", max_reasoning_tokens=6, max_answer_tokens=3)
SAMPLED = Recipe("zs_cot", temperature=0.7, max_reasoning_tokens=6, max_answer_tokens=3)


@pytest.fixture(scope="module")
def llama(tiny_llama_dir: Path) -> LoadedModel:
    return load_model(str(tiny_llama_dir), device="cpu")


def requests(completions: int = 1) -> list[TeachRequest]:
    return [TeachRequest(sample, index) for index in range(completions) for sample in SAMPLES]


def teach(
    loaded: LoadedModel,
    recipe: Recipe,
    asked: list[TeachRequest],
    done: Iterable[tuple[int, int]] = (),
    batch_size: int = 3,
) -> dict[tuple[int, int], Completion | Failure]:
    batches = LocalTeacher(loaded, batch_size).teach(asked, recipe, set(done))
    answers = [answer for batch in batches for answer in batch]
    found = {answer.key: answer for answer in answers}
    assert len(found) == len(answers)
    return found


def test_batches_are_by_completion_and_the_longest_prompts_first(llama: LoadedModel) -> None:
    batches = list(LocalTeacher(llama, 3).teach(requests(2), SAMPLED, ()))
    assert [len(batch) for batch in batches] == [3, 3, 1, 3, 3, 1]
    assert [{answer.key[1] for answer in batch} for batch in batches] == [{0}, {0}, {0}, {1}, {1}, {1}]
    lengths = [
        len(llama.tokenizer(answer.reasoning_prompt)["input_ids"])
        for batch in batches[:3]
        for answer in batch
    ]
    assert lengths == sorted(lengths, reverse=True)


def test_greedy_completions_do_not_depend_on_the_batch(llama: LoadedModel) -> None:
    alone = teach(llama, GREEDY, requests(), batch_size=1)
    assert alone == teach(llama, GREEDY, requests(), batch_size=7)
    assert all(isinstance(answer, Completion) for answer in alone.values())


@pytest.mark.parametrize("recipe", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_resumed_is_uninterrupted(llama: LoadedModel, recipe: Recipe) -> None:
    asked = requests(1 if recipe is GREEDY else 3)
    whole = teach(llama, recipe, asked)
    done = list(whole)[:5]  # the second batch half done
    rest = teach(llama, recipe, asked, done=done)
    assert rest == {key: answer for key, answer in whole.items() if key not in done}


def test_more_completions_leave_the_first_ones_as_they_are(llama: LoadedModel) -> None:
    two, four = teach(llama, SAMPLED, requests(2)), teach(llama, SAMPLED, requests(4))
    assert two.items() <= four.items()
    assert len({answer.reasoning_completion for answer in four.values()}) > len(SAMPLES)


def test_the_seed_matters_and_is_the_same_in_every_process(llama: LoadedModel) -> None:
    other = Recipe("zs_cot", temperature=0.7, max_reasoning_tokens=6, max_answer_tokens=3, seed=1)
    assert teach(llama, SAMPLED, requests()) != teach(llama, other, requests())
    assert batch_seed(0, 1, [(7, 0), (9, 0)]) == 205942796878142


def test_what_is_recorded(llama: LoadedModel) -> None:
    found = teach(llama, GREEDY, requests())
    for sample in SAMPLES:
        completion = found[sample.sample_index, 0]
        assert isinstance(completion, Completion)
        assert (completion.question, completion.answer) == (sample.question, sample.answer)
        assert completion.reasoning_prompt == f"Q: {sample.question}\nA: Let's think step by step."
        assert completion.prompt == (
            f"{completion.reasoning_prompt}{completion.reasoning_completion}\nTherefore, the answer is"
        )
        assert 0 < completion.extra["completion_tokens"] <= 9
        assert completion.finish_reason in ("stop", "length")
        assert completion.reasoning_finish_reason in ("stop", "length")


def test_a_chat_is_read_in_the_models_own_form(llama: LoadedModel, tiny_gpt2_dir: Path) -> None:
    chat = Recipe("zs_cot", max_reasoning_tokens=6, max_answer_tokens=3, chat=True)
    plain, turns = teach(llama, GREEDY, requests()), teach(llama, chat, requests())
    key = SAMPLES[0].sample_index, 0
    assert plain[key].reasoning_prompt == turns[key].reasoning_prompt
    assert plain[key].extra["prompt_tokens"] < turns[key].extra["prompt_tokens"]
    with pytest.raises(UsageError, match="no chat template"):
        teach(load_model(str(tiny_gpt2_dir), device="cpu"), chat, requests())


def test_a_prompt_beyond_the_context_fails_alone(tiny_gpt2_dir: Path) -> None:
    gpt2 = load_model(str(tiny_gpt2_dir), device="cpu")  # 256 positions
    long = TeachRequest(Sample(99, "word " * 300, "1", SAMPLES[0].task), 0)
    found = teach(gpt2, Recipe("zs", max_reasoning_tokens=4), [*requests()[:2], long])
    assert found[99, 0] == Failure((99, 0), "the prompt fills the model's context of 256 tokens")
    assert [type(answer) for answer in found.values()].count(Completion) == 2


@pytest.mark.parametrize("template", ["zs", "zs_cot", "ft_cot_token"])
def test_encoder_decoder_models(tiny_t5_dir: Path, template: str) -> None:
    t5 = load_model(str(tiny_t5_dir), device="cpu")
    found = teach(t5, Recipe(template, max_reasoning_tokens=5, max_answer_tokens=3), requests())
    completion = found[SAMPLES[0].sample_index, 0]
    assert isinstance(completion, Completion)
    prompts = {
        "zs": f"question: {SAMPLES[0].question}",
        "zs_cot": f"Q: {SAMPLES[0].question}\nA: Let's think step by step.",
        "ft_cot_token": SAMPLES[0].question,
    }
    assert (completion.reasoning_prompt or completion.prompt) == prompts[template]
