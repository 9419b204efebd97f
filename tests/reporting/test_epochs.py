from finetune_cot.reporting.epochs import epoch_accuracies, epoch_charts
from finetune_cot.reporting.runs import entries
from tests.reporting.made_up import measured, student_id


def test_every_measured_epoch_is_told_and_the_numbered_ones_are_drawn() -> None:
    rows = entries([measured(student_id(epoch=epoch), 2 + (epoch or 5)) for epoch in (1, 2, None)])
    table = epoch_accuracies(rows)
    assert [[cell.value for cell in row[5:7]] for row in table.rows] == [["1", 10], ["2", 10], ["last", 10]]
    (chart,) = epoch_charts(rows)
    assert [(point.x, round(point.y)) for point in chart.lines[0].points] == [(1, 30), (2, 40)]
    assert "n = 10" in chart.x_label


def test_one_epoch_is_no_series() -> None:
    rows = entries([measured(student_id(epoch=1), 3)])
    assert epoch_accuracies(rows).rows == ()
    assert list(epoch_charts(rows)) == []
