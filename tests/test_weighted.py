"""People in prompts that another program encodes: the pipeline itself, and compel with its weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from adapters import CALL, PERSON, PLAIN, pipeline, seeded, somebody
from torch import Tensor

import onephoto
from onephoto.errors import PromptError

FAMILIES = ("sd1", "sdxl")


def by_the_pipeline(pipe: Any) -> Callable[[str], Any]:
    if getattr(pipe, "text_encoder_2", None) is None:
        return lambda text: pipe.encode_prompt(text, "cpu", 1, False)[0]

    def both(text: str) -> tuple[Tensor, Tensor]:
        made = pipe.encode_prompt(text, device="cpu", do_classifier_free_guidance=False)
        return made[0], made[2]

    return both


def drawn(pipe: Any, **prompt: Any) -> np.ndarray:
    return pipe(**prompt, **CALL, generator=seeded()).images


@pytest.mark.parametrize("family", FAMILIES)
def test_without_weights_it_is_the_same_prompt(family: str) -> None:
    pipe = pipeline(family)
    with onephoto.use(pipe, alice=somebody(pipe), bob=somebody(pipe, seed=1)) as people:
        for text in (PERSON, "<Bob> and <alice>, old", "a dog"):
            own, theirs = people.prompt(text, "red"), people.encoded_by(by_the_pipeline(pipe), text, "red")
            assert own.keys() == theirs.keys()
            for name in own:
                # The pooled vector is of the class word's prompt here, of the person's there.
                if "pooled" not in name or text == "a dog":
                    assert torch.allclose(own[name], theirs[name], atol=1e-5, equal_nan=True), (text, name)
    assert not pipe.text_encoder.get_input_embeddings()._forward_hooks


def test_what_cannot_be_encoded_so_is_refused() -> None:
    pipe = pipeline()
    with onephoto.use(pipe, alice=somebody(pipe)) as people:
        encode = by_the_pipeline(pipe)
        with pytest.raises(PromptError, match="different lengths"):
            people.encoded_by(lambda text: torch.cat([encode(text)] * (1 + (text == "red")), 1), PERSON, "red")


def compel_of(pipe: Any) -> Callable[[str], Any]:
    compel = pytest.importorskip("compel")
    if getattr(pipe, "text_encoder_2", None) is None:
        return compel.Compel(tokenizer=pipe.tokenizer, text_encoder=pipe.text_encoder)

    def both(text: str) -> tuple[Tensor, Tensor]:
        made = compel.CompelForSDXL(pipe)(text)
        return made.embeds, made.pooled_embeds

    return both


@pytest.mark.parametrize("family", FAMILIES)
def test_compels_weights_act_on_people_and_on_words(family: str) -> None:
    pipe = pipeline(family)
    encode = compel_of(pipe)
    before = drawn(pipe, prompt=PLAIN)
    with onephoto.use(pipe, alice=somebody(pipe)) as people:
        whole = drawn(pipe, **people.prompt(PERSON, ""))
        same = drawn(pipe, **people.encoded_by(encode, PERSON))
        more = drawn(pipe, **people.encoded_by(encode, PERSON.replace("<alice>", "<alice>++")))
        less = drawn(pipe, **people.encoded_by(encode, PERSON.replace("beach", "(beach)0.5")))
        assert np.array_equal(drawn(pipe, prompt=PLAIN), before)
    pictures = (before, whole, more, less)
    assert all(abs(a - b).max() > 1e-3 for number, a in enumerate(pictures) for b in pictures[:number])
    assert family == "sdxl" or abs(same - whole).max() < 1e-4


def test_compels_plain_prompts_pass_untouched() -> None:
    pipe = pipeline()
    encode = compel_of(pipe)
    embeds = {"prompt_embeds": encode("a photo of a dog++"), "negative_prompt_embeds": encode("")}
    before = drawn(pipe, **embeds)
    with onephoto.use(pipe, alice=somebody(pipe)):
        assert np.array_equal(drawn(pipe, **embeds), before)
