"""The state of a run in one safetensors file: tensors by name, all else as JSON in its header, no pickle."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from onephoto.errors import SettingError
from onephoto.learn.fit import State

FORMAT = "onephoto checkpoint 1"


def save(path: Path, state: State, facts: Mapping[str, Any]) -> None:
    """Writes the state and the run's facts (anything JSON holds), wholly or not at all.

    The file is written beside its place and moved there, so that a run killed meanwhile keeps its last checkpoint.
    """
    tensors, header = flattened(state)
    text = json.dumps({"format": FORMAT, "facts": dict(facts), **header})
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        save_file(tensors, partial, metadata={"onephoto": text})
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path) -> tuple[State, dict[str, Any]]:
    """The state and the facts; raises SettingError when the file is missing or no checkpoint of this format."""
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("onephoto", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError, ValueError) as error:
        raise SettingError(f"{path}: cannot read the checkpoint ({error}); delete it to start anew") from error
    if header.get("format") != FORMAT:
        raise SettingError(f"{path}: not a checkpoint of this version; delete it to start anew")
    return restored(tensors, header), header["facts"]


def flattened(state: State) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A state as named tensors and what of it is not tensors."""
    slots = state.optimizer["state"]
    tensors = {
        "generator": state.generator,
        **{f"method.{name}": tensor for name, tensor in state.method.items()},
        **{f"optimizer.{slot}.{name}": tensor for slot, kept in slots.items() for name, tensor in kept.items()},
    }
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {
        "step": state.step, "groups": state.optimizer["param_groups"], "early_stop": state.early_stop,
        "loss_scale": state.loss_scale,
    }  # fmt: skip
    return contiguous, header


def restored(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> State:
    """The state that was flattened into these."""
    method = {name.removeprefix("method."): tensor for name, tensor in tensors.items() if name.startswith("method.")}
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, slot, field = name.split(".")
            slots.setdefault(int(slot), {})[field] = tensor
    optimizer = {"state": slots, "param_groups": header["groups"]}
    return State(
        header["step"],
        method,
        optimizer,
        tensors["generator"],
        header.get("early_stop", {}),
        header.get("loss_scale"),
    )
