from pathlib import Path

import pytest

from finetune_cot.artifacts.subset_lists import find_subset_list, keep_subsets, read_subsets, write_subsets
from finetune_cot.errors import ArtifactError, DataError


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sampled_indices" / "x.txt"
    write_subsets(path, [(0, 2, 11), (1,)])
    assert path.read_text() == "0 2 11\n1\n"
    assert read_subsets(path, tasks=12) == [(0, 2, 11), (1,)]


def test_lists_of_other_hands_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("2, 0\n\n 1  1 \n")
    assert read_subsets(path) == [(0, 2), (1,)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no subset"),
        ("0 1\n0 x\n", "line 2: holds something else than task numbers"),
        ("0 5\n", "line 1: names task 5, but there are 5, from 0"),
        ("-1\n", "line 1: holds something else"),
    ],
)
def test_what_is_no_list_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_subsets(path, tasks=5)


def test_a_list_is_found_by_file_folder_or_name(tmp_path: Path) -> None:
    path = tmp_path / "sampled_indices" / "mine.txt"
    write_subsets(path, [(0,)])
    for given in (str(path), str(path.parent), "mine", "mine.txt"):
        assert find_subset_list(given, tmp_path) == path
    write_subsets(path.with_name("other.txt"), [(0,)])
    with pytest.raises(DataError, match="holds 2 lists"):
        find_subset_list(str(path.parent), tmp_path)
    with pytest.raises(DataError, match="no list of subsets is there"):
        find_subset_list("nothing", tmp_path)


def test_a_list_grows_but_is_never_exchanged(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    keep_subsets(path, [(0,), (1,)], overwrite=False)
    keep_subsets(path, [(0,), (1,), (2,)], overwrite=False)
    keep_subsets(path, [(0,)], overwrite=False)
    assert read_subsets(path) == [(0,), (1,), (2,)]
    with pytest.raises(ArtifactError, match="holds other subsets"):
        keep_subsets(path, [(1,)], overwrite=False)
    keep_subsets(path, [(1,)], overwrite=True)
    assert read_subsets(path) == [(1,)]
