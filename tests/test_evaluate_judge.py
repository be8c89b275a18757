from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from onephoto.base.tokenizer import build_tokenizer
from onephoto.errors import ModelError
from onephoto.evaluate.embedded import probes
from onephoto.evaluate.facts import CHOICES, UNKNOWN, labels_of, mirrored, record_of, shows, visible_facts
from onephoto.evaluate.judge import CALIBRATION, CONFIG, WEIGHTS, Calibration, Judge, load_judge, save_judge, separation
from onephoto.evaluate.judge_network import JudgeConfig, JudgeNetwork
from onephoto.world.captions import Scenery, vocabulary
from onephoto.world.people import person
from onephoto.world.picture import facts_of
from onephoto.world.prompts import SETS
from onephoto.world.props import MATERIALS
from onephoto.world.shots import sample_shot

ALL = frozenset({"hair", "beard", "clothes", "eyes", *MATERIALS})
CALIBRATED = Calibration(0.2, 0.3, (0.5, 0.1), (0.0, 0.1), 0.9, 0.95, {"scene": 0.9}, {"scene": 0.8}, 12)
PROMPTS = [prompt for prompts in SETS.values() for prompt in prompts]


def tiny_judge(folder: Path) -> Judge:
    tokenizer = build_tokenizer(folder, vocabulary(), 40)
    torch.manual_seed(0)
    config = JudgeConfig(
        len(tokenizer), dict(CHOICES), channels=(8, 8, 8, 8), kept=8, width=16, joint=8, text_width=16, text_layers=1
    )
    return Judge(JudgeNetwork(config).eval().requires_grad_(False), tokenizer, CALIBRATED)


def pictures(count: int, size: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def some_facts(seed: int, visible: frozenset[str] = ALL, **fixed: object) -> dict:
    somebody = person(90_000 + seed % 50)
    shot = sample_shot(np.random.default_rng(seed), somebody, **fixed)
    return facts_of(somebody, shot, Scenery(visible))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_what_is_visible_has_a_label_and_comes_back_from_it(seed: int) -> None:
    facts = visible_facts(some_facts(seed))
    labels = labels_of(facts)
    again = {n: v[k] for (n, v), k in zip(CHOICES.items(), labels, strict=True) if k != UNKNOWN}
    assert again == facts
    assert mirrored(mirrored(facts)) == facts
    assert {n for n in facts if mirrored(facts)[n] != facts[n]} <= {"facing"}


def test_what_cannot_be_seen_is_not_taught() -> None:
    plain = {"view": "head", "head": (0.0, 0.0, 0.0), "camera": (0.0, 0.0), "held": None, "worn": ()}
    facts = some_facts(1, expression="eyes closed", **plain)
    assert visible_facts(facts)["expression"] == "eyes closed" and visible_facts(facts)["facing"] == "front"
    hidden = facts | {"things": {"sunglasses": "black"}}
    assert "expression" not in visible_facts(hidden) and visible_facts(hidden)["sunglasses"] == "yes"
    assert "expression" not in visible_facts(facts | {"facing": 70.0})
    assert "facing" not in visible_facts(facts | {"facing": 17.0})
    assert visible_facts(facts | {"facing": -30.0})["facing"] == "left"
    assert "earrings" not in visible_facts(facts | {"view": "upper"})
    assert not {"held", "arms"} & visible_facts(facts | {"arms": "holding"}).keys()
    holding = visible_facts(facts | {"arms": "holding", "things": {"cup": "red"}})
    assert holding["held"] == "cup" and holding["arms"] == "holding"
    assert "garment" not in visible_facts(facts | {"visible": ["hair"]})
    assert not {"hair_colour", "hair_length"} & visible_facts(facts | {"visible": [], "hair": ["bob", "red"]}).keys()
    assert visible_facts(facts | {"hair": ["bald", None]})["hair_length"] == "bald"
    assert "hair_length" not in visible_facts(facts | {"hair": ["bald", None], "things": {"cap": "red"}})
    assert "beard" not in visible_facts(facts | {"beard": "stubble"})
    assert visible_facts(facts | {"beside": facts}) == {"scene": facts["scene"]}


@pytest.mark.parametrize("prompt", [*PROMPTS, *(probe.prompt for probe in probes())], ids=lambda prompt: prompt.text)
def test_a_picture_shows_a_prompt_exactly_when_its_facts_do(prompt) -> None:  # type: ignore[no-untyped-def]
    first = {name: values[0] for name, values in CHOICES.items()}
    last = {name: values[-1] for name, values in CHOICES.items()}
    values = {}
    for name, wanted in prompt.facts.items():
        kind = "held" if wanted in CHOICES["held"] else wanted if name == "thing" else name
        assert wanted in CHOICES[kind] or kind == wanted
        values[kind] = wanted if wanted in CHOICES[kind] else "yes"
    first["hair_length"] = "short"
    assert shows(prompt, record_of(first | values)) and shows(prompt, record_of(last | values))
    for kind, value in values.items():
        others = [v for v in CHOICES[kind] if v not in (value, "grin")]
        assert not any(shows(prompt, record_of(first | values | {kind: other})) for other in others)


def test_a_grin_is_a_smile_and_a_bald_head_has_no_colour() -> None:
    smiling = next(prompt for prompt in PROMPTS if prompt.facts.get("expression") == "smiling")
    values = {name: values[0] for name, values in CHOICES.items()}
    assert shows(smiling, record_of(values | {"expression": "grin"}))
    assert record_of(values | {"hair_length": "bald"})["hair_colour"] is None
    read = record_of(values | {"glasses": "yes", "held": "cup", "chair": "yes"})
    assert set(read["things"]) == {"glasses", "cup", "chair"} and read["beard"] == "no"


def test_similarities_are_cosines_that_do_not_depend_on_the_company(tmp_path: Path) -> None:
    judge, images = tiny_judge(tmp_path), pictures(70)
    texts = [f"a photo of a {word}" for word in ("man", "woman")] * 35
    together = judge.prompt_similarity(images, texts)
    assert together.shape == (70,) and np.abs(together).max() <= 1 + 1e-5
    alone = judge.prompt_similarity(images[66:67], texts[66:67])
    np.testing.assert_allclose(alone, together[66:67], atol=1e-5)
    assert np.abs(judge.prompt_similarity(images[:1], ["a photo of a woman"]) - together[0]) > 1e-4
    assert judge.prompt_passes(images, texts).tolist() == (together > CALIBRATED.threshold).tolist()


def test_pictures_come_in_any_form_and_size(tmp_path: Path) -> None:
    judge, images = tiny_judge(tmp_path), pictures(3)
    large = images.repeat(2, 1).repeat(2, 2)
    listed = [Image.fromarray(image).convert("RGBA") for image in large]
    np.testing.assert_allclose(judge.image_vectors(images), judge.image_vectors(large), atol=1e-5)
    np.testing.assert_allclose(judge.image_vectors(images), judge.image_vectors(listed), atol=1e-5)
    read = judge.read(listed)
    assert len(read) == 3
    assert set(read[0]) >= {"scene", "garment", "expression", "age", "sex", "beard", "things", "arms", "facing"}


def test_a_judge_comes_back_from_its_folder(tmp_path: Path) -> None:
    judge, images = tiny_judge(tmp_path / "words"), pictures(4)
    save_judge(judge, tmp_path / "judge")
    again = load_judge(tmp_path / "judge")
    assert again.calibration == CALIBRATED and again.network.config == judge.network.config
    texts = ["a photo of a man at the beach"] * 4
    np.testing.assert_allclose(
        again.prompt_similarity(images, texts), judge.prompt_similarity(images, texts), atol=5e-3
    )
    assert again.read(images)[0]["scene"] in CHOICES["scene"]


def test_missing_or_damaged_files_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no judge here") as missing:
        load_judge(tmp_path / "nothing")
    save_judge(tiny_judge(tmp_path / "words"), tmp_path / "judge")
    (tmp_path / "judge" / CALIBRATION).unlink()
    with pytest.raises(ModelError, match="no calibration"):
        load_judge(tmp_path / "judge").prompt_passes(pictures(1), ["a man"])
    weights = (tmp_path / "judge" / WEIGHTS).read_bytes()
    (tmp_path / "judge" / WEIGHTS).write_bytes(weights[:100])
    with pytest.raises(ModelError, match="cannot be read") as cut:
        load_judge(tmp_path / "judge")
    (tmp_path / "judge" / WEIGHTS).write_bytes(weights)
    (tmp_path / "judge" / CONFIG).write_text("{}")
    with pytest.raises(ModelError, match="cannot be read") as empty:
        load_judge(tmp_path / "judge")
    assert all("\n" not in str(error.value) for error in (missing, cut, empty))


def test_the_threshold_parts_two_samples() -> None:
    rng = np.random.default_rng(0)
    threshold, auc = separation(rng.uniform(0.6, 1, 50), rng.uniform(0, 0.4, 500))
    assert 0.4 < threshold < 0.6 and auc == 1
    threshold, auc = separation(rng.normal(1, 1, 4000), rng.normal(0, 1, 1000))
    # For unit normals one apart: the middle, and the normal distribution's value at 1 / sqrt(2).
    assert abs(threshold - 0.5) < 0.3 and abs(auc - 0.760) < 0.02
    same = rng.normal(size=300)
    assert separation(same, same)[1] == pytest.approx(0.5)
    assert separation(np.ones(3), np.ones(4))[1] == 0.5
