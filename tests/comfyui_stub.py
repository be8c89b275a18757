"""A stub of ComfyUI's node interface, written from how ComfyUI calls nodes; it is not ComfyUI.

`Clip` stands for its CLIP object: rows of (token or vector, weight) pairs by text encoder in, context and pooled vector
out. `Model` stands for its ModelPatcher, and `attend` for what a cross-attention of its U-Net does with patches.
"""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from onephoto.backbone.load import Backbone


class Clip:
    """ComfyUI's CLIP over a tiny pipeline's text encoders."""

    def __init__(self, backbone: Backbone):
        self.backbone = backbone
        self.keys = ("l", "g") if backbone.family == "sdxl" else ("l",)

    def tokenize(self, text: str) -> dict[str, list[list[tuple]]]:
        rows = {}
        for key, tokenizer in zip(self.keys, self.backbone.tokenizers, strict=True):
            ids = tokenizer(text, padding="max_length", truncation=True, max_length=self.backbone.max_length).input_ids
            rows[key] = [[(token, 1.0) for token in ids]]
        return rows

    @torch.no_grad()
    def encode_from_tokens(self, tokens: dict[str, list[list[tuple]]], return_pooled: bool) -> tuple[Tensor, Tensor]:
        assert return_pooled
        states, pooled = [], torch.zeros(1, 1)
        for key, encoder in zip(self.keys, self.backbone.text_encoders, strict=True):
            (row,) = tokens[key]
            ids = torch.tensor([[0 if torch.is_tensor(token) else token for token, _ in row]])

            def put(module: Any, args: tuple, output: Tensor, row: list[tuple] = row) -> Tensor:
                output = output.clone()
                for place, (token, _) in enumerate(row):
                    if torch.is_tensor(token):
                        output[0, place] = token
                return output

            handle = encoder.get_input_embeddings().register_forward_hook(put)
            made = encoder(ids, output_hidden_states=True)
            handle.remove()
            states.append(made.hidden_states[-2] if len(self.keys) > 1 else made.last_hidden_state)
            pooled = getattr(made, "text_embeds", pooled)
        return torch.cat(states, dim=-1), pooled


class Sampling:
    """ComfyUI's model_sampling: noise levels to timesteps; here a level is a timestep."""

    def timestep(self, sigma: Tensor) -> Tensor:
        return sigma


class Model:
    """ComfyUI's ModelPatcher: patches on a clone, none on the original."""

    def __init__(self) -> None:
        self.patches: list[Any] = []

    def clone(self) -> "Model":
        made = Model()
        made.patches = list(self.patches)
        return made

    def set_model_attn2_patch(self, patch: Any) -> None:
        self.patches.append(patch)

    def get_model_object(self, name: str) -> Sampling:
        assert name == "model_sampling"
        return Sampling()

    def attend(self, context: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """What K and V of a cross-attention are made of."""
        query, value = torch.zeros(len(context), 4, 8), context
        for patch in self.patches:
            query, context, value = patch(query, context, value, {"sigmas": torch.tensor([sigma])})
        return context, value


def install(folder: Path) -> None:
    """ComfyUI's module folder_paths, with one folder of embeddings."""
    module = ModuleType("folder_paths")
    module.get_filename_list = lambda kind: sorted(path.name for path in folder.iterdir())  # type: ignore[attr-defined]
    module.get_full_path = lambda kind, name: str(folder / name)  # type: ignore[attr-defined]
    sys.modules["folder_paths"] = module
