from pathlib import Path

import pytest

from finetune_cot.errors import DataError
from finetune_cot.tasks.text_files import parse_json, read_json, read_text, refuse_other, store_text


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": "\xc3\xbc"}')
    assert read_json(path) == {"a": "ü"}


def test_other_encodings_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"one\ntwo \xfc\n")
    with pytest.raises(DataError, match=r"a\.json, line 2: is no UTF-8 text; save the file as UTF-8"):
        read_text(path)


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not there"):
        read_text(tmp_path / "none")
    with pytest.raises(DataError, match="cannot be read"):
        read_text(tmp_path)


def test_places_count_from_the_line_on_which_the_text_begins() -> None:
    with pytest.raises(DataError, match="f, line 12, column 3"):
        parse_json("{\n  x}", "f", 11)


def test_whole_characters_in_escapes_are_fine() -> None:
    assert parse_json(r'"\ud83d\ude00 \u00fc"', "f") == "😀 ü"
    with pytest.raises(DataError, match="f, line 3: holds half a character"):
        parse_json(r'{"a": ["\uDE00"]}', "f", 3)


def test_files_are_stored_once(tmp_path: Path) -> None:
    path = tmp_path / "dataset" / "a.json"
    assert store_text(path, "ü", overwrite=False)
    assert not store_text(path, "ü", overwrite=False)
    refuse_other(path, "ü")
    with pytest.raises(DataError, match="is there already and differs; use --overwrite, or another name"):
        store_text(path, "u", overwrite=False)
    assert store_text(path, "u", overwrite=True)
    assert path.read_text() == "u"
