import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from onephoto.base import faces, stages
from onephoto.base.changes import Chance
from onephoto.base.faces import FaceSet, FaceSettings, calibrate, contrast, face_sets, train_step
from onephoto.base.pictures import PictureSet
from onephoto.base.training import OptimiserSettings, Trainer
from onephoto.errors import WorldError
from onephoto.evaluate.face_judge import FaceJudge, load_face_judge
from onephoto.evaluate.face_network import FaceConfig, FaceNetwork
from onephoto.identity.faces import Face

SMALL = FaceConfig(channels=(8, 8, 16, 16), width=16)
FAST = OptimiserSettings(learning_rate=5e-3, warmup_steps=1, ema_decay=0.8, orthogonalise=True)
QUICK = FaceSettings(people=8, shots=2, optimiser=FAST)
BOX = (0.25, 0.25, 0.75, 0.75)
SHOTS = 4


def looks(seed: int) -> np.ndarray:
    """Somebody's face: 4 x 4 squares of two colours."""
    squares = np.random.default_rng(seed).integers(0, 2, (4, 4, 1)) * np.array([140, 120, 100]) + 60
    return squares.repeat(8, 0).repeat(8, 1).astype(np.uint8)


def write(folder: Path, seeds: range, **facts: object) -> Path:
    """Each person's face in the middle of pictures whose frame changes."""
    folder.mkdir()
    rng = np.random.default_rng(seeds.start)
    images = rng.integers(0, 255, (len(seeds) * SHOTS, 64, 64, 3), np.uint8)
    lines = []
    for row in range(len(images)):
        seed = seeds[row // SHOTS]
        images[row, 16:48, 16:48] = looks(seed)
        lines.append(json.dumps({"captions": ["a person"], "facts": {"person": seed, "face": BOX} | facts}))
    np.save(folder / "00000.npy", images)
    (folder / "00000.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("faces")
    return [write(root / "learned", range(30_000, 30_024)), write(root / "held out", range(90_000, 90_010))]


@pytest.fixture(autouse=True)
def detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "detect_faces", lambda image: [Face((16, 16, 48, 48), 1.0)])


@pytest.fixture
def data(folders: list[Path]) -> tuple[FaceSet, FaceSet]:
    return face_sets(PictureSet(*folders), SMALL)


def trainer() -> Trainer:
    torch.manual_seed(0)
    return Trainer(FaceNetwork(SMALL).to(torch.bfloat16), FAST)


def test_people_to_learn_from_and_held_out_are_told_by_their_seeds(data: tuple[FaceSet, FaceSet]) -> None:
    learned, held_out = data
    assert {*learned.people} == {*range(30_000, 30_024)} and {*held_out.people} == {*range(90_000, 90_010)}
    assert learned.crops.shape == (24 * SHOTS, 48, 48, 3)
    # About the box the frame shows, which differs from picture to picture.
    middle = learned.crops[:, 12:36, 12:36].astype(int)
    assert np.abs(middle[0] - middle[1]).mean() < 8 < np.abs(middle[0] - middle[SHOTS]).mean()


def test_people_that_the_model_knows_and_pictures_without_a_face_are_left_out(
    tmp_path: Path, folders: list[Path]
) -> None:
    more = [
        write(tmp_path / "named", range(5)),
        write(tmp_path / "final", range(100_000, 100_004)),
        write(tmp_path / "pairs", range(31_000, 31_004), beside={}),
        write(tmp_path / "turned", range(32_000, 32_004), face=None),
    ]
    learned, held_out = face_sets(PictureSet(*folders, *more), SMALL)
    assert max(learned.people) < 30_024 and min(learned.people) == 30_000 and len(held_out.people) == 10 * SHOTS


def test_missing_people_are_told_of(tmp_path: Path, folders: list[Path]) -> None:
    with pytest.raises(WorldError, match="--first 90000"):
        face_sets(PictureSet(folders[0]), SMALL)
    with pytest.raises(WorldError, match="--first 30000"):
        face_sets(PictureSet(folders[1]), SMALL)
    old = write(tmp_path / "old", range(30_000, 30_004))
    path = old / "00000.jsonl"
    path.write_text(path.read_text().replace("face", "fate"))
    with pytest.raises(WorldError, match="new folder"):
        face_sets(PictureSet(old), SMALL)


def test_too_few_found_faces_are_told_of(folders: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "detect_faces", lambda image: [])
    with pytest.raises(WorldError, match="finds 0 of 40"):
        face_sets(PictureSet(*folders), SMALL)


def test_a_batch_holds_some_pictures_of_each_of_some_people(data: tuple[FaceSet, FaceSet]) -> None:
    still = replace(QUICK, zoom=0, blurred=0.0)
    pixels, whose = data[0].draw(Chance(0), still)
    assert pixels.shape == (16, 3, 48, 48) and whose.tolist() == [k // 2 for k in range(16)]
    apart = (pixels[::2] - pixels[1::2])[:, :, 12:36, 12:36].abs().mean()
    assert apart < (pixels[::2] - pixels[1::2].roll(1, 0))[:, :, 12:36, 12:36].abs().mean()


def test_the_contrast_is_least_where_people_agree_and_others_do_not() -> None:
    whose = torch.tensor([0, 0, 1, 1])
    right, wrong = torch.eye(2)[whose], torch.eye(2)[torch.tensor([0, 1, 0, 1])]
    assert contrast(right, whose, 0.1) < 0.01 < 5 < contrast(wrong, whose, 0.1)
    # All alike: each of the three others is as likely.
    assert contrast(torch.ones(4, 1), whose, 0.1) == pytest.approx(np.log(3))
    # Who is alone has nothing to agree with, and counts for nothing.
    alone = torch.tensor([0, 0, 1, 2])
    assert contrast(torch.ones(4, 1), alone, 0.1) == pytest.approx(np.log(3))


def test_held_out_people_are_told_apart_after_a_few_steps(data: tuple[FaceSet, FaceSet]) -> None:
    learned, held_out = data
    one = trainer()
    losses = [train_step(one, learned, QUICK) for _ in range(60)]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    network = FaceNetwork(SMALL).eval().requires_grad_(False)
    network.load_state_dict(one.average())
    measured = calibrate(FaceJudge(network), held_out)
    assert measured.auc > 0.85 and measured.same[0] < measured.threshold < measured.different[0]
    assert (measured.people, measured.pictures) == (10, 10 * SHOTS)


def test_a_resumed_run_ends_like_a_whole_one(data: tuple[FaceSet, FaceSet], tmp_path: Path) -> None:
    def steps(one: Trainer, count: int) -> Trainer:
        for _ in range(count):
            train_step(one, data[0], QUICK)
        return one

    whole = steps(trainer(), 4)
    steps(trainer(), 2).save(tmp_path / "faces.safetensors")
    resumed = trainer()
    resumed.load(tmp_path / "faces.safetensors")
    steps(resumed, 2)
    assert all(torch.equal(value, resumed.average()[name]) for name, value in whole.average().items())


def test_the_stage_leaves_a_face_judge_and_goes_on(folders: list[Path], tmp_path: Path) -> None:
    first = list(stages.faces(folders, tmp_path, 0.01))[-1]
    judge = load_face_judge(tmp_path / "faces")
    assert judge.calibration is not None and judge.calibration.people == 10
    vector = judge.vector(Image.new("RGB", (64, 64)), (16, 16, 48, 48))
    assert vector.shape == (64,) and np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    second = list(stages.faces(folders, tmp_path, 0.01))[-1]
    assert int(second.split()[1][:-1]) > int(first.split()[1][:-1]) > 0 and "AUC" in second
