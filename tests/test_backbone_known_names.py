from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from onephoto.backbone import known_names
from onephoto.base.tokenizer import build_tokenizer
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
