import torch

from finetune_cot.gradients.directions import Directions


def test_inner_products_add_up_over_parameters_and_calls() -> None:
    torch.manual_seed(0)
    shapes = {"a": (2, 3), "b": (4,)}
    weights = [{name: torch.randn(shape) for name, shape in shapes.items()} for _ in range(2)]
    grads = {name: torch.randn(5, weight.numel()) for name, weight in weights[0].items()}
    directions = Directions(weights)
    out = torch.zeros(5, directions.width)
    directions.add(out, "a", grads["a"])
    directions.add(out[:3], "b", grads["b"][:3])
    directions.add(out[3:], "b", grads["b"][3:])
    whole = torch.cat([grads["a"], grads["b"]], dim=1)
    for place, direction in enumerate(weights):
        flat = torch.cat([direction["a"].flatten(), direction["b"]])
        torch.testing.assert_close(out[:, place], whole @ flat)
