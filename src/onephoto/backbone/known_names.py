"""Names of people whom a base model was trained to draw, and their token embeddings."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from onephoto.backbone.load import Backbone
from onephoto.errors import SettingError

# Publicly known people by first and last name for real models, and the embedded model's own people.
LISTS = ("famous_names.txt", "world_names.txt")
ENOUGH = 100
"""A list is the model's when its tokenizer holds this many of its names word by word."""


def known_names(backbone: Backbone) -> tuple[str, ...]:
    """The names of the first list that the model's tokenizer knows, each of whose words is one token.

    Raises SettingError when it knows neither list.
    """
    for name in LISTS:
        names = (Path(__file__).parent / "data" / name).read_text(encoding="utf-8").split("\n")[:-1]
        ids = backbone.tokenizers[0](names, add_special_tokens=False).input_ids
        whole = tuple(name for name, own in zip(names, ids, strict=True) if len(own) == len(name.split()))
        if len(whole) >= ENOUGH:
            return whole
    raise SettingError("no names of people are known of this model; give names that it can draw in the setting names")


@torch.no_grad()
def mean_name(backbone: Backbone) -> dict[str, Tensor]:
    """The mean of the known names' embeddings, {encoder: (n, width)} float32, n tokens a name: nobody in particular,
    amid all whom the model knows. Raises SettingError when it knows no names.
    """
    ids = backbone.tokenizers[0](list(known_names(backbone)), add_special_tokens=False).input_ids
    length = max(map(len, ids))
    whole = torch.tensor([own for own in ids if len(own) == length])
    tables = (encoder.get_input_embeddings().weight for encoder in backbone.text_encoders)
    rows = (table[whole.to(table.device)].float() for table in tables)
    return {name: own.mean(0) for name, own in zip(backbone.encoder_names, rows, strict=True)}


@torch.no_grad()
def name_vectors(backbone: Backbone, names: Sequence[str]) -> Tensor:
    """Embeddings of M names of n tokens each, of the first text encoder: (M, n, width), float32.

    Raises SettingError for fewer than two names, or names of different numbers of tokens.
    """
    ids = backbone.tokenizers[0](list(names), add_special_tokens=False).input_ids if names else []
    if len(ids) < 2 or len({len(own) for own in ids}) > 1:
        raise SettingError("names must be two or more, all of the same number of tokens")
    return backbone.text_encoders[0].get_input_embeddings().weight[torch.tensor(ids).to(backbone.device)].float()
