"""A U-Net whose weights torchao has made 8-bit numbers draws people like any other; needs torchao."""

from typing import Any

import numpy as np
import pytest
import torch
from adapters import CALL, PERSON, PLAIN, pipeline, seeded, somebody

import onephoto
from onephoto.backbone.load import wrap_pipeline
from onephoto.errors import ModelError
from onephoto.identity.file import IdentityFile

quantization = pytest.importorskip("torchao.quantization", reason="torchao is not installed")


def drawn(pipe: Any, **arguments: Any) -> np.ndarray:
    return pipe(**arguments, **CALL, generator=seeded()).images


def quantised(family: str) -> Any:
    pipe = pipeline(family)
    quantization.quantize_(pipe.unet, quantization.Int8WeightOnlyConfig())
    return pipe


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_a_person_is_drawn_and_no_trace_stays(family: str) -> None:
    whole, pipe = pipeline(family), quantised(family)
    identity = somebody(whole)
    with onephoto.use(whole, alice=identity) as people:
        expected = drawn(whole, **people.prompt(PERSON))
    before = drawn(pipe, prompt=PLAIN)
    with onephoto.use(pipe, alice=identity) as people:
        person = drawn(pipe, **people.prompt(PERSON))
        assert np.array_equal(drawn(pipe, prompt=PLAIN), before)
    assert np.array_equal(drawn(pipe, prompt=PLAIN), before)
    assert not np.array_equal(person, expected), "the U-Net is not quantised"
    assert abs(person - expected).mean() < abs(person - before).mean() / 2


def test_the_file_fits_the_quantised_model() -> None:
    whole, small = (wrap_pipeline(pipe) for pipe in (pipeline(), quantised("sd1")))
    assert small.attention_shapes() == whole.attention_shapes()


def test_a_method_that_changes_weights_is_refused() -> None:
    pipe = quantised("sd1")
    name = next(name for name, _ in pipe.unet.named_parameters() if name.endswith("attn2.to_k.weight"))
    change = {f"unet.{name}": torch.zeros(pipe.unet.get_parameter(name).shape)}
    tensors = {"tokens.text_encoder": torch.zeros(1, 32)} | change
    identity = IdentityFile("alice", "person", "dreambooth", tensors, somebody(pipeline()).metadata)
    with pytest.raises(ModelError, match="quantised"), onephoto.use(pipe, alice=identity):
        pass
