"""From text to the tensors that condition the U-Net, with learned people anywhere in the text.

A pseudo-word such as "<alice>" becomes as many prompt tokens as were learned; its places carry the class word's id, and
a hook on the encoder's public input embedding puts the learned vectors there. So no token is added to any vocabulary.
"""

import itertools
import math
import re
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from onephoto.core.packing import Routing
from onephoto.core.tokens import TokenTable
from onephoto.errors import PromptError

if TYPE_CHECKING:
    from onephoto.backbone.load import Backbone

PSEUDO_WORD = re.compile(r"<([A-Za-z][\w-]*)>")


class PromptCutWarning(UserWarning):
    """Words at the end of a prompt did not fit into the text encoder."""


@dataclass(frozen=True)
class Word:
    """A word of the prompt and its columns in the attention maps."""

    text: str
    columns: tuple[int, ...]


@dataclass(frozen=True)
class Conditioning:
    """A prompt as tensors: U `contexts` (U, L, C), the `routing` of stages and layers to them, SDXL's `pooled` (P,),
    the prompt's `words`, and the words that were `cut` for want of room.
    """

    contexts: Tensor
    routing: Routing
    pooled: Tensor | None
    words: tuple[Word, ...]
    cut: tuple[str, ...]


@dataclass(frozen=True)
class _Piece:
    """Part of a prompt between white space: plain text, or a pseudo-word's lower-case name."""

    text: str
    name: str | None


@dataclass(frozen=True)
class _Tokenised:
    """Token ids (L,) and, by pseudo-word, the places of its tokens, once for every time it stands in the prompt."""

    ids: Tensor
    slots: tuple[tuple[str, tuple[int, ...]], ...]
    words: tuple[Word, ...]
    cut: tuple[str, ...]


def names_in(text: str) -> tuple[str, ...]:
    """Names of the pseudo-words in a prompt, lower-case, each once, in order."""
    return tuple(dict.fromkeys(name.lower() for name in PSEUDO_WORD.findall(text)))


def is_name(text: str) -> bool:
    """Whether "<text>" is a pseudo-word."""
    return PSEUDO_WORD.fullmatch(f"<{text}>") is not None


def _pieces(text: str, names: Collection[str]) -> list[_Piece]:
    """The prompt's pieces; a pseudo-word of nobody in names, such as a word that the pipeline has learned, is text."""
    pieces = []
    for chunk in text.split():
        place = 0
        for match in PSEUDO_WORD.finditer(chunk):
            if match.group(1).lower() not in names:
                continue
            if match.start() > place:
                pieces.append(_Piece(chunk[place : match.start()], None))
            pieces.append(_Piece(match.group(0).lower(), match.group(1).lower()))
            place = match.end()
        if place < len(chunk):
            pieces.append(_Piece(chunk[place:], None))
    return pieces


@dataclass(frozen=True)
class Choice:
    """A context that stages and layers ask for: each person's variant, and whether bypasses are added to it."""

    variants: Mapping[str, int]
    bypassed: bool = False


def combinations(tables: Mapping[str, TokenTable]) -> tuple[list[Choice], Routing]:
    """The distinct choices that stages and layers ask for, and which of them makes K and V where.

    Tables of different numbers of stages meet on common bounds: their least common multiple.
    """
    num_stages = math.lcm(1, *(table.num_stages for table in tables.values()))
    num_layers = max([1, *(table.key.shape[1] for table in tables.values())])
    found: dict[tuple[tuple[int, ...], bool], int] = {}
    sides = []
    for side in ("key", "value"):
        bypassed = side == "value" and any(table.bypass is not None for table in tables.values())
        choices = {name: getattr(table, side).tolist() for name, table in tables.items()}
        rows = []
        for stage in range(num_stages):
            row = []
            for layer in range(num_layers):
                own = (c[stage * len(c) // num_stages] for c in choices.values())
                choice = tuple(r[layer if len(r) > 1 else 0] for r in own)
                row.append(found.setdefault((choice, bypassed), len(found)))
            rows.append(row)
        sides.append(torch.tensor(rows))
    return [Choice(dict(zip(tables, own, strict=True)), bypassed) for own, bypassed in found], Routing(*sides)


def encode(
    backbone: "Backbone", text: str, tables: Mapping[str, TokenTable], *, classes: Mapping[str, str],
    clip_skip: int | None = None,
) -> Conditioning:  # fmt: skip
    """Encode a prompt with the learned people named in it; gradients reach the tables' vectors.

    tables: {name: TokenTable}, classes: {name: class word}, names in lower case. Warns (PromptCutWarning) naming words
    that do not fit. Raises PromptError for a "<name>" that is in neither.
    """
    used = {name: tables[name] for name in _known(backbone, text, tables)}
    choices, routing = combinations(used)
    return encode_choices(backbone, text, used, classes=classes, choices=choices, routing=routing, clip_skip=clip_skip)


def encode_plain(backbone: "Backbone", text: str) -> Conditioning:
    """Encode a prompt without learned people."""
    return encode(backbone, text, {}, classes={})


def _known(backbone: "Backbone", text: str, tables: Mapping[str, TokenTable]) -> tuple[str, ...]:
    """The people whom a prompt names. Words that the pipeline has from other files, as in "<cat-toy>", are its own."""
    others = {token.lower() for token in getattr(backbone.tokenizers[0], "added_tokens_encoder", ())}
    names = tuple(name for name in names_in(text) if name in tables or f"<{name}>" not in others)
    for name in names:
        if name not in tables:
            known = ", ".join(f"<{other}>" for other in tables) or "none is loaded"
            raise PromptError(f"the prompt names <{name}>, who is not known here; known: {known}")
    return names


def encode_choices(
    backbone: "Backbone", text: str, tables: Mapping[str, TokenTable], *, classes: Mapping[str, str],
    choices: Sequence[Choice], routing: Routing, clip_skip: int | None = None,
) -> Conditioning:  # fmt: skip
    """Encode a prompt under a routing that may be wider than the prompt needs; equal contexts are encoded once."""
    names = _known(backbone, text, tables)
    bypassing = [name for name in names if tables[name].bypass is not None]
    wanted = [tuple(choice.variants[name] for name in names) for choice in choices]
    distinct = {variants: place for place, variants in enumerate(dict.fromkeys(wanted))}
    rows = {name: [variants[place] for variants in distinct] for place, name in enumerate(names)}
    hidden, pooled, first = [], None, None
    for number, encoder_name in enumerate(backbone.encoder_names):
        tokenised = tokenise(backbone, number, text, {name: tables[name].num_tokens for name in names}, classes)
        first = first or tokenised
        vectors = {name: tables[name].vectors[encoder_name][rows[name]] for name in names}
        bypasses = {name: (tables[name].bypass or {})[encoder_name][rows[name]] for name in bypassing}
        encoder = backbone.text_encoders[number]
        hidden.append(
            _states(backbone, encoder, tokenised, vectors, bypasses, count=len(distinct), clip_skip=clip_skip)
        )
        if backbone.family == "sdxl" and number == len(backbone.encoder_names) - 1:
            pooled = encoder(tokenised.ids[None].to(backbone.device)).text_embeds[0]
    assert first is not None
    contexts = torch.cat(hidden, dim=-1)
    places = [
        distinct[own] + len(distinct) * bool(bypassing and choice.bypassed)
        for own, choice in zip(wanted, choices, strict=True)
    ]
    if places != list(range(len(contexts))):
        contexts = contexts[places]
    if first.cut:
        message = f"the prompt is too long for the text encoder; left out: {' '.join(first.cut)}"
        warnings.warn(message, PromptCutWarning, stacklevel=3)
    return Conditioning(contexts, routing, pooled, first.words, first.cut)


def tokenise(
    backbone: "Backbone", encoder: int, text: str, num_tokens: Mapping[str, int], classes: Mapping[str, str]
) -> _Tokenised:
    """Token ids of a prompt, each pseudo-word taking its tokens' number of places.

    CLIP's tokenizer never joins what white space parts, so piece by piece gives what the whole text gives.
    """
    tokenizer = backbone.tokenizers[encoder]
    room = backbone.max_length - 2
    ids: list[int] = []
    slots: list[tuple[str, tuple[int, ...]]] = []
    words: list[Word] = []
    cut: list[str] = []
    for piece in _pieces(text, num_tokens):
        if piece.name is None:
            own = _with_followers(tokenizer, tokenizer(piece.text, add_special_tokens=False).input_ids)
        else:
            class_ids = tokenizer(classes[piece.name], add_special_tokens=False).input_ids
            own = [class_ids[min(k, len(class_ids) - 1)] for k in range(num_tokens[piece.name])]
        if len(ids) + len(own) > room or cut:
            cut.append(piece.text)
            continue
        places = tuple(range(1 + len(ids), 1 + len(ids) + len(own)))
        ids += own
        words.append(Word(piece.text.strip(".,;:!?") or piece.text, places))
        if piece.name is not None:
            slots.append((piece.name, places))
    padding = [tokenizer.pad_token_id] * (room - len(ids))
    row = torch.tensor([tokenizer.bos_token_id, *ids, tokenizer.eos_token_id, *padding])
    return _Tokenised(row, tuple(slots), tuple(words), tuple(cut))


def _with_followers(tokenizer: Any, ids: Sequence[int]) -> list[int]:
    """A word that the pipeline has from a file of several vectors, as all of them: diffusers adds a token for each,
    "<cat-toy>", "<cat-toy>_1"... Its own rule misses words with capitals, which the tokenizer makes small.
    """
    added = getattr(tokenizer, "added_tokens_encoder", {})
    words = {number: word for word, number in added.items()}
    found = []
    for number in ids:
        followers = (f"{words.get(number)}_{k}" for k in itertools.count(1))
        found += [number, *(added[word] for word in itertools.takewhile(added.__contains__, followers))]
    return found


@contextmanager
def _spliced(
    encoder: Any, slots: Sequence[tuple[str, tuple[int, ...]]], vectors: Mapping[str, Tensor]
) -> Iterator[None]:
    """Within, the encoder's input embedding carries the vectors, {name: (U, n, width)}, at the slots' places."""

    def splice(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        output = output.clone()
        for name, places in slots:
            output[:, list(places)] = vectors[name].to(output)
        return output

    if not slots:
        yield
        return
    handle = encoder.get_input_embeddings().register_forward_hook(splice)
    try:
        yield
    finally:
        handle.remove()


def _states(
    backbone: "Backbone", encoder: Any, tokenised: _Tokenised, vectors: Mapping[str, Tensor],
    bypasses: Mapping[str, Tensor], *, count: int, clip_skip: int | None,
) -> Tensor:  # fmt: skip
    """What the U-Net reads of U = count combinations of tokens, (U, L, C); where there are bypasses, (2 U, L, C):
    behind them the same with the bypasses added.
    """
    ids = tokenised.ids.to(backbone.device).expand(count, -1)
    with _spliced(encoder, tokenised.slots, vectors):
        if not bypasses:
            return _hidden(backbone, encoder, ids, clip_skip)
        with _before_final_norm(encoder) as seen:
            plain = _hidden(backbone, encoder, ids, clip_skip)
    return torch.cat([plain, _bypassed(encoder, seen[-1], tokenised.slots, bypasses)])


def _hidden(backbone: "Backbone", encoder: Any, ids: Tensor, clip_skip: int | None) -> Tensor:
    """The hidden states that the family's U-Net reads: (U, L) -> (U, L, C)."""
    if backbone.family == "sdxl":
        states = encoder(ids, output_hidden_states=True).hidden_states
        return states[-2 if clip_skip is None else -(clip_skip + 2)]
    if clip_skip is None:
        return encoder(ids).last_hidden_state
    states = encoder(ids, output_hidden_states=True).hidden_states
    return _final_norm(encoder)(states[-(clip_skip + 1)])


def _final_norm(encoder: Any) -> nn.Module:
    return next(module for name, module in encoder.named_modules() if name.endswith("final_layer_norm"))


@contextmanager
def _before_final_norm(encoder: Any) -> Iterator[list[Tensor]]:
    """What the encoder's final norm is given within, pass after pass."""
    seen: list[Tensor] = []
    handle = _final_norm(encoder).register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    try:
        yield seen
    finally:
        handle.remove()


def _bypassed(
    encoder: Any, states: Tensor, slots: Sequence[tuple[str, tuple[int, ...]]], bypasses: Mapping[str, Tensor]
) -> Tensor:
    """The final norm of states (U, L, C) that have gained |h| times the bypass, {name: (U, n, C)}, at the slots."""
    changed = states.clone()
    for name, places in slots:
        if name in bypasses:
            own = states[:, list(places)]
            changed[:, list(places)] = own + own.norm(dim=-1, keepdim=True) * bypasses[name].to(own)
    return _final_norm(encoder)(changed)
