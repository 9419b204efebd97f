import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from finetune_cot.errors import UsageError
from finetune_cot.gradients.projection import Projection, Projector

SHAPES = {"a": torch.Size([4, 30]), "b": torch.Size([50, 4]), "c": torch.Size([7])}
SIZES = {name: math.prod(shape) for name, shape in SHAPES.items()}
KINDS = ("count-sketch", "sjlt", "rademacher")


def gradients(samples: int, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(samples, size, generator=generator) for name, size in SIZES.items()}


def projected(projector: Projector, grads: dict[str, torch.Tensor]) -> torch.Tensor:
    out = projector.zeros(len(next(iter(grads.values()))))
    for name, values in grads.items():
        projector.add(out, name, values)
    return out


def make(kind: Any, dim: int = 64, seed: int = 0, shapes: dict[str, torch.Size] = SHAPES) -> Projector:
    return Projector(Projection(kind, dim, seed), shapes, "cpu")


@pytest.mark.parametrize("kind", KINDS)
def test_batches_and_order_do_not_show(kind: str) -> None:
    grads = gradients(9)
    whole = projected(make(kind), grads)
    for part in (slice(0, 1), slice(3, 9)):
        alone = projected(make(kind), {name: grads[name][part] for name in reversed(grads)})
        torch.testing.assert_close(alone, whole[part], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_parameter_is_projected_the_same_whatever_else_there_is(kind: str) -> None:
    grads = gradients(3)
    alone = projected(make(kind, shapes={"b": SHAPES["b"]}), {"b": grads["b"]})
    others = projected(make(kind), {"a": grads["a"], "c": grads["c"]})
    torch.testing.assert_close(alone + others, projected(make(kind), grads), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_inner_products_are_unbiased(kind: str) -> None:
    grads = gradients(2)
    flat = torch.cat(list(grads.values()), dim=1)
    exact = (flat @ flat.T).numpy()
    seen = []
    for seed in range(300):
        features = projected(make(kind, seed=seed), grads)
        seen.append((features @ features.T).numpy())
    error = np.std(seen, axis=0) / np.sqrt(len(seen))
    assert (np.abs(np.mean(seen, axis=0) - exact) < 4 * error + 1e-3).all()


@pytest.mark.parametrize("kind", ["count-sketch", "sjlt"])
@pytest.mark.parametrize("dim", [100, 400])
def test_as_exact_as_dense_signs(kind: str, dim: int) -> None:
    shapes = {"w": torch.Size([3000])}
    generator = torch.Generator().manual_seed(1)
    shared = torch.randn(1, 3000, generator=generator)
    scale = torch.arange(1, 3001) ** -0.3
    grads = {"w": (0.3 * shared + torch.randn(40, 3000, generator=generator)) * scale}
    norms = grads["w"].norm(dim=1)
    exact = grads["w"] @ grads["w"].T / (norms[:, None] * norms)
    pairs = ~torch.eye(40, dtype=torch.bool)

    def rms(which: str) -> float:
        errors = []
        for seed in range(6):
            features = projected(make(which, dim, seed, shapes), grads)
            found = features @ features.T / (norms[:, None] * norms)
            errors.append((found - exact)[pairs].pow(2).mean().item())
        return math.sqrt(np.mean(errors))

    assert rms(kind) < 1.1 * rms("rademacher")


@pytest.mark.parametrize("kind", [*KINDS, "none"])
def test_lifting_is_the_adjoint_of_projecting(kind: str) -> None:
    projector = make(kind)
    grads = gradients(1, seed=5)
    theta = torch.randn(projector.width, generator=torch.Generator().manual_seed(6))
    lifted = projector.lift(theta)
    assert {name: value.shape for name, value in lifted.items()} == SHAPES
    inner = sum((lifted[name].flatten() * grads[name][0]).sum() for name in SHAPES)
    torch.testing.assert_close(projected(projector, grads)[0] @ theta, inner, rtol=1e-4, atol=1e-4)
    weights = {name: grads[name][0].view(SHAPES[name]) for name in SHAPES}
    torch.testing.assert_close(projector.project_weights(weights), projected(projector, grads)[0])


def test_none_keeps_gradients_in_the_order_of_their_names() -> None:
    grads = gradients(2)
    expected = torch.cat([grads["a"], grads["b"], grads["c"]], dim=1)
    torch.testing.assert_close(projected(make("none", 0), dict(reversed(grads.items()))), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_and_names_differ(kind: str) -> None:
    values = torch.ones(1, 120)
    one = projected(make(kind, seed=0), {"a": values})
    assert not torch.equal(one, projected(make(kind, seed=1), {"a": values}))
    assert not torch.equal(one, projected(make(kind, shapes={"z": torch.Size([120])}), {"z": values}))
    assert torch.equal(one, projected(make(kind, seed=0), {"a": values}))


@pytest.mark.parametrize("kind", ["count-sketch", "sjlt"])
def test_a_large_model_is_projected_in_bounded_memory(kind: str) -> None:
    """1e7 weights: indices and signs of all of them would take 120 MB for each entry of a row."""
    code = f"""
import resource, torch
from finetune_cot.gradients.projection import Projection, Projector
projector = Projector(Projection("{kind}", 128, 0), {{"w": torch.Size([10_000_000])}}, "cpu")
grads = torch.ones(1, 10_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
out = projector.zeros(1)
projector.add(out, "w", grads)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, float(out.norm()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    megabytes, norm = done.stdout.split()
    assert int(megabytes) < 300
    assert float(norm) == pytest.approx(math.sqrt(10_000_000), rel=0.3)


def test_what_cannot_be_is_told() -> None:
    with pytest.raises(UsageError, match="'dense' is no projection"):
        Projection("dense", 4, 0)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="0 is no dimension for sjlt"):
        Projection("sjlt", 0, 0)
