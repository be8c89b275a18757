"""ComfyUI nodes that draw a learned person from the full identity file: K and V apart, stage by stage.

ComfyUI's own means alone are used: `clip.tokenize` and `clip.encode_from_tokens`, whose tokens may be vectors, and
`model.set_model_attn2_patch`, which may hand cross-attention other K and V. The contexts of all stages travel as one
conditioning, packed as everywhere in onephoto.
"""

from collections.abc import Callable
from typing import Any

import folder_paths
import torch

from onephoto.backbone.prompts import names_in
from onephoto.core.packing import Routing, pack, packed_length, select, unpack
from onephoto.core.stages import stage_index
from onephoto.core.tokens import TokenTable
from onephoto.errors import PromptError, SettingError
from onephoto.identity.file import IdentityFile, load
from onephoto.methods import get_method

ENCODERS = {"l": "text_encoder", "h": "text_encoder", "g": "text_encoder_2"}
"""ComfyUI's keys of tokens, by text encoder: CLIP L (1.x, SDXL), CLIP H (2.x), CLIP G (SDXL's second)."""
TIMESTEPS = 1000
"""T of every Stable Diffusion model."""
PLACEHOLDER = "zqx"
"""Stands for a person while text becomes tokens: short, and no word."""


class LoadIdentity:
    """An identity file of models/embeddings as a person."""

    CATEGORY, FUNCTION = "onephoto", "load"
    RETURN_TYPES, RETURN_NAMES = ("ONEPHOTO_PERSON",), ("person",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The files that there are."""
        files = [name for name in folder_paths.get_filename_list("embeddings") if name.endswith(".safetensors")]
        return {"required": {"file": (files,)}}

    def load(self, file: str) -> tuple[IdentityFile]:
        """Raises IdentityFileError for a file that is no identity."""
        return (load(folder_paths.get_full_path("embeddings", file)),)


class PromptWithPerson:
    """A model and a positive conditioning in which "<name>" is the person."""

    CATEGORY, FUNCTION = "onephoto", "encode"
    RETURN_TYPES, RETURN_NAMES = ("MODEL", "CONDITIONING"), ("model", "positive")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """Model, CLIP, person, text."""
        text = ("STRING", {"multiline": True, "default": "a photo of <alice>"})
        return {"required": {"model": ("MODEL",), "clip": ("CLIP",), "person": ("ONEPHOTO_PERSON",), "text": text}}

    def encode(self, model: Any, clip: Any, person: IdentityFile, text: str) -> tuple[Any, list]:
        """Raises PromptError for a text that does not name the person, SettingError for a method that cannot be."""
        table = person_table(person)
        if names_in(text) != (person.name,):
            raise PromptError(f"the text must name <{person.name}> and nobody else")
        contexts, pooled = encoded(clip, text, person.name, table)
        patched = model.clone()
        patched.set_model_attn2_patch(attention_patch(model, table, len(contexts), contexts.shape[1]))
        return patched, [[pack(contexts[None]), {"pooled_output": pooled}]]


def person_table(person: IdentityFile) -> TokenTable:
    """The person's tokens by stage; raises SettingError where ComfyUI offers no place for what the method needs."""
    spec = get_method(person.method)
    if spec.change is not None:
        raise SettingError(f"<{person.name}> changes the model's weights; learn with sefi or textual-inversion")
    table = spec.table(person.tensors, person.metadata)
    if table.bypass is not None or table.key.shape[1] > 1:
        raise SettingError(f"<{person.name}> was learned by {person.method}; learn with sefi or textual-inversion")
    return table


def encoded(clip: Any, text: str, name: str, table: TokenTable) -> tuple[torch.Tensor, torch.Tensor]:
    """One context for each variant of the person's tokens, (U, L, C), and the pooled vector of the first."""
    plain, ends = clip.tokenize(_with_placeholder(text, name)), _ends(clip)
    signs = {key: _inner(rows[0], ends[key]) for key, rows in clip.tokenize(PLACEHOLDER).items()}
    contexts, pooled = [], None
    for variant in range(len(next(iter(table.vectors.values())))):
        tokens = {
            key: [spliced(rows[0], signs[key], table.vectors[ENCODERS[key]][variant], ends[key])]
            for key, rows in plain.items()
        }
        context, first = clip.encode_from_tokens(tokens, return_pooled=True)
        contexts.append(context[0])
        pooled = first if pooled is None else pooled
    assert pooled is not None
    return torch.stack(contexts), pooled


def _with_placeholder(text: str, name: str) -> str:
    """The text with the placeholder, parted by spaces, for every "<name>" in any case."""
    lower, mark = text.lower(), f"<{name}>"
    while mark in lower:
        place = lower.index(mark)
        text = f"{text[:place]} {PLACEHOLDER} {text[place + len(mark) :]}"
        lower = text.lower()
    return text


def _ends(clip: Any) -> dict[str, int]:
    """The token that ends a text, by text encoder: what follows the beginning where there is no text."""
    return {key: rows[0][1][0] for key, rows in clip.tokenize("").items()}


def _inner(row: list[tuple], end: int) -> list[int]:
    """A word's own tokens, between beginning and end."""
    tokens = [pair[0] for pair in row]
    return tokens[1 : tokens.index(end, 1)]


def spliced(row: list[tuple], sign: list[int], vectors: torch.Tensor, end: int) -> list[tuple]:
    """A row of ComfyUI's (token, weight) pairs with vectors (n, width) in the sign's places, as long as it was.

    Raises PromptError when the sign does not stand in it: the text was too long.
    """
    tokens, found, place, seen = [pair[0] for pair in row], [], 0, False
    while place < len(row):
        here = tokens[place : place + len(sign)] == sign
        found += [(vector, *row[place][1:]) for vector in vectors] if here else [row[place]]
        place, seen = place + (len(sign) if here else 1), seen or here
    if not seen:
        raise PromptError("the text is too long for the text encoder before it names the person; make it shorter")
    if len(found) > len(row):
        return [*found[: len(row) - 1], (end, *row[-1][1:])]
    return [*found, *[row[-1]] * (len(row) - len(found))]


def attention_patch(model: Any, table: TokenTable, number: int, length: int) -> Callable[..., tuple]:
    """A patch of cross-attention that picks the stage's K and V out of a packed conditioning, and passes any other."""
    sampling = model.get_model_object("model_sampling")
    routing = Routing(table.key, table.value)

    def patch(query: Any, context: Any, value: Any, options: dict[str, Any]) -> tuple:
        if packed_length(context, number, length) != length:
            return query, context, value
        t = (
            torch.as_tensor(sampling.timestep(options["sigmas"]))
            .to(context.device)
            .reshape(-1)[:1]
            .expand(len(context))
        )
        stage = stage_index(t, routing.num_stages, 1000)
        contexts, _ = unpack(context, number, length)
        return query, *select(contexts, routing.to(context.device), stage, 0)

    return patch


NODE_CLASS_MAPPINGS = {"OnephotoLoadIdentity": LoadIdentity, "OnephotoPromptWithPerson": PromptWithPerson}
NODE_DISPLAY_NAME_MAPPINGS = {
    "OnephotoLoadIdentity": "Load identity",
    "OnephotoPromptWithPerson": "Prompt with a person",
}
