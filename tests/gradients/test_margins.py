"""Margins and their gradients against autograd through the definition, and where the definition breaks."""

import pytest
import torch
from torch import nn

from finetune_cot.batches.collation import Batch
from finetune_cot.batches.encoding import IGNORED
from finetune_cot.gradients.margins import (
    head_gradients,
    label_rows,
    losses_of,
    margins_,
    outer_derivative,
    padded_positions,
)


def by_definition(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    p = logits.softmax(dim=1).gather(1, targets[:, None])[:, 0]
    return p.log() - (1 - p).log()


@pytest.fixture
def logits() -> torch.Tensor:
    return 3 * torch.randn(6, 11, generator=torch.Generator().manual_seed(0))


TARGETS = torch.tensor([0, 3, 10, 3, 7, 1])


def test_margins_are_log_odds(logits: torch.Tensor) -> None:
    expected = by_definition(logits.double(), TARGETS)
    found = margins_(logits, TARGETS).margins
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


def test_losses_are_cross_entropies(logits: torch.Tensor) -> None:
    expected = nn.functional.cross_entropy(logits, TARGETS, reduction="none")
    torch.testing.assert_close(losses_of(margins_(logits.clone(), TARGETS).margins), expected)


@pytest.mark.parametrize("quantity", ["margin", "loss"])
def test_gradients_are_those_of_autograd(logits: torch.Tensor, quantity: str) -> None:
    exact = logits.double().requires_grad_()
    margins = by_definition(exact, TARGETS)
    value = margins if quantity == "margin" else nn.functional.cross_entropy(exact, TARGETS, reduction="none")
    (expected,) = torch.autograd.grad(value.sum(), exact)
    found = margins_(logits, TARGETS)
    gradient = found.gradient * outer_derivative(found.margins, quantity)[:, None]  # type: ignore[arg-type]
    torch.testing.assert_close(gradient.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("own", [-300.0, 300.0])
def test_certain_tokens_have_finite_margins_and_gradients(own: float) -> None:
    """Where p is 0 or 1 in float32, log p - log(1 - p) is infinite and its gradient not a number."""
    found = margins_(torch.tensor([[own, 0.0, 0.0]]), torch.tensor([0]))
    torch.testing.assert_close(found.margins, torch.tensor([own]) - torch.log(torch.tensor(2.0)))
    torch.testing.assert_close(found.gradient, torch.tensor([[-1.0, 0.5, 0.5]]))


def test_a_row_that_is_no_number_has_no_margin(logits: torch.Tensor) -> None:
    logits[2, 5] = torch.nan
    assert margins_(logits, TARGETS).margins.isnan().tolist() == [False, False, True, False, False, False]


def batch(labels: list[list[int]], mask: list[list[int]]) -> Batch:
    ids = torch.ones(len(labels), len(labels[0]), dtype=torch.long)
    return Batch(ids, torch.tensor(mask), torch.tensor(labels), ("t",) * len(labels), (0, 1), 1)


def test_a_decoder_predicts_at_the_position_before() -> None:
    rows = label_rows(
        batch([[IGNORED, 5, IGNORED, 6], [7, 8, IGNORED, IGNORED]], [[1, 1, 1, 1], [1, 1, 0, 0]]),
        encoder_decoder=False,
    )
    assert rows.sample.tolist() == [0, 0, 1]
    assert rows.position.tolist() == [0, 2, 0]
    assert rows.target.tolist() == [5, 6, 8]
    assert rows.counts.tolist() == [2, 1]


def test_filling_predicts_nothing() -> None:
    rows = label_rows(batch([[IGNORED, 7, 8], [1, 2, 3]], [[0, 1, 1], [1, 1, 1]]), encoder_decoder=False)
    assert rows.target.tolist() == [8, 2, 3]


def test_an_encoder_decoder_predicts_at_the_same_position() -> None:
    rows = label_rows(batch([[5, 6], [7, IGNORED]], [[1, 1], [1, 1]]), encoder_decoder=True)
    assert rows.position.tolist() == [0, 1, 0]
    assert rows.target.tolist() == [5, 6, 7]


def test_padded_rows_are_the_same_rows() -> None:
    rows = label_rows(
        batch([[1, IGNORED, 2, 3], [1, IGNORED, IGNORED, 4]], [[1] * 4] * 2), encoder_decoder=False
    )
    positions, real = padded_positions(rows)
    assert positions[real].tolist() == rows.position.tolist()
    assert real.tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize("quantity", ["margin", "loss"])
def test_chunks_of_rows_give_the_gradient_of_all(monkeypatch: pytest.MonkeyPatch, quantity: str) -> None:
    monkeypatch.setattr("finetune_cot.gradients.margins._CHUNK_LOGITS", 33)
    head, hidden = nn.Linear(5, 11), torch.randn(8, 5)
    targets = torch.arange(8)
    found = head_gradients(head.requires_grad_(False), hidden, targets, quantity)  # type: ignore[arg-type]
    exact = hidden.clone().requires_grad_()
    logits = head(exact)
    value = by_definition(logits, targets)
    if quantity == "loss":
        value = nn.functional.cross_entropy(logits, targets, reduction="none")
    (expected,) = torch.autograd.grad(value.sum(), exact)
    torch.testing.assert_close(found.gradient, expected, rtol=1e-4, atol=1e-5)
