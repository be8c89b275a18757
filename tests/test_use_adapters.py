"""A person beside other adapters: each changes the picture, the person changes it too, and no trace stays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import disk_offload
from adapters import CALL, PERSON, PLAIN, ip_adapter, lora, pipeline, seeded, somebody

import onephoto
from onephoto.errors import ModelError
from onephoto.generate import refine
from onephoto.generate.draw import DrawSettings
from onephoto.identity.faces import Face

FAMILIES = ("sd1", "sdxl")


def drawn(pipe: Any, **arguments: Any) -> np.ndarray:
    return pipe(**arguments, **CALL, generator=seeded()).images


def differ(*images: np.ndarray) -> bool:
    """Whether no two pictures are alike."""
    pairs = [(a, b) for number, a in enumerate(images) for b in images[:number]]
    return all(abs(a - b).max() > 1e-3 for a, b in pairs)


def put_lora(pipe: Any) -> dict[str, Any]:
    pipe.load_lora_weights(lora(pipe), adapter_name="style")
    return {}


def put_ip_adapter(pipe: Any) -> dict[str, Any]:
    pipe.load_ip_adapter(ip_adapter(pipe), subfolder="", weight_name="", image_encoder_folder=None)
    picture = torch.randn(2, 1, 12, generator=seeded(5))
    return {"ip_adapter_image_embeds": [picture]}


PUT = {
    "lora": (put_lora, lambda pipe: pipe.unload_lora_weights()),
    "ip-adapter": (put_ip_adapter, lambda pipe: pipe.unload_ip_adapter()),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("adapter", PUT)
def test_a_person_beside_an_adapter(adapter: str, family: str) -> None:
    put, take = PUT[adapter]
    pipe = pipeline(family)
    identity = somebody(pipe)
    before = drawn(pipe, prompt=PLAIN)
    with onephoto.use(pipe, alice=identity) as people:
        person = drawn(pipe, **people.prompt(PERSON))
    arguments = put(pipe)
    adapted = drawn(pipe, prompt=PLAIN, **arguments)
    with onephoto.use(pipe, alice=identity) as people:
        both = drawn(pipe, **people.prompt(PERSON), **arguments)
        assert np.array_equal(drawn(pipe, prompt=PLAIN, **arguments), adapted)
    assert differ(before, person, adapted, both)
    assert np.array_equal(drawn(pipe, prompt=PLAIN, **arguments), adapted)
    with onephoto.use(pipe, alice=identity, strengths={"alice": 0}) as people:
        assert abs(drawn(pipe, **people.prompt(PERSON), **arguments) - adapted).max() < 1e-4
    take(pipe)
    assert np.array_equal(drawn(pipe, prompt=PLAIN), before)


@pytest.mark.parametrize("adapter", PUT)
def test_adapters_come_and_go_while_people_are_there(adapter: str) -> None:
    put, take = PUT[adapter]
    pipe = pipeline()
    identity = somebody(pipe)
    before = drawn(pipe, prompt=PLAIN)
    put_first = pipeline()
    arguments = put(put_first)
    with onephoto.use(put_first, alice=identity) as people:
        expected = drawn(put_first, **people.prompt(PERSON), **arguments)
    with onephoto.use(pipe, alice=identity) as people:
        prompt = people.prompt(PERSON)
        alone = drawn(pipe, **prompt)
        put(pipe)
        assert np.array_equal(drawn(pipe, **prompt, **arguments), expected)
        take(pipe)
        assert np.array_equal(drawn(pipe, **prompt), alone)
    assert np.array_equal(drawn(pipe, prompt=PLAIN), before)


@pytest.mark.parametrize("vectors", [1, 3])
@pytest.mark.parametrize("token", ["<cat-toy>", "<Cat-Toy>", "cattoy"])
def test_a_person_beside_another_learned_word(token: str, vectors: int) -> None:
    pipe = pipeline()
    identity = somebody(pipe)
    before = drawn(pipe, prompt=PLAIN)
    text = "a photo of {} and " + token
    with onephoto.use(pipe, alice=identity) as people:
        alone = drawn(pipe, **people.prompt("a photo of <alice> and person"))
    pipe.load_textual_inversion({token: 3 * torch.randn(vectors, 32, generator=seeded())})
    # diffusers itself leaves all but the first vector of a word with capitals out: say them all.
    said = " ".join([token, *(f"{token}_{number}" for number in range(1, vectors))]).lower()
    word = drawn(pipe, prompt=f"a photo of person and {said}") if vectors == 1 else None
    with onephoto.use(pipe, alice=identity) as people:
        both = drawn(pipe, **people.prompt(text.format("<alice>")))
        nobody = drawn(pipe, **people.prompt(text.format("person")))
    assert differ(before, alone, both, nobody)
    assert word is None or np.array_equal(word, nobody)
    with onephoto.use(pipe, alice=identity, strengths={"alice": 0}) as people:
        assert abs(drawn(pipe, **people.prompt(text.format("<alice>"))) - nobody).max() < 1e-4
    pipe.unload_textual_inversion()
    assert np.array_equal(drawn(pipe, prompt=PLAIN), before)


def test_all_vectors_of_another_learned_word_are_read() -> None:
    pipe = pipeline()
    identity = somebody(pipe)
    pipe.load_textual_inversion({"<cat>": torch.randn(3, 32, generator=seeded())})
    with onephoto.use(pipe, alice=identity) as people:
        own = people.prompt("a <cat> dog")["prompt_embeds"][:, :16]
    assert torch.equal(own, pipe.encode_prompt("a <cat> dog", "cpu", 1, False)[0])


def test_fused_projections_are_refused_with_the_way_on() -> None:
    pipe = pipeline()
    pipe.fuse_qkv_projections()
    identity = somebody(pipe)
    with pytest.raises(ModelError, match="unfuse_qkv_projections"), onephoto.use(pipe, alice=identity):
        pass


def refaced(pipe: Any, identity: Any) -> np.ndarray:
    """A picture of the person, in which a face is drawn again."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(refine, "detect_faces", lambda image: [Face((12, 12, 20, 20), 1.0)])
        settings, faces = DrawSettings(steps=4), refine.Faces(largest=10)
        (image,) = onephoto.generate(pipe, PERSON, [identity], settings=settings, faces=faces)
    return np.asarray(image)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_person_under_cpu_offload(family: str) -> None:
    """On the CPU weights move nowhere, yet accelerate's hooks run."""
    pipe = pipeline(family)
    identity = somebody(pipe)
    before = drawn(pipe, prompt=PLAIN)
    with onephoto.use(pipe, alice=identity) as people:
        person = drawn(pipe, **people.prompt(PERSON))
    again = refaced(pipe, identity)
    pipe.enable_model_cpu_offload(device="cpu")
    with onephoto.use(pipe, alice=identity) as people:
        for _ in range(2):
            assert np.array_equal(drawn(pipe, **people.prompt(PERSON)), person)
    assert np.array_equal(refaced(pipe, identity), again)
    assert np.array_equal(drawn(pipe, prompt=PLAIN), before)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_person_where_modules_hold_no_weights_between_calls(family: str, tmp_path: Path) -> None:
    """As under sequential offload, which accelerate cannot do from the CPU to the CPU: weights come from the disk."""
    pipe = pipeline(family)
    identity = somebody(pipe)
    before = drawn(pipe, prompt=PLAIN)
    with onephoto.use(pipe, alice=identity) as people:
        person = drawn(pipe, **people.prompt(PERSON))
    again = refaced(pipe, identity)
    for name in ("text_encoder", "text_encoder_2", "unet", "vae"):
        if getattr(pipe, name, None) is not None:
            disk_offload(getattr(pipe, name), str(tmp_path / name), execution_device=torch.device("cpu"))
    assert pipe.unet.device.type == "meta"
    with onephoto.use(pipe, alice=identity) as people:
        assert np.array_equal(drawn(pipe, **people.prompt(PERSON)), person)
    assert np.array_equal(refaced(pipe, identity), again)
    assert np.array_equal(drawn(pipe, prompt=PLAIN), before)


def compiled_whole(pipe: Any) -> None:
    pipe.unet = torch.compile(pipe.unet, backend="eager")


def compiled_in_place(pipe: Any) -> None:
    pipe.unet.compile(backend="eager", fullgraph=True)


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [compiled_whole, compiled_in_place])
def test_a_person_in_a_compiled_model(compiled: Callable[[Any], None]) -> None:
    """dynamo traces as it does for every back end; "eager" runs what it traced without generating code."""
    pipe = pipeline()
    identity, other = somebody(pipe), somebody(pipe, seed=1)
    before = drawn(pipe, prompt=PLAIN)
    expected = []
    for one in (identity, other):
        with onephoto.use(pipe, alice=one) as people:
            expected.append(drawn(pipe, **people.prompt(PERSON)))
    compiled(pipe)
    assert abs(drawn(pipe, prompt=PLAIN) - before).max() < 1e-5
    for one, person in zip((identity, other), expected, strict=True):
        with onephoto.use(pipe, alice=one) as people:
            assert abs(drawn(pipe, **people.prompt(PERSON)) - person).max() < 1e-5
    assert differ(before, *expected)
    assert np.array_equal(drawn(pipe, prompt=PLAIN), before)
