"""The package's own weights as the place from which training goes on."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTokenizer

from onephoto.backbone.load import embedded_model

TOKEN_ROWS = "embeddings.token_embedding.weight"


def take_shipped(module: nn.Module, part: str, *, folder: Path | None = None) -> bool:
    """Give a module the weights of a part ("vae", "unet", "text_encoder") of a pipeline folder, the package's own
    unless given; says whether it could: False, and nothing changed, where they are missing or of other shapes.
    """
    return _takes(module, shipped_state(folder or embedded_model(), part))


def take_shipped_text(
    encoder: nn.Module, tokenizer: CLIPTokenizer, *, part: str = "text_encoder", folder: Path | None = None,
    vocabulary: Path | None = None,
) -> bool:  # fmt: skip
    """`take_shipped` for a text encoder whose vocabulary may have grown: rows go by token, new ones stay.

    vocabulary: the folder of the shipped one's tokenizer, where that does not lie beside it.
    """
    folder = folder or embedded_model()
    state, own = shipped_state(folder, part), encoder.state_dict()
    rows = next((name for name in own if name.endswith(TOKEN_ROWS)), None)
    if rows is None or rows not in state:
        return False
    vocabulary = vocabulary or folder / part.replace("text_encoder", "tokenizer")
    known = CLIPTokenizer.from_pretrained(vocabulary).get_vocab()
    shared = [(number, known[token]) for token, number in tokenizer.get_vocab().items() if token in known]
    here, there = (torch.tensor(column) for column in zip(*shared, strict=True))
    table = own[rows].clone()
    if table.shape[1:] != state[rows].shape[1:]:
        return False
    table[here] = state[rows][there].to(table.dtype)
    return _takes(encoder, state | {rows: table})


def _takes(module: nn.Module, state: dict[str, Tensor]) -> bool:
    shapes = {name: value.shape for name, value in module.state_dict().items()}
    if {name: value.shape for name, value in state.items()} != shapes:
        return False
    module.load_state_dict(state)
    return True


def shipped_state(folder: Path, part: str) -> dict[str, Tensor]:
    """The weights of a part of a pipeline folder, float32, or nothing."""
    paths = sorted((folder / part).glob("*.safetensors"))
    return {name: value.float() for path in paths for name, value in load_file(path).items()}
