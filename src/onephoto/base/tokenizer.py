"""The embedded model's vocabulary in CLIP's format: its own words and names, and every byte as a way out."""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"


def byte_symbols() -> list[str]:
    """CLIP's printable symbol for each of the 256 bytes: itself where printable, else a letter from 256 on."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    spare = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(spare)) for byte in range(256)]


def vocabulary_and_merges(words: Iterable[str]) -> tuple[dict[str, int], list[str]]:
    """Token numbers and merge rules under which each word is one token, and anything else falls back to bytes.

    Byte-pair training on the words alone goes on until no pair is left, so every word ends as one token.
    """
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=100_000, min_frequency=1, end_of_word_suffix="</w>", show_progress=False, special_tokens=[]
    )
    learner.train_from_iterator(sorted(set(words)), trainer)
    merges = [" ".join(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    symbols = byte_symbols()
    grown = (merge.replace(" ", "") for merge in merges)
    ordered = dict.fromkeys([*symbols, *(f"{symbol}</w>" for symbol in symbols), *grown, START, END])
    return {token: number for number, token in enumerate(ordered)}, merges


def build_tokenizer(folder: Path, words: Iterable[str], max_length: int) -> CLIPTokenizer:
    """A CLIP tokenizer over the words, its files written into the folder; pads with the end token as CLIP does."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, merges = vocabulary_and_merges(words)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
    return load_tokenizer(folder, max_length)


def load_tokenizer(folder: Path, max_length: int) -> CLIPTokenizer:
    """The tokenizer of a folder that `build_tokenizer` wrote."""
    return CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=max_length, pad_token=END
    )
