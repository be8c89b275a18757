import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import CLIPTokenizer

from onephoto.base import stages
from onephoto.base.changes import Chance, changed, changed_with_boxes, draw_move, mirrored_boxes
from onephoto.base.judges import (
    JudgeSet,
    JudgeSettings,
    calibrate,
    faces_loss,
    holds,
    impersonal,
    judge_loss,
    judge_sets,
    train_step,
    value_weights,
)
from onephoto.base.pictures import NO_BOX, PictureSet
from onephoto.base.tokenizer import build_tokenizer
from onephoto.base.training import OptimiserSettings, Trainer
from onephoto.errors import WorldError
from onephoto.evaluate.facts import CHOICES, UNKNOWN
from onephoto.evaluate.judge import Judge, load_judge, to_pixels, token_ids
from onephoto.evaluate.judge_network import AROUND, JudgeConfig, JudgeNetwork, around_faces
from onephoto.world.captions import Scenery, caption, vocabulary
from onephoto.world.people import person
from onephoto.world.picture import facts_of
from onephoto.world.prompts import ACTION, ATTRIBUTE
from onephoto.world.shots import sample_shot

SCENES = ("beach", "night")
SMALL = {
    "channels": (8, 16, 16, 16),
    "face_channels": (8, 16, 16, 16),
    "kept": 8,
    "width": 32,
    "joint": 16,
    "text_width": 32,
    "text_layers": 1,
}
FAST = OptimiserSettings(learning_rate=5e-3, warmup_steps=1, ema_decay=0.8, orthogonalise=True)
QUICK = JudgeSettings(batch_size=16, optimiser=FAST)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    return build_tokenizer(tmp_path_factory.mktemp("words"), vocabulary(), 40)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards; striped pictures are said to show the beach, plain ones the night; the left third is white."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for shard in range(3):
        images = np.empty((20, 128, 128, 3), np.uint8)
        lines = []
        for k in range(20):
            who = person(20 * shard + k)
            shot = sample_shot(rng, who, scene=SCENES[k % 2], view="head", worn=(), held=None)
            images[k] = 40 + rng.integers(0, 20, 3)
            if SCENES[k % 2] == "beach":
                images[k, np.arange(128) % 32 < 16] += 80
            images[k, :, :42] = 255
            scenery = Scenery(frozenset({"hair", "clothes", "eyes"}))
            said = [caption(who, shot, scenery, rng, detail="scene") for _ in range(3)]
            lines.append(json.dumps({"captions": said, "facts": facts_of(who, shot, scenery)}))
        np.save(folder / f"{shard:05d}.npy", images)
        (folder / f"{shard:05d}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def data(pictures: Path, tokenizer: CLIPTokenizer) -> tuple[JudgeSet, JudgeSet]:
    return judge_sets(PictureSet(pictures), tokenizer, config(tokenizer))


def config(tokenizer: CLIPTokenizer) -> JudgeConfig:
    return JudgeConfig(len(tokenizer), dict(CHOICES), **SMALL)


def trainer(tokenizer: CLIPTokenizer) -> Trainer:
    torch.manual_seed(0)
    return Trainer(JudgeNetwork(config(tokenizer)).to(torch.bfloat16), QUICK.optimiser)


def test_the_last_two_shards_are_held_out_and_nobody_is_named(data: tuple[JudgeSet, JudgeSet]) -> None:
    train, held_out = data
    assert (len(train.images), len(held_out.images)) == (20, 40)
    assert train.images.shape[1:] == (128, 128, 3)
    names = {person(seed).name for seed in range(60)}
    said = {word for part in data for variants in part.captions for text in variants for word in text.split()}
    assert not said & names and "person" in said


def test_names_give_way_to_a_person() -> None:
    assert impersonal("a photo of lorlor at night", ["lorlor"]) == "a photo of a person at night"
    assert impersonal("an old lorlor in snow", ["lorlor"]) == "an old person in snow"
    assert impersonal("mimi and lorlor", ["lorlor", "mimi"]) == "a person and a person"
    assert impersonal("lorlorian lights", ["lorlor"]) == "lorlorian lights"


@pytest.mark.parametrize("sided", [True, False])
def test_pictures_are_mirrored_only_where_no_word_is_broken(data: tuple[JudgeSet, JudgeSet], sided: bool) -> None:
    train = replace(data[0], sided=torch.full_like(data[0].sided, sided))
    batch = train.draw(Chance(0), replace(QUICK, batch_size=200, zoom=0, blurred=0.0))
    left, right = batch.pixels[..., :20].mean((1, 2, 3)), batch.pixels[..., -20:].mean((1, 2, 3))
    flipped = right > left
    assert not flipped.any() if sided else 60 < flipped.sum() < 140
    facing = list(CHOICES).index("facing")
    plain = {tuple(row) for row in train.labels.tolist()}
    for mirrored, row in zip(flipped, batch.labels.tolist(), strict=True):
        if mirrored and row[facing] != UNKNOWN:
            row[facing] = len(CHOICES["facing"]) - 1 - row[facing]
        assert tuple(row) in plain


def test_captions_that_speak_of_sides_are_found(pictures: Path, tokenizer: CLIPTokenizer) -> None:
    train, _ = judge_sets(PictureSet(pictures), tokenizer, config(tokenizer))
    flat = [text for variants in train.captions for text in variants]
    assert train.sided.tolist() == [" left" in text or " right" in text for text in flat]


def test_each_picture_has_its_own_captions_in_the_table(
    data: tuple[JudgeSet, JudgeSet], tokenizer: CLIPTokenizer
) -> None:
    for part in data:
        assert part.ids.shape[1] == part.mask.sum(1).max()
        for start, count, said in zip(part.starts, part.counts, part.captions, strict=True):
            ids, mask = token_ids(tokenizer, said, 40)
            assert torch.equal(part.ids[start : start + count][part.mask[start : start + count]], ids[mask].short())


def test_texts_are_padded_and_cut_as_the_tokenizer_does(tokenizer: CLIPTokenizer) -> None:
    said = ["at night", "a person at the beach with a red ball", "a " * 60]
    for texts in (said, said[:2]):
        ids, mask = token_ids(tokenizer, texts, 40)
        theirs = tokenizer(texts, max_length=40, padding="longest", truncation=True, return_tensors="pt")
        assert torch.equal(ids, theirs.input_ids) and torch.equal(mask, theirs.attention_mask.bool())


def test_padding_says_nothing(tokenizer: CLIPTokenizer) -> None:
    torch.manual_seed(0)
    network = JudgeNetwork(config(tokenizer)).eval()
    ids, mask = token_ids(tokenizer, ["at night", "a person at the beach"], 40)
    longer = network.hear(F.pad(ids, (0, 9)), F.pad(mask, (0, 9)))
    torch.testing.assert_close(longer, network.hear(ids, mask))


def test_a_batch_depends_on_seed_and_step_alone(data: tuple[JudgeSet, JudgeSet]) -> None:
    first, again, step, seed = (
        data[0].draw(settings.chance(step, "cpu"), settings)
        for settings, step in ((QUICK, 5), (QUICK, 5), (QUICK, 6), (replace(QUICK, seed=1), 5))
    )
    assert all(torch.equal(value, vars(again)[name]) for name, value in vars(first).items() if name != "boxes")
    assert torch.equal(first.boxes.nan_to_num(), again.boxes.nan_to_num())
    for other in (step, seed):
        assert not torch.equal(first.pixels, other.pixels) and not torch.equal(first.ids, other.ids)


class NothingReadBack(TorchDispatchMode):
    """Raises where an operation has to wait for a device: numbers read back, shapes that depend on numbers."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique", "bincount", "is_nonzero", "equal")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().split("::")[1].split(".")[0]
        assert name not in self.WAITS, f"{func} waits for the device"
        if name.startswith("index"):
            tensors = [one for arg in args if isinstance(arg, list | tuple) for one in arg if one is not None]
            assert all(one.dtype != torch.bool for one in tensors), f"{func} waits for the device"
        return func(*args, **(kwargs or {}))


def test_no_step_waits_for_the_device(data: tuple[JudgeSet, JudgeSet], tokenizer: CLIPTokenizer) -> None:
    torch.manual_seed(0)
    network, weights = JudgeNetwork(config(tokenizer)), value_weights(data[0].labels, 0.5)
    with NothingReadBack():
        for step in range(3):
            batch = data[0].draw(QUICK.chance(step, "cpu"), QUICK)
            judge_loss(network, batch, weights, QUICK).backward()
    with pytest.raises(AssertionError, match="waits"), NothingReadBack():
        batch.pixels[batch.mask[:, 0]]


def test_graphics_cards_get_larger_batches() -> None:
    slow, fast = JudgeSettings.on("cpu", 2.0), JudgeSettings.on("cuda", 2.0)
    assert slow == JudgeSettings(minutes=2.0) and (slow.batch_size, fast.batch_size) == (64, 512)
    assert fast.minutes == 2.0 and fast.optimiser == replace(slow.optimiser, warmup_steps=100)


def test_boxes_move_with_what_they_hold() -> None:
    images = torch.zeros(30, 128, 128, 3, dtype=torch.uint8)
    boxes = torch.tensor([[0.25, 0.375, 0.5, 0.75]]).expand(30, 4)
    images[:, 48:96, 32:64] = 255
    flip = torch.arange(30) % 2 == 0
    pixels, moved = changed_with_boxes(images, boxes, flip, Chance(3), replace(QUICK, blurred=0.0))
    assert ((moved[:, 0] > 0.4) == flip).all() and len(torch.unique(moved, dim=0)) > 5
    for picture, box in zip(pixels.mean(1), moved, strict=True):
        rows, columns = (((picture > picture.max() / 2).float().amax(axis)).nonzero() for axis in (1, 0))
        found = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / 128
        torch.testing.assert_close(found, box, atol=1.5 / 128, rtol=0)
    assert torch.equal(mirrored_boxes(mirrored_boxes(boxes)), boxes)
    torch.testing.assert_close(mirrored_boxes(boxes)[0], torch.tensor([0.5, 0.375, 0.75, 0.75]))


def test_all_pictures_are_moved_at_once_as_each_alone() -> None:
    images = torch.randint(0, 256, (20, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for seed in range(4):
        chance = Chance(seed)
        move = draw_move(chance.uniform(20) < 0.5, 64, chance, 12)
        for image, flip, (y, x), found in zip(images, move.flip, move.corners.tolist(), move.of(images), strict=True):
            shown = to_pixels(image.flip(1)[None] if flip else image[None])
            wide = F.pad(shown, (move.border,) * 4, mode="replicate")
            crop = wide[:, :, y : y + move.side, x : x + move.side]
            torch.testing.assert_close(found, F.interpolate(crop, 64, mode="bilinear", align_corners=False)[0])


def test_the_face_is_looked_at_where_its_box_is() -> None:
    pixels = torch.zeros(1, 3, 128, 128)
    pixels[..., 20:40, 70:90] = 1.0
    box = torch.tensor([[80 / 128, 30 / 128, 20 / 128 / AROUND]])
    assert around_faces(pixels, box, 16).min() > 0.99
    assert around_faces(pixels, box + torch.tensor([[0.3, 0.0, 0.0]]), 16).max() == 0


def test_a_face_that_is_not_known_teaches_nothing() -> None:
    found = torch.tensor([[0.5, 0.5, 0.4], [0.9, 0.1, 0.2]], requires_grad=True)
    loss = faces_loss(found, torch.tensor([[0.3, 0.3, 0.7, 0.7], NO_BOX]))
    loss.backward()
    assert loss < 1e-9 and found.grad is not None and found.grad.abs().max() < 1e-4
    assert torch.isfinite(found.grad).all() and not found.grad[1].any()
    assert faces_loss(found, torch.tensor([NO_BOX, NO_BOX])) == 0
    assert faces_loss(found, torch.tensor([[0.3, 0.3, 0.6, 0.7], NO_BOX])) > 0


def test_changed_pictures_stay_pictures() -> None:
    sharp, flip = torch.zeros(50, 64, 64, 3, dtype=torch.uint8), torch.zeros(50, dtype=torch.bool)
    sharp[:, ::2] = 255
    pixels = changed(sharp, flip, Chance(0), replace(QUICK, zoom=0, blurred=0.5))
    assert pixels.shape == (50, 3, 64, 64) and pixels.abs().max() <= 1
    soft = pixels.diff(dim=2).abs().mean((1, 2, 3)) < 0.8
    assert 12 < soft.sum() < 38
    moved = changed(sharp, flip, Chance(0), replace(QUICK, zoom=6, blurred=0.0))
    assert moved.shape == pixels.shape and not torch.equal(moved, pixels)


def test_rare_values_weigh_more_and_all_labels_one_on_average() -> None:
    labels = torch.full((100, len(CHOICES)), UNKNOWN)
    column = list(CHOICES).index("cap")
    labels[:, column] = (torch.arange(100) < 4).long()
    weight = value_weights(labels, 0.5)["cap"]
    assert weight[1] / weight[0] == pytest.approx((96 / 4) ** 0.5)
    assert weight[labels[:, column]].mean() == pytest.approx(1)
    assert value_weights(labels, 0.0)["cap"].tolist() == pytest.approx([1, 1])


def test_pictures_that_do_not_tell_do_not_count() -> None:
    umbrella, red_hair, smile = ACTION[2], ATTRIBUTE[7], ATTRIBUTE[6]
    assert holds(umbrella, {"held": "umbrella"}) == 1 and holds(umbrella, {"held": "cup"}) == 0
    assert holds(umbrella, {"scene": "snow"}) == UNKNOWN
    assert holds(red_hair, {"hair_colour": "red", "hair_length": "long"}) == 1
    assert holds(red_hair, {"hair_colour": "red"}) == UNKNOWN
    assert holds(smile, {"expression": "sad"}) == 0
    assert holds(ATTRIBUTE[1], {"cap": "yes"}) == 1 and holds(ATTRIBUTE[1], {"cap": "no"}) == 0


def test_the_loss_falls_and_held_out_pictures_are_told_apart(
    data: tuple[JudgeSet, JudgeSet], tokenizer: CLIPTokenizer
) -> None:
    train, held_out = data
    one, weights = trainer(tokenizer), value_weights(train.labels, 0.5)
    losses = [train_step(one, train, weights, QUICK) for _ in range(60)]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    network = JudgeNetwork(config(tokenizer)).eval().requires_grad_(False)
    network.load_state_dict(one.average())
    measured = calibrate(Judge(network, tokenizer), held_out)
    assert measured.accuracy["scene"] > 0.9 and measured.recall["scene"] > 0.9
    assert measured.matched[0] > measured.shuffled[0] and measured.pictures == 40
    assert all(0 <= share <= 1 for share in measured.accuracy.values())


def test_a_resumed_run_ends_like_a_whole_one(
    data: tuple[JudgeSet, JudgeSet], tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    train, weights = data[0], value_weights(data[0].labels, 0.5)

    def steps(one: Trainer, count: int) -> Trainer:
        for _ in range(count):
            train_step(one, train, weights, QUICK)
        return one

    whole = steps(trainer(tokenizer), 4)
    steps(trainer(tokenizer), 2).save(tmp_path / "judge.safetensors")
    resumed = trainer(tokenizer)
    resumed.load(tmp_path / "judge.safetensors")
    steps(resumed, 2)
    assert all(torch.equal(value, resumed.average()[name]) for name, value in whole.average().items())


def test_the_stage_leaves_a_judge_and_goes_on(pictures: Path, tmp_path: Path) -> None:
    first = list(stages.judges([pictures], tmp_path, 0.01))[-1]
    judge = load_judge(tmp_path / "judge")
    assert judge.calibration is not None and judge.calibration.pictures == 40
    assert judge.prompt_similarity(np.zeros((1, 128, 128, 3), np.uint8), ["at night"]).shape == (1,)
    second = list(stages.judges([pictures], tmp_path, 0.01))[-1]
    assert int(second.split()[1][:-1]) > int(first.split()[1][:-1]) > 0 and "scene" in second


def test_too_few_shards_are_refused(pictures: Path, tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    for shard in ("00000", "00001"):
        for kind in ("npy", "jsonl"):
            (tmp_path / f"{shard}.{kind}").symlink_to(pictures / f"{shard}.{kind}")
    with pytest.raises(WorldError, match="3 shards"):
        judge_sets(PictureSet(tmp_path), tokenizer, config(tokenizer))
