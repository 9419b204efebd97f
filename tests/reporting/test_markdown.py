import csv
import io
import re

from hypothesis import given
from hypothesis import strategies as st

from finetune_cot.reporting.highlights import Summary
from finetune_cot.reporting.markdown import MAX_ROWS, escape, table_to_markdown, to_markdown
from finetune_cot.reporting.sections import Section
from finetune_cot.reporting.tables import percent, table, to_csv


def cells_of(line: str) -> list[str]:
    """Cells of a row, as a Markdown reader divides it: at bars that no backslash precedes."""
    inner = line.removeprefix("| ").removesuffix(" |")
    return [cell.strip() for cell in re.split(r"(?<!\\)(?:\\\\)*\|", inner)]


def unescaped(text: str) -> str:
    return re.sub(r"\\([\\`*|<>\[\]~$_])", r"\1", text).replace("&amp;", "&")


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1), min_size=1, max_size=4)
)
def test_no_name_breaks_a_row_and_every_name_can_be_read_back(names: list[str]) -> None:
    lines = table_to_markdown(table("t", [f"c{place}" for place in range(len(names))], [names])).splitlines()
    assert [unescaped(cell) for cell in cells_of(lines[2])] == names


def test_keys_with_underscores_within_stay_as_they_are() -> None:
    assert escape("ft_cot_t70_8aug_gsm8k") == "ft_cot_t70_8aug_gsm8k"
    assert escape("_x_ a__b") == r"\_x\_ a\_\_b"


def test_markup_in_names_is_plain_text() -> None:
    assert escape("a|b *c* <img> [d](e) `f` $g$ &lt;") == r"a\|b \*c\* \<img\> \[d\](e) \`f\` \$g\$ &amp;lt;"
    assert escape("two\nlines") == "two lines"


def test_a_table_whole() -> None:
    made = table(
        "made",
        ["model", "train_loss", "empty", "file"],
        [["m|1", 0.123456, None, "f"], ["m2", percent(0.5, 0.01, strong=True), None, "f"]],
        csv_only=["file"],
        notes=["One.", "Two."],
    )
    assert table_to_markdown(made) == (
        "| model | train loss |\n| --- | ---: |\n| m\\|1 | 0.1235 |\n| m2 | **50.0 ± 1.0** |\n\nOne. Two."
    )
    assert to_csv(made) == "model,train_loss,empty,file\nm|1,0.123456,,f\nm2,0.5,,f\n"


def test_csv_quotes_what_it_must() -> None:
    rows = list(csv.reader(io.StringIO(to_csv(table("t", ["a"], [['x, "y"\nz']])))))
    assert rows == [["a"], ['x, "y"\nz']]


def test_long_tables_name_the_file_that_holds_the_rest() -> None:
    text = table_to_markdown(table("long", ["a"], [[number] for number in range(MAX_ROWS + 3)]))
    assert text.count("\n|") == MAX_ROWS + 1
    assert text.endswith("3 more rows are in [long.csv](long.csv).")


def test_a_section_links_to_its_files() -> None:
    made = Section("Accuracy", ("Words.",), (table("a b", ["x"], [[1]]),))
    assert to_markdown(
        "my_report", ["Head."], Summary(("*Found*.",), (), (("Nothing", "ftcot train"),)), [made], None
    ) == (
        "# my_report\n\nHead.\n\n## In short\n\n- \\*Found\\*.\n\n"
        "## What to do next\n\n- Nothing: `ftcot train`\n\n## Accuracy\n\nWords.\n\n"
        "| x |\n| ---: |\n| 1 |\n\nData: [a b.csv](a%20b.csv)\n"
    )
