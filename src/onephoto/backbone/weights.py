"""Other weights in a borrowed model, for the time of a `with` block."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from onephoto.errors import ModelError

# Where peft keeps the layer that it was put around, and the layers that it added.
WRAPPED, ADDED = ".base_layer", "lora_"


def own_weights(model: nn.Module) -> dict[str, Tensor]:
    """A model's parameters by the names that they have without adapters; the adapters' own are left out."""
    named = {name.replace(WRAPPED, ""): weight for name, weight in model.named_parameters()}
    return {name: weight for name, weight in named.items() if ADDED not in name}


@contextmanager
def replaced(model: nn.Module, parts: Mapping[str, Tensor] | Mapping[str, nn.Module]) -> Iterator[None]:
    """Within, these parameters or submodules of a model, by name, are the given ones, gradients and all.

    The model's own are not written to and are back in their places afterwards, also on error. Raises ModelError when
    the model has no such part.
    """
    places = {name: _place(model, name) for name in parts}
    before = {name: place[leaf] for name, (place, leaf) in places.items()}
    try:
        for name, (place, leaf) in places.items():
            place[leaf] = parts[name]
        yield
    finally:
        for name, (place, leaf) in places.items():
            place[leaf] = before[name]


@contextmanager
def shifted(model: nn.Module, differences: Mapping[str, Tensor], strength: float = 1.0) -> Iterator[None]:
    """Within, each parameter W named here is W + strength * difference.

    Raises ModelError when they do not fit, and for quantised weights.
    """
    own = own_weights(model) if differences else {}
    for name, difference in differences.items():
        if name not in own or own[name].shape != difference.shape:
            raise ModelError(f"the model has no {name} of shape {tuple(difference.shape)}; use the one learned on")
        if type(own[name]) not in (Tensor, nn.Parameter):
            raise ModelError(
                f"{name} is quantised, and this person's method changes it; load the model whole, or learn with sefi"
            )
    with torch.no_grad():
        weights = {name: own[name] + strength * difference.to(own[name].device, torch.float32)
                   for name, difference in differences.items()}  # fmt: skip
    frozen = {name: nn.Parameter(weight.to(own[name].dtype), False) for name, weight in weights.items()}
    with replaced(model, frozen):
        yield


def _place(model: nn.Module, name: str) -> tuple[dict, str]:
    """The dictionary that holds a parameter or a submodule, and its key there."""
    path, _, leaf = name.rpartition(".")
    try:
        owner = model.get_submodule(path)
    except AttributeError as error:
        raise ModelError(f"the model has no {path}; use the one learned on") from error
    # An adapter around a layer hides the layer's parameters one step deeper.
    owner = getattr(owner, WRAPPED[1:], owner)
    for place in (owner._parameters, owner._modules):
        if leaf in place:
            return place, leaf
    raise ModelError(f"the model has no {name}; use the one learned on")
