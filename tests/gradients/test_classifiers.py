"""Per-sample gradients of a classifier, head included, are those of autograd on one sample at a time."""

from typing import Any

import pytest
import torch
import transformers as hf

from finetune_cot.batches.collation import Batch, collate
from finetune_cot.batches.encoding import Choice, EncodedExample
from finetune_cot.gradients.per_sample import per_sample_gradients, recording
from finetune_cot.models.classification import head_parameters, label_config
from finetune_cot.tasks.label_space import LabelSpace
from finetune_cot.training.loss import mean_sample_losses
from tests.gradients.families import CONFIGS, PAD, VOCABULARY, only, padded_left, with_lora
from tests.gradients.reference import Exact, one_by_one, relative_error

pytestmark = pytest.mark.models

LABELS = LabelSpace({"cola": ("no", "yes"), "mnli": ("yes", "maybe", "no"), "stsb": ("score",)})
_ENCODER = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "pad_token_id": PAD,
}
ENCODERS: dict[str, Any] = {
    "bert": lambda: hf.BertConfig(**_ENCODER),
    "roberta": lambda: hf.RobertaConfig(**_ENCODER),
}
FAMILIES = ("llama", "gpt2", "bert", "roberta", "flan_t5")
END = 2


def build(family: str) -> Any:
    torch.manual_seed(0)
    config = (ENCODERS | dict(CONFIGS))[family]()
    config.update(label_config(LABELS))
    return hf.AutoModelForSequenceClassification.from_config(config).eval()


def samples(family: str, tasks: tuple[str, ...] = ("cola", "mnli")) -> list[EncodedExample]:
    random = torch.Generator().manual_seed(7)
    made = []
    for index in range(6):
        task, length = tasks[index % len(tasks)], 5 + (5 * index) % 7
        ids = (*torch.randint(3, VOCABULARY, (length,), generator=random).tolist(), END)
        rows = LABELS.rows(task)
        score = 0.7 * index if task == "stsb" else None
        types = tuple(int(place > 2) for place in range(len(ids))) if family == "bert" else ()
        choice = Choice(task, rows, len(LABELS.names), score, types)
        made.append(EncodedExample(index, task, ids, (rows[index % len(rows)],), choice))
    return made


def batch_of(family: str, *tasks: str) -> Batch:
    return collate(samples(family, tasks or ("cola", "mnli")), PAD)


def margin_and_loss(model: Any, example: EncodedExample) -> tuple[torch.Tensor, torch.Tensor]:
    """The odds of the label among its task's labels, or the squared error, as one would write them down."""
    choice = example.choice
    assert choice
    types = {"token_type_ids": torch.tensor([choice.token_types])} if choice.token_types else {}
    logits = model(input_ids=torch.tensor([example.input_ids]), **types).logits[0].double()
    own = logits[choice.rows.start : choice.rows.stop]
    if choice.score is not None:
        return torch.zeros(()), (own[0] - choice.score) ** 2
    log = own.log_softmax(dim=0)[example.labels[0] - choice.rows.start]
    return log - torch.log1p(-log.exp()), -log


@pytest.mark.parametrize("quantity", ["margin", "loss"])
@pytest.mark.parametrize("family", FAMILIES)
def test_lora_and_head(family: str, quantity: Any) -> None:
    model = with_lora(build(family))
    with recording(model, Exact(model)) as record:
        found = record(batch_of(family), quantity)
        assert record.slow_layers == ()
        alone = [record(collate([sample], PAD), quantity).features for sample in samples(family)]
    expected = one_by_one(model, samples(family), quantity, margin_and_loss)
    assert relative_error(found.features, expected) < 1e-4
    assert relative_error(found.features, torch.cat(alone)) < 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_whole_models(family: str) -> None:
    """BERT's pooler is outside its blocks, and takes the fast path as well."""
    model = build(family)
    with recording(model, Exact(model)) as record:
        found = record(batch_of(family), "margin")
        assert set(record.slow_layers) <= {"Embedding", "RobertaEmbeddings"}
    expected = one_by_one(model, samples(family), "margin", margin_and_loss)
    assert relative_error(found.features, expected) < 1e-4


def test_a_score_has_a_loss_and_no_margin() -> None:
    model = with_lora(build("llama"))
    tasks = ("stsb", "cola")
    found = per_sample_gradients(model, batch_of("llama", *tasks), Exact(model), "loss")
    expected = one_by_one(model, samples("llama", tasks), "loss", margin_and_loss)
    assert relative_error(found.features, expected) < 1e-4
    losses = [margin_and_loss(model, sample)[1].item() for sample in samples("llama", tasks)]
    assert found.losses.tolist() == pytest.approx(losses, rel=1e-5)
    assert found.margins[::2].tolist() == [0, 0, 0]
    measured = mean_sample_losses(model, batch_of("llama", *tasks))
    assert measured.tolist() == pytest.approx(losses, rel=1e-5)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_padding_may_come_first(family: str) -> None:
    """Of decoders; an encoder's head reads the first position."""
    model = with_lora(build(family))
    batch = batch_of(family)
    left = padded_left(batch)._replace(labels=batch.labels)
    with recording(model, Exact(model)) as record:
        assert relative_error(record(left, "margin").features, record(batch, "margin").features) < 1e-4


def test_labels_of_other_tasks_have_no_part() -> None:
    """Neither in a sample's loss nor in its gradient on their rows of the head."""
    model = only(build("gpt2"), "score")
    found = per_sample_gradients(model, batch_of("gpt2"), Exact(model), "margin")
    (head,) = head_parameters(model).values()
    by_row = found.features.view(-1, *head.shape).norm(dim=2) > 0
    choices = batch_of("gpt2").choices
    assert choices
    assert torch.equal(by_row, choices.allowed)
