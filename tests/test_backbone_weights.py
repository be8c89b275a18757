import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from onephoto.backbone.weights import own_weights, replaced, shifted
from onephoto.errors import ModelError


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Linear(4, 2, bias=False))).requires_grad_(False)


def test_other_parameters_and_submodules_are_in_for_a_while_and_leave_no_trace() -> None:
    net, x = model(), torch.randn(5, 3)
    before, y = list(net.named_parameters()), net(x)
    weight = torch.zeros(4, 3, requires_grad=True)
    with pytest.raises(KeyError), replaced(net, {"0.weight": weight, "1.0": nn.Linear(4, 6)}):
        assert net(x).shape == (5, 6)
        net(x).sum().backward()
        raise KeyError
    assert weight.grad is not None
    assert [(name, id(value)) for name, value in net.named_parameters()] == [(n, id(v)) for n, v in before]
    assert torch.equal(net(x), y)


def test_a_shift_is_what_it_says_at_every_strength_and_in_narrow_numbers() -> None:
    net, gain = model(), {"1.0.weight": torch.full((2, 4), 0.25, dtype=torch.float16)}
    for strength in (0.0, 0.5, 1.0):
        expected = net[1][0].weight + strength * 0.25
        with shifted(net, gain, strength):
            torch.testing.assert_close(net[1][0].weight, expected)
    net.bfloat16()
    with shifted(net, gain):
        assert net[1][0].weight.dtype == torch.bfloat16


def test_an_adapter_around_a_layer_changes_neither_name_nor_place() -> None:
    net, x = model(), torch.randn(5, 3)
    names = set(own_weights(net))
    gain = {"0.weight": torch.randn(4, 3)}
    with shifted(net, gain):
        expected = net(x)
    inject_adapter_in_model(LoraConfig(r=2, target_modules=["0"]), net)
    assert set(own_weights(net)) == names
    with shifted(net, gain):
        torch.testing.assert_close(net(x), expected)


@pytest.mark.parametrize("name", ["0.weight", "0.scale", "7.weight"])
def test_what_does_not_fit_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="use the one learned on"), shifted(model(), {name: torch.zeros(2, 2)}):
        pass
    with (
        pytest.raises(ModelError, match="use the one"),
        replaced(model(), {name.replace("weight", "x"): nn.Linear(1, 1)}),
    ):
        pass
