"""Ids and paths name each other, and no key leads out of saved/."""

import string
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from finetune_cot.artifacts.completions import find_completions
from finetune_cot.artifacts.ids import (
    PLATFORM_SUFFIXES,
    CheckpointId,
    CompletionId,
    ExportId,
    FinetuneDataId,
    GradientsId,
    ModelMetadataId,
    ResultsId,
    SampledIndicesId,
    parse_checkpoint_path,
    parse_completion_path,
    parse_export_path,
    parse_finetune_data_path,
    parse_gradients_path,
    parse_model_metadata_path,
    save_name,
)
from finetune_cot.artifacts.keys import MAX_BYTES, check_key, model_slug
from finetune_cot.errors import ArtifactError, UsageError

SAVED = Path("/saved")


def is_key(text: str) -> bool:
    try:
        return check_key(text) == text
    except UsageError:
        return False


# Letters with marks among them that look like those between keys: F_, D_, _run_, _dim_.
PIECES = st.sampled_from(
    ["a", "F_", "D_", "E_001", "_run_1", "_dim_2", "_pretrained", ".json", "-", "ü", "1"]
)
KEYS = st.one_of(
    st.lists(PIECES, min_size=1, max_size=8).map("".join).filter(is_key),
    st.text(string.ascii_letters + string.digits + "_.-@+", min_size=1, max_size=20).filter(is_key),
    st.text(min_size=1, max_size=10).filter(is_key),
)
NUMBERS = st.integers(0, 9999)
OPTIONAL_KEYS = st.none() | KEYS


@given(st.builds(CompletionId, KEYS, KEYS, KEYS, OPTIONAL_KEYS, OPTIONAL_KEYS, st.none() | NUMBERS))
def test_completion_ids(identity: CompletionId) -> None:
    assert parse_completion_path(identity.path(SAVED)) == identity


@given(st.builds(FinetuneDataId, st.sampled_from(sorted(PLATFORM_SUFFIXES)), KEYS))
def test_finetune_data_ids(identity: FinetuneDataId) -> None:
    assert parse_finetune_data_path(identity.path(SAVED)) == identity


@given(st.builds(ModelMetadataId, KEYS, KEYS, KEYS))
def test_model_metadata_ids(identity: ModelMetadataId) -> None:
    assert parse_model_metadata_path(identity.path(SAVED)) == identity


@given(KEYS, NUMBERS)
def test_checkpoint_and_export_ids(name: str, run: int) -> None:
    assert parse_checkpoint_path(CheckpointId(name, run).path(SAVED)) == CheckpointId(name, run)
    assert parse_export_path(ExportId(name, run).path(SAVED)) == ExportId(name, run)


@given(st.builds(GradientsId, KEYS, NUMBERS, NUMBERS, st.booleans()))
def test_gradients_ids(identity: GradientsId) -> None:
    assert parse_gradients_path(identity.path(SAVED)) == identity


@given(KEYS, KEYS)
def test_two_ids_never_share_a_path(one: str, other: str) -> None:
    assume(one != other)
    assert CompletionId(one, "k", "d").path(SAVED) != CompletionId(other, "k", "d").path(SAVED)
    with_train_key = CompletionId("b", "k", one, train_key=other).path(SAVED)
    assert with_train_key != CompletionId("b", "k", one, finetune_key=other).path(SAVED)


@given(st.text(max_size=12) | st.sampled_from(["../x", "..", "a/../b", "/etc", "a\0b", "a\\b", "__", "a\n"]))
def test_whatever_the_key_the_path_stays_in_its_folder_or_is_refused(key: str) -> None:
    try:
        path = CompletionId(key, key, key, key, key).path(SAVED)
        sampled = SampledIndicesId(key).path(SAVED)
    except UsageError:
        return
    assert path.parent.parent == SAVED / "completion_data"
    assert sampled.parent == SAVED / "sampled_indices"


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("", "is empty"),
        ("../secret", "path separator"),
        ("a\\b", "path separator"),
        ("a..b", r"'\.\.'"),
        ("a b", "space"),
        ("a\x1bb", "control"),
        ("a\u202eb", "control"),
        ("F__D", "'__'"),
        ("_a", "'__'"),
        ("-rf", "'-'"),
        (".hidden", "'.'"),
        ("a_", "ends in '_'"),
        ("ü" * (MAX_BYTES // 2 + 1), "longer"),
    ],
)
def test_keys_that_are_refused(key: str, wrong: str) -> None:
    with pytest.raises(UsageError, match=wrong):
        check_key(key)


@pytest.mark.parametrize(
    ("model_key", "slug"),
    [
        ("google/gemma-2b", "google-gemma-2b"),
        ("text-davinci-002", "text-davinci-002"),
        ("./models/tiny", "tiny"),
        ("/models/tiny llama/", "tiny-llama"),
        ("qwen:7b", "qwen-7b"),
    ],
)
def test_slugs_of_models(model_key: str, slug: str) -> None:
    assert model_slug(model_key) == slug


def test_paths_as_the_design_spells_them() -> None:
    completions = CompletionId("gemma", "ft_cot_token", "gsm8k", "ft_cot_gsm8k", "lora_r_4", 7)
    assert completions.path(Path("saved")).as_posix() == (
        "saved/completion_data/B_gemma__C_ft_cot_token/F_ft_cot_gsm8k__T_lora_r_4__D_gsm8k__E_007.json"
    )
    assert FinetuneDataId("openai", "k").path(Path("s")).as_posix() == "s/finetune_data/P_openai/F_k.jsonl"
    assert ResultsId("x", 100, 1).path(Path("s")).as_posix() == "s/results/x_dim_100_run_1/results.csv"
    assert ResultsId("x").path(Path("s")).as_posix() == "s/results/x/results.csv"
    assert save_name("gsm8k", "gemma", "lora_r_4", "mine") == "gsm8k_gemma_lora_r_4_mine"
    assert save_name("gsm8k", "gemma", "") == "gsm8k_gemma"


def test_the_older_order_of_published_files_is_read_and_found(tmp_path: Path) -> None:
    older = tmp_path / "completion_data/B_t5__C_ft_cot/D_gsm8k__T_flan__E_003.json"
    wanted = CompletionId("t5", "ft_cot", "gsm8k", train_key="flan", epoch=3)
    assert parse_completion_path(older) == wanted
    assert find_completions(wanted, tmp_path) is None
    older.parent.mkdir(parents=True)
    older.touch()
    (older.parent / "D_gsm8k__T_flan__E_x.json").touch()
    assert find_completions(wanted, tmp_path) == older
    wanted.path(tmp_path).touch()
    assert find_completions(wanted, tmp_path) == wanted.path(tmp_path)


@pytest.mark.parametrize(
    ("parse", "path"),
    [
        (parse_completion_path, "B_a__C_b/gsm8k.json"),
        (parse_completion_path, "B_a/D_gsm8k.json"),
        (parse_completion_path, "B_a__C_b/D_x__E_last.json"),
        (parse_completion_path, "B_a__C_b/D_x__Z_y.json"),
        (parse_finetune_data_path, "P_openai/F_x.json"),
        (parse_finetune_data_path, "P_other/F_x.json"),
        (parse_model_metadata_path, "B_a/F_x.json"),
        (parse_checkpoint_path, "x_run_a"),
        (parse_gradients_path, "x_run_1"),
    ],
)
def test_other_paths_are_no_ids(parse: object, path: str) -> None:
    with pytest.raises(ArtifactError, match="is not named as it should be; expected"):
        parse(Path(path))  # type: ignore[operator]
