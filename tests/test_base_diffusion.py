import json
from pathlib import Path

import numpy as np
import torch

from onephoto.base.architecture import build_scheduler
from onephoto.base.diffusion import DiffusionSettings, draw_timesteps
from onephoto.base.latents import LatentSet, coverage
from onephoto.base.pictures import NO_BOX, PictureSet
from onephoto.base.tokenizer import build_tokenizer
from onephoto.world.names import SOMEBODY


def test_coverage_is_the_share_of_each_position_in_the_box() -> None:
    shares = coverage(torch.tensor([[0.25, 0.0, 0.75, 0.125], [0.0, 0.0, 0.0, 0.0], NO_BOX]), 4)
    assert shares.shape == (3, 1, 4, 4)
    torch.testing.assert_close(shares[0, 0, 0], torch.tensor([0.0, 0.5, 0.5, 0.0]))
    assert shares[0, 0, 1:].abs().max() == 0 and shares[1:].abs().max() == 0


def test_timesteps_weigh_as_min_snr_does() -> None:
    alphas = build_scheduler().alphas_cumprod
    snr = alphas / (1 - alphas)
    wanted = snr.clamp(max=5.0) / snr
    t, weight = draw_timesteps(200_000, alphas, torch.Generator().manual_seed(0), snr_limit=5.0)
    got = torch.zeros(1000).index_add(0, t, weight)
    for low, high in ((0, 50), (50, 150), (150, 400), (400, 1000)):
        share = got[low:high].sum() / got.sum()
        torch.testing.assert_close(share, wanted[low:high].sum() / wanted.sum(), atol=2e-3, rtol=0.02)
    assert (t < 100).float().mean() < 0.07


def test_timesteps_of_a_batch_are_spread() -> None:
    alphas = build_scheduler().alphas_cumprod
    t, _ = draw_timesteps(32, alphas, torch.Generator().manual_seed(0), snr_limit=5.0)
    assert (t.diff() > 0).all() and t.min() < 150 and t.max() > 950


def called(folder: Path, *, name: str | None = SOMEBODY) -> Path:
    """A folder as rendered of people who are called somebody, two pictures each, with latents of zeros beside it."""
    folder.mkdir()
    (folder / "settings.json").write_text(json.dumps({"people": [20_000, 20_003, 1], "called": True}))
    add_shard(folder, 0, [20_000, 20_001], name)
    return folder


def add_shard(folder: Path, number: int, people: list[int], name: str | None = SOMEBODY) -> None:
    records = [
        {"captions": [f"a photo of {SOMEBODY}", "a photo of a man"], "facts": {"person": one, "name": name}}
        for one in people
    ]
    (folder / f"{number}.jsonl").write_text("\n".join(json.dumps(record) for record in records) + "\n")
    np.save(folder / f"{number}.npy", np.zeros((len(people), 16, 16, 3), np.uint8))
    latents = folder.parent / "latents" / folder.name
    latents.mkdir(parents=True, exist_ok=True)
    np.save(latents / f"{number}.npy", np.zeros((len(people), 4, 2, 2), np.float16))


def test_somebody_means_whoever_is_seen_and_new_pictures_are_taken_in(tmp_path: Path) -> None:
    folder = called(tmp_path / "strangers")
    words = build_tokenizer(tmp_path / "tokenizer", ["a", "photo", "of", "man", SOMEBODY], 8)
    data = LatentSet(PictureSet(folder), tmp_path / "latents", words)
    content = data.content
    assert content is not None and data.strangers == [20_000, 20_001, 20_002]
    meant = [[int(one) for one in row if one >= len(words)] for row in content.ids]
    assert meant == [[len(words)], [], [len(words) + 1], []]
    add_shard(folder, 1, [20_002])
    data.grow()
    assert data.content is not None and len(data.content.latents) == 3
    assert data.content.starts.tolist() == [0, 2, 4]
    assert int(data.content.ids[4].max()) == len(words) + 2
    batch = data.draw(torch.Generator().manual_seed(0), 64, empty_share=0.5, face_weight=4.0)
    empty = (batch.told[0] == data.empty).all(1).float().mean()
    assert 0.25 < empty < 0.75 and batch.told[0].max() >= len(words)


def test_a_gpu_gets_larger_batches() -> None:
    assert DiffusionSettings.on("cpu", 2).batch_size < DiffusionSettings.on("cuda", 2).batch_size
    assert DiffusionSettings.on("cuda", 2).minutes == 2


def test_a_compiled_u_net_gets_larger_batches_on_a_cpu_and_a_lower_rate() -> None:
    plain, compiled = (DiffusionSettings.on("cpu", 2, compiled=choice) for choice in (False, True))
    assert compiled.minutes == plain.minutes and compiled.batch_size > plain.batch_size
    assert compiled.optimiser.learning_rate < plain.optimiser.learning_rate
