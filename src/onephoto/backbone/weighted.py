"""People in prompts that another program encodes, such as compel with its weights on words."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from onephoto.backbone.load import Backbone
from onephoto.backbone.prompts import PSEUDO_WORD, Choice, names_in
from onephoto.core.tokens import TokenTable
from onephoto.errors import PromptError

Encode = Callable[[str], Any]
"""A text to what the U-Net reads, (1, L, C), or for SDXL to that and the pooled vector, (1, W)."""


def encoded_choices(
    backbone: Backbone, text: str, tables: Mapping[str, TokenTable], choices: list[Choice], encode: Encode
) -> tuple[Tensor, Tensor | None]:
    """What `encode` makes of a text under every choice of tokens, (U, L, C), and the pooled vector (1, W) of SDXL.

    People stand in the text as ordinary words of one token each, whose rows of the text encoders' embeddings are the
    people's meanwhile. Raises PromptError for people whose method needs more than that.
    """
    names = [name for name in names_in(text) if name in tables]
    if any(tables[name].bypass is not None for name in names):
        raise PromptError("NeTI's people act behind the text encoder too; encode them with people.prompt")
    words = _stand_ins(backbone, text, {name: tables[name].num_tokens for name in names})
    said = PSEUDO_WORD.sub(lambda word: " ".join(words.get(word[1].lower(), [word[0]])), text)
    made: dict[tuple[int, ...], Any] = {}
    for choice in choices:
        variants = tuple(choice.variants[name] for name in names)
        if variants not in made:
            with _spoken(backbone, {name: (tables[name], choice.variants[name]) for name in names}, words):
                made[variants] = encode(said)
    first = next(iter(made.values()))
    pooled = first[1] if isinstance(first, tuple | list) else None
    contexts = {key: one[0] if isinstance(one, tuple | list) else one for key, one in made.items()}
    return torch.cat([contexts[tuple(choice.variants[name] for name in names)] for choice in choices]), pooled


def _stand_ins(backbone: Backbone, text: str, counts: Mapping[str, int]) -> dict[str, list[str]]:
    """As many words as each person has tokens, none of them in the text, each of one token in every tokenizer."""
    spoken = text.lower()
    vocabulary = backbone.tokenizers[0].get_vocab()  # a hash map, whose own order changes from run to run
    entries = (re.fullmatch(r"([a-z]{3,9})</w>", entry) for entry in sorted(vocabulary, key=vocabulary.__getitem__))
    free = (
        found[1] for found in entries
        if found and found[1] not in spoken and all(len(_ids(one, found[1])) == 1 for one in backbone.tokenizers)
    )  # fmt: skip
    try:
        return {name: [next(free) for _ in range(count)] for name, count in counts.items()}
    except StopIteration as error:
        raise PromptError("the tokenizer has no words left to stand for people; shorten the prompt") from error


def _ids(tokenizer: Any, word: str) -> list[int]:
    return tokenizer(word, add_special_tokens=False).input_ids


@contextmanager
def _spoken(
    backbone: Backbone, people: Mapping[str, tuple[TokenTable, int]], words: Mapping[str, list[str]]
) -> Iterator[None]:
    """Within, the text encoders read the people's tokens of these variants in their stand-ins' places."""
    handles = []
    for name, encoder, tokenizer in zip(
        backbone.encoder_names, backbone.text_encoders, backbone.tokenizers, strict=True
    ):
        rows = {
            _ids(tokenizer, word)[0]: vector
            for person, (table, variant) in people.items()
            for word, vector in zip(words[person], table.vectors[name][variant], strict=True)
        }
        handles.append(encoder.get_input_embeddings().register_forward_hook(_reading(rows)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _reading(rows: Mapping[int, Tensor]) -> Callable[[nn.Module, tuple, Tensor], Tensor]:
    def read(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        for number, vector in rows.items():
            output = torch.where((args[0] == number)[..., None], vector.to(output), output)
        return output

    return read
