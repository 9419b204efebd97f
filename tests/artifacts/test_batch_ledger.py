"""The ledger of batches: what was sent is on the disk before anything else happens."""

from pathlib import Path

import pytest

from finetune_cot.artifacts.batch_ledger import (
    Reasoning,
    key_of,
    keys_under_way,
    ledger_path,
    open_ledger,
    reasoning_path,
)
from finetune_cot.artifacts.ids import CompletionId
from finetune_cot.errors import ArtifactError

HEADER = {"model_key": "m", "temperature": 0.0}
IDENTITY = tuple(HEADER)
STEP = Reasoning(12, 0, {"prompt": "Q", "text": "So"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return ledger_path(CompletionId("m", "zs_cot", "d"), tmp_path)


def test_where_it_lies(path: Path, tmp_path: Path) -> None:
    assert path == tmp_path / "batches" / "B_m__C_zs_cot" / "D_d.json"


def test_every_change_is_read_again(path: Path) -> None:
    with open_ledger(path, HEADER, IDENTITY, "teach") as ledger:
        first = ledger.add(1, ["12-0-1-ab", "13-0-1-cd"], {"completion": 9})
        ledger.leave_out(["temperature"])
        second = ledger.add(1, ["14-0-1-ef"], {})
        assert first.name != second.name
        assert keys_under_way(path) == {(12, 0), (13, 0), (14, 0)}
        first = ledger.change(first, file_id="file-1", status="uploaded")
        ledger.change(first, batch_id="batch_1", status="completed", collected=True)
        ledger.keep([STEP])
    assert keys_under_way(path) == {(14, 0)}
    with open_ledger(path, HEADER, IDENTITY, "teach") as ledger:
        assert [(batch.batch_id, batch.collected) for batch in ledger.batches] == [
            ("batch_1", True),
            (None, False),
        ]
        assert ledger.under_way == [second]
        assert [batch.at_most for batch in ledger.batches] == [{"completion": 9}, {}]
        assert [batch.refused for batch in ledger.batches] == [(), ("temperature",)]
        assert ledger.refused == ("temperature",)
        assert ledger.reasoning == {(12, 0): STEP}
        ledger.drop(second)
        ledger.forget_reasoning()
    assert not reasoning_path(path).exists()
    assert keys_under_way(path) == set()


def test_what_is_under_way_is_not_mixed_with_another_kind(path: Path) -> None:
    other = {**HEADER, "temperature": 0.7}
    with open_ledger(path, HEADER, IDENTITY, "teach") as ledger:
        batch = ledger.add(1, ["12-0-1-ab"], {})
    with (
        pytest.raises(ArtifactError, match=r"sent with temperature 0.0, not 0.7, and are not all back"),
        open_ledger(path, other, IDENTITY, "teach"),
    ):
        pass
    with open_ledger(path, HEADER, IDENTITY, "teach") as ledger:
        ledger.change(batch, collected=True)
        ledger.keep([STEP])
    with pytest.raises(ArtifactError, match="not all back"), open_ledger(path, other, IDENTITY, "teach"):
        pass
    with open_ledger(path, HEADER, IDENTITY, "teach") as ledger:
        ledger.forget_reasoning()
    with open_ledger(path, other, IDENTITY, "teach") as ledger:
        assert ledger.under_way == []


def test_one_run_at_a_time(path: Path) -> None:
    with (
        open_ledger(path, HEADER, IDENTITY, "teach"),
        pytest.raises(ArtifactError, match="is in use by `ftcot teach`"),
        open_ledger(path, HEADER, IDENTITY, "teach"),
    ):
        pass


@pytest.mark.parametrize("content", ["{}", "[]", '{"metadata": {}, "batches": [{"colour": "red"}]}'])
def test_what_is_no_ledger_is_named(content: str, path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(ArtifactError, match=r"D_d.json: is no ledger of batches"):
        keys_under_way(path)


def test_a_custom_id_begins_with_its_key() -> None:
    assert key_of("97467-63-2-0123456789ab") == (97467, 63)
