from dataclasses import replace

import numpy as np
import torch
from torch import nn
from toy_base import TOY

from onephoto.base.architecture import build_text_encoder
from onephoto.base.names import NamedTokens, standardised, tie_names, traits, write_out_names
from onephoto.base.tokenizer import build_tokenizer
from onephoto.world.names import NAMED, SOMEBODY, every_name, name_of
from onephoto.world.people import person


def test_traits_are_the_whole_person_but_seed_and_name() -> None:
    one = person(12)
    assert np.array_equal(traits(one), traits(replace(one, seed=7, name=None)))
    assert not np.array_equal(traits(one), traits(replace(one, eyes="grey" if one.eyes != "grey" else "blue")))
    assert not np.array_equal(traits(one), traits(replace(one, hair=replace(one.hair, parting=0.111))))
    assert not np.array_equal(traits(one), traits(replace(one, moles=())) if one.moles else traits(person(13)))
    assert len({len(traits(person(seed))) for seed in range(20)}) == 1


def test_standardised_traits_have_no_mean_and_are_bounded() -> None:
    known = standardised(np.stack([traits(person(seed)) for seed in range(60)]))
    assert known.mean(0).abs().max() < 1e-4 and known.std(0).max() < 1.1 and known.isfinite().all()


def test_training_goes_on_from_a_written_table_and_writes_the_same_one(tmp_path) -> None:
    words = build_tokenizer(tmp_path, ["photo", SOMEBODY, *every_name()], TOY.max_length)
    encoder = build_text_encoder(TOY, words)
    tie_names([encoder], words)
    named = encoder.get_input_embeddings()
    assert isinstance(named, NamedTokens)
    with torch.no_grad():
        named.meaning.normal_()
    ids = words("photo " + name_of(5), return_tensors="pt").input_ids
    before, table = encoder(ids).last_hidden_state, named.rows().detach()
    write_out_names([encoder])
    assert isinstance(encoder.get_input_embeddings(), nn.Embedding)
    torch.testing.assert_close(encoder(ids).last_hidden_state, before)
    tie_names([encoder], words)
    torch.testing.assert_close(encoder.get_input_embeddings().rows(), table, atol=1e-3, rtol=1e-3)


def test_one_name_teaches_all_and_words_keep_their_rows() -> None:
    table = nn.Embedding(6, 4)
    named = NamedTokens(table, torch.tensor([1, 3, 4]), torch.eye(3)[:, :2] + 0.5)
    named(torch.tensor([3, 0])).square().sum().backward()
    assert named.meaning.grad.abs().sum() > 0
    assert named.weight.grad[0].abs().sum() > 0
    assert named.weight.grad[[1, 3, 4]].abs().sum() == 0
    assert torch.equal(named(torch.tensor([0])), table.weight[[0]])
    assert NAMED == 3000


def test_somebody_is_the_mean_and_strangers_lie_after_the_vocabulary(tmp_path) -> None:
    words = build_tokenizer(tmp_path, ["photo", SOMEBODY, *every_name()], TOY.max_length)
    encoder = build_text_encoder(TOY, words)
    tie_names([encoder], words, strangers=[20_000, 7, 20_001])
    named = encoder.get_input_embeddings()
    with torch.no_grad():
        named.meaning.normal_()
    ids = words(f"{SOMEBODY} {name_of(7)}", add_special_tokens=False, return_tensors="pt").input_ids[0]
    somebody, seventh = named(ids)
    assert somebody.abs().max() == 0
    first, same, last = named(len(words) + torch.arange(3))
    torch.testing.assert_close(same, seventh)
    assert not torch.allclose(first, last)
    write_out_names([encoder])
    assert len(encoder.get_input_embeddings().weight) == len(words)
