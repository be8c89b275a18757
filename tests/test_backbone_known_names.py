from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny import tiny_backbone

from onephoto.backbone import known_names
from onephoto.backbone.known_names import mean_name, name_vectors
from onephoto.backbone.load import Backbone, load_backbone
from onephoto.base.tokenizer import build_tokenizer
from onephoto.methods.embedding import NAMES, starting_rows
from onephoto.world.names import NAMED, name_of

DATA = Path(known_names.__file__).parent / "data"


def lines(name: str) -> list[str]:
    return (DATA / name).read_text().split("\n")[:-1]


def test_the_embedded_models_names_are_those_of_the_worlds_people() -> None:
    assert lines("world_names.txt") == [name_of(seed) for seed in range(NAMED)]


def test_famous_names_are_a_first_and_a_last_name_each_once() -> None:
    names = lines("famous_names.txt")
    assert names == sorted(set(names)) and len(names) > 691
    assert all(len(name.split()) == 2 and name.replace(" ", "").isalpha() for name in names)


@pytest.mark.parametrize("name", known_names.LISTS)
def test_the_list_is_the_one_whose_words_are_tokens(name: str, tmp_path: Path) -> None:
    people = lines(name)[:120]
    words = {word for person in people for word in person.lower().split()}
    backbone: Any = SimpleNamespace(tokenizers=(build_tokenizer(tmp_path, words, 16),))
    found = known_names.known_names(backbone)
    assert set(people) <= set(found) <= set(lines(name))


@pytest.fixture(scope="module")
def mini() -> Backbone:
    return load_backbone()


def test_the_mean_of_the_names_is_nobody_in_particular(mini: Backbone) -> None:
    (mean,) = mean_name(mini).values()
    vectors = name_vectors(mini, known_names.known_names(mini))[:, 0]
    torch.testing.assert_close(mean[0], vectors.mean(0))
    assert mean.norm() < 0.1 * vectors.norm(dim=1).mean()


def test_people_begin_at_the_mean_of_the_names_and_things_at_their_word(mini: Backbone) -> None:
    for subject, expected in (("man", mean_name(mini)), ("dog", mini.class_vectors("dog"))):
        (begun,), (where,) = starting_rows(mini, subject, NAMES).values(), expected.values()
        assert torch.equal(begun, where)


def test_people_begin_at_the_class_word_where_the_model_knows_no_names() -> None:
    backbone = tiny_backbone()
    (begun,), (word,) = starting_rows(backbone, "person", NAMES).values(), backbone.class_vectors("person").values()
    assert torch.equal(begun, word)
