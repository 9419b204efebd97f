from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from finetune_cot.artifacts.ensembles import ENSEMBLE, Ensemble, read_ensemble, write_ensemble
from finetune_cot.errors import ArtifactError, ModelError
from finetune_cot.models.ensemble import load_ensemble
from finetune_cot.models.finetuned import load_finetuned, with_adapter
from finetune_cot.models.generation import GenerationSettings, end_token_ids, generate
from finetune_cot.models.loading import LoadedModel, load_model
from finetune_cot.models.mixture import Mixture

pytestmark = pytest.mark.models

TARGETS = {"llama": ["q_proj", "v_proj"], "t5": ["q", "v"]}
MEMBERS = ("first", "second", "third")
WEIGHTS = (0.5, 0.2, 0.3)
PROMPTS = ("Question: Ann has 3 apples", "Is the coin", "Take the last letters of the words in", "Question:")
TASKS = ("apples", "coins", "letters", "apples")
GREEDY = GenerationSettings(max_new_tokens=12)


def write_members(folder: Path, model_dir: Path, family: str) -> Ensemble:
    """Three adapters with random weights, and their description."""
    for seed, name in enumerate(MEMBERS):
        base = load_model(str(model_dir), device="cpu").model
        model = get_peft_model(base, LoraConfig(r=2, target_modules=TARGETS[family]))
        torch.manual_seed(seed)
        for parameter_name, parameter in model.named_parameters():
            if "lora_" in parameter_name:
                torch.nn.init.normal_(parameter, std=1.0)
        model.save_pretrained(folder / name)
    by_task = {"coins": (0.0, 1.0, 0.0), "letters": (0.1, 0.1, 0.8)}
    ensemble = Ensemble(str(model_dir), MEMBERS, (("a",), ("b",), ("c",)), WEIGHTS, by_task)
    write_ensemble(folder, ensemble)
    return ensemble


@pytest.fixture(scope="module", params=["llama", "t5"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(f"ensemble_{request.param}")
    write_members(path, request.getfixturevalue(f"tiny_{request.param}_dir"), request.param)
    return path


def written_by_hand(folder: Path, prompt: str, weights: tuple[float, ...]) -> list[int]:
    """The likeliest tokens of the mixture: each member loaded by itself, whole passes, no cache."""
    members = [load_member(folder, name) for name in MEMBERS]
    first = members[0]
    ids = first.tokenizer(prompt, return_tensors="pt").input_ids
    encoder_decoder = first.model_type == "encoder_decoder"
    new = ids.new_full((1, 1), first.model.config.decoder_start_token_id) if encoder_decoder else ids[:, :0]
    start = new.shape[1]
    with torch.inference_mode():
        for _ in range(GREEDY.max_new_tokens):
            inputs = {"input_ids": ids, "decoder_input_ids": new}
            if not encoder_decoder:
                inputs = {"input_ids": torch.cat([ids, new], dim=1)}
            chances = [member.model(**inputs).logits[0, -1].softmax(dim=-1) for member in members]
            mixed = sum(weight * chance for weight, chance in zip(weights, chances, strict=True))
            new = torch.cat([new, torch.as_tensor(mixed).argmax()[None, None]], dim=1)
            if int(new[0, -1]) in end_token_ids(first):
                break
    return list(map(int, new[0, start:]))


def load_member(folder: Path, name: str) -> LoadedModel:
    base = load_model(read_ensemble(folder).model_key, device="cpu")
    return with_adapter(base, folder / name, merged=False)


def test_it_writes_what_averaged_probabilities_make_likeliest(folder: Path) -> None:
    loaded, ensemble = load_ensemble(folder, device="cpu"), read_ensemble(folder)
    texts = generate(loaded, PROMPTS, GREEDY, TASKS)
    for prompt, task, generated in zip(PROMPTS, TASKS, texts, strict=True):
        ids = written_by_hand(folder, prompt, ensemble.weights_by_task.get(task, WEIGHTS))
        assert generated.text == loaded.tokenizer.decode(ids, skip_special_tokens=True)


def test_one_member_alone_is_that_adapter(folder: Path) -> None:
    loaded = load_ensemble(folder, device="cpu")
    alone = replace(loaded, mixture=Mixture(MEMBERS, (0.0, 1.0, 0.0), {}))
    assert generate(alone, PROMPTS, GREEDY) == generate(load_member(folder, "second"), PROMPTS, GREEDY)


def test_rows_that_end_leave_the_others_as_they_are(folder: Path) -> None:
    loaded = load_finetuned(folder, device="cpu")
    settings = replace(GREEDY, stop=("e", "o"))
    batch = generate(loaded, PROMPTS, settings, TASKS)
    pairs = zip(PROMPTS, TASKS, strict=True)
    assert batch == [generate(loaded, [prompt], settings, [task])[0] for prompt, task in pairs]


def test_draws_follow_the_mixture_and_repeat_with_the_seed(folder: Path) -> None:
    loaded = load_ensemble(folder, device="cpu")
    settings = GenerationSettings(max_new_tokens=1, temperature=1.0)
    draws = [generate(loaded, PROMPTS[:1] * 400, replace(settings, seed=seed)) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    ids = loaded.tokenizer(PROMPTS[0], return_tensors="pt").input_ids
    with torch.inference_mode():
        inputs = {"input_ids": ids}
        if loaded.model_type == "encoder_decoder":
            inputs["decoder_input_ids"] = ids.new_full((1, 1), loaded.model.config.decoder_start_token_id)
        chances = [load_member(folder, name).model(**inputs).logits[0, -1].softmax(-1) for name in MEMBERS]
    mixed = sum(weight * chance for weight, chance in zip(WEIGHTS, chances, strict=True))
    likeliest = int(torch.as_tensor(mixed).argmax())
    text = loaded.tokenizer.decode([likeliest], skip_special_tokens=True)
    share = sum(generated.text == text for generated in draws[0]) / 400
    expected = sum(
        float(chance)
        for token, chance in enumerate(torch.as_tensor(mixed))
        if loaded.tokenizer.decode([token], skip_special_tokens=True) == text
    )
    assert share == pytest.approx(expected, abs=4 * (expected * (1 - expected) / 400) ** 0.5 + 1e-9)


def test_a_torn_description_and_a_missing_member_are_refused(tiny_llama_dir: Path, tmp_path: Path) -> None:
    ensemble = write_members(tmp_path, tiny_llama_dir, "llama")
    assert read_ensemble(tmp_path) == ensemble
    (tmp_path / "second" / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match="missing or torn"):
        load_ensemble(tmp_path, device="cpu")
    for wrong in (
        {"weights": (0.5, 0.5)},
        {"weights": (2.0, -1.0, 0.0)},
        {"members": ("..", "a", "b")},
        {"groups": ()},
    ):
        write_ensemble(tmp_path, replace(ensemble, **wrong))
        with pytest.raises(ArtifactError, match="describes no ensemble"):
            read_ensemble(tmp_path)
    (tmp_path / ENSEMBLE).write_text("{")
    with pytest.raises(ArtifactError):
        read_ensemble(tmp_path)
