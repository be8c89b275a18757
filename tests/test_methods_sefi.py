from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from tiny import tiny_backbone
from torch import Tensor

from onephoto.backbone.hooks import Records
from onephoto.backbone.load import Backbone
from onephoto.backbone.method import Batch
from onephoto.core.attention_loss import attention_loss
from onephoto.core.attention_maps import focus_weights
from onephoto.errors import IdentityFileError, SettingError
from onephoto.learn import checkpoint
from onephoto.learn.data import batch_drawer, encode_photos
from onephoto.learn.fit import State, fit
from onephoto.methods import get_method, sefi
from onephoto.methods.sefi import Anchor, Sefi, SefiSettings, anchored_loss, pair_table


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return tiny_backbone("sd1")


def drawn(backbone: Backbone, size: int = 5) -> Batch:
    latents = torch.randn(1, 4, backbone.latent_size, backbone.latent_size, generator=seeded(7))
    options = {"batch_size": size, "num_stages": 5, "num_timesteps": backbone.num_timesteps}
    return batch_drawer(latents, **options)(0, seeded(8))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def learner(backbone: Backbone, subject: str = "person", **settings: object) -> Sefi:
    return Sefi(backbone, subject=subject, settings=SefiSettings(attention_factors=(1, 2), **settings))


def with_pairs(method: Sefi, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Random leaf tokens in the module's place, so that each token's own gradient can be read."""
    pairs = {
        name: (word + 0.3 * word.norm() * torch.randn(5, 2, len(word), generator=seeded())).requires_grad_()
        for name, word in method.words.items()
    }
    monkeypatch.setattr(method, "table", lambda: pair_table(pairs))
    return pairs


def test_learning_begins_where_the_class_prompt_stands(backbone: Backbone) -> None:
    losses = learner(backbone).loss(drawn(backbone))
    assert losses["attention"].item() == pytest.approx(0, abs=1e-6)
    assert losses["loss"].item() == pytest.approx(losses["denoising"].item())


def test_the_loss_is_the_weighted_sum(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    method = learner(backbone, attention_weight=0.5)
    with_pairs(method, monkeypatch)
    losses = method.loss(drawn(backbone))
    assert losses["attention"].item() > 0
    assert losses["loss"].item() == pytest.approx((losses["denoising"] + 0.5 * losses["attention"]).item())


def test_gradients_reach_the_module_and_nothing_of_the_backbone(backbone: Backbone) -> None:
    method, batch = learner(backbone), drawn(backbone)
    for report in fit(method, lambda step, generator: batch, steps=2, learning_rate=1e-3, generator=seeded()):
        assert report.losses["loss"] > 0
    method.loss(batch)["loss"].backward()
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in method.parameters())
    frozen = [*backbone.unet.parameters(), *(p for encoder in backbone.text_encoders for p in encoder.parameters())]
    assert all(parameter.grad is None for parameter in frozen)


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_every_family_learns_in_a_module_for_each_encoder(family: str) -> None:
    model = tiny_backbone(family)
    method, photo = learner(model), Image.linear_gradient("L").convert("RGB")
    latents = encode_photos(model, [photo], generator=seeded())
    draw_batch = batch_drawer(latents, batch_size=5, num_stages=5, num_timesteps=model.num_timesteps)
    batch = draw_batch(0, seeded())
    options = {"steps": 12, "learning_rate": 5e-3, "generator": seeded()}
    losses = [report.losses["loss"] for report in fit(method, lambda step, generator: batch, **options)]
    assert losses[-1] < losses[0]
    assert set(method.tensors()) == {f"tokens.{name}" for name in model.encoder_names}
    for name, rows in method.table().vectors.items():
        assert (rows[:, 0] - method.words[name]).norm(dim=-1).min() > 0


def test_a_batch_moves_the_tokens_of_its_stages_alone(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    method = learner(backbone)
    pairs = with_pairs(method, monkeypatch)
    whole = drawn(backbone)
    method.loss(Batch(whole.latents[:2], whole.noise[:2], whole.timesteps[:2]))["loss"].backward()
    for rows in pairs.values():
        assert rows.grad is not None
        assert rows.grad.abs().sum(dim=-1).gt(0).tolist() == [[True, True]] * 2 + [[False, False]] * 3


@pytest.mark.parametrize("detach_queries", [False, True])
def test_with_queries_detached_the_attention_loss_trains_k_tokens_alone(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch, detach_queries: bool
) -> None:
    method = learner(backbone, detach_queries=detach_queries)
    pairs = with_pairs(method, monkeypatch)
    method.loss(drawn(backbone))["attention"].backward()
    for rows in pairs.values():
        assert rows.grad is not None and bool(rows.grad[:, 0].any())
        assert bool(rows.grad[:, 1].any()) is not detach_queries


def test_without_weight_nothing_is_recorded(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*layers: object) -> None:
        raise AssertionError("recording")

    monkeypatch.setattr(sefi, "project_keys", refuse)
    assert learner(backbone, attention_weight=0).recorded() == ()
    losses = learner(backbone, attention_weight=0).loss(drawn(backbone))
    assert set(losses) == {"loss", "denoising"}


def test_errors_count_where_the_class_word_acts_in_the_photo(backbone: Backbone) -> None:
    latents = drawn(backbone).latents
    even, focused = (learner(backbone, focus_power=power) for power in (0, 2))
    assert even.focus(latents) is None
    weights = focused.focus(latents)
    assert weights is not None and weights.shape == (len(latents), 1, *latents.shape[-2:])
    torch.testing.assert_close(weights.mean(dim=(1, 2, 3)), torch.ones(len(latents)))
    assert weights.std() > 0 and torch.equal(weights, focused.focus(latents))
    word = sefi.class_effect(backbone, latents[:1], focused.prompt, focused.subject)
    torch.testing.assert_close(weights[0, 0], focus_weights(word, 2))


def test_a_word_acts_where_leaving_it_out_changes_the_prediction(backbone: Backbone, monkeypatch) -> None:
    asked = []

    def predict(noisy: Tensor, t: Tensor, conditioning: str) -> Tensor:
        asked.append(conditioning)
        changed = torch.zeros_like(noisy)
        changed[..., 1, 2] = 3.0 if "person" in conditioning else 0.0
        return noisy + changed

    monkeypatch.setattr(sefi, "encode_plain", lambda backbone, text: text)
    own = SimpleNamespace(num_timesteps=100, alphas_cumprod=backbone.alphas_cumprod, predict=predict)
    where = sefi.class_effect(own, torch.zeros(1, 4, 4, 4), "the face of {}", "person")
    assert set(asked) == {"the face of a person", "the face of a"}
    assert where[1, 2] == 16 and where.sum() == 16
    nowhere = sefi.class_effect(own, torch.zeros(1, 4, 4, 4), "the face of {}", "nobody")
    assert torch.equal(nowhere, torch.ones(4, 4))


def test_the_file_keeps_the_mean_of_the_last_tokens(backbone: Backbone) -> None:
    averaged, last = learner(backbone, average=0.5, max_norm=0), learner(backbone, average=0, max_norm=0)
    seen = []
    for step in range(1, 5):
        for method in (averaged, last):
            with torch.no_grad():
                for parameter in method.parameters():
                    parameter.add_(0.01 * step)
            method.stepped(step, 4)
        seen.append(last.tensors()["tokens.text_encoder"])
        wanted = seen[-1] if step < 3 else torch.stack(seen[2:]).mean(dim=0)
        torch.testing.assert_close(averaged.tensors()["tokens.text_encoder"], wanted)
    again = learner(backbone, average=0.5, max_norm=0)
    again.load_state_dict(averaged.state_dict())
    assert torch.equal(again.tensors()["tokens.text_encoder"], averaged.tensors()["tokens.text_encoder"])
    assert not torch.equal(wanted, seen[-1])


def test_the_file_keeps_no_token_of_a_person_longer_than_asked(backbone: Backbone) -> None:
    free, held, dog = learner(backbone, max_norm=0), learner(backbone, max_norm=0.5), learner(backbone, "dog")
    for method in (free, held, dog):
        with torch.no_grad():
            for parameter in method.parameters():
                parameter.add_(0.1)
    tokens, kept = (method.tensors()["tokens.text_encoder"] for method in (free, held))
    longest = 0.5 * backbone.class_vectors("person")["text_encoder"].norm(dim=-1).mean()
    assert bool((tokens.norm(dim=-1) > longest).all())
    torch.testing.assert_close(kept.norm(dim=-1), longest.expand(5, 2))
    torch.testing.assert_close(kept / longest, tokens / tokens.norm(dim=-1, keepdim=True))
    torch.testing.assert_close(held.table().vectors, free.table().vectors)
    assert torch.equal(dog.tensors()["tokens.text_encoder"].flatten(0, 1), dog.table().vectors["text_encoder"][:, 0])


def test_each_part_of_the_way_has_a_length_of_its_own(backbone: Backbone) -> None:
    by_part = learner(backbone, max_norm=[0.5, 0, 0.25])
    with torch.no_grad():
        for parameter in by_part.parameters():
            parameter.add_(0.1)
    word = backbone.class_vectors("person")["text_encoder"].norm(dim=-1).mean()
    lengths = by_part.tensors()["tokens.text_encoder"].norm(dim=-1) / word
    torch.testing.assert_close(lengths[[0, 1, 4]], torch.tensor([0.5, 0.5, 0.25])[:, None].expand(3, 2))
    assert bool((lengths[2:4] > 0.5).all())


@pytest.mark.parametrize(
    ("stages", "wanted"), [(1, [1.0]), (2, [1.0, 2.0]), (5, [1.0, 1.0, 2.0, 2.0, 2.0]), (10, [1.0] * 4 + [2.0] * 6)]
)
def test_lengths_fit_any_number_of_stages(stages: int, wanted: list[float]) -> None:
    assert sefi.longest_by_stage((1, 1, 2, 2, 2), stages).flatten().tolist() == wanted


def test_weights_of_errors_reach_the_loss(backbone: Backbone) -> None:
    method, batch = learner(backbone, attention_weight=0), drawn(backbone)
    ones = torch.ones(len(batch.latents), 1, *batch.latents.shape[-2:])
    plain, counted, none = (
        method.loss(replace(batch, weights=weights))["loss"] for weights in (None, ones, torch.zeros_like(ones))
    )
    torch.testing.assert_close(plain, counted)
    assert none.item() == 0 and plain.item() > 0


def test_presets_are_settings_and_the_default_is_none() -> None:
    assert sefi.SPEC.preset("default") == {}
    fast, paper = (SefiSettings(**sefi.SPEC.preset(name)) for name in ("fast", "paper"))
    assert fast.steps < SefiSettings().steps
    assert (paper.num_stages, paper.attention_weight, paper.attention_words) == (5, 0.003, "all")
    assert paper.focus_power == paper.average == paper.max_norm == 0 and paper.start is None
    with pytest.raises(SettingError, match="no preset 'slow'; it has default, paper, fast"):
        sefi.SPEC.preset("slow")


def test_a_class_word_of_two_tokens_meets_one_column() -> None:
    """Queries that look at one column each: V*, either half of the class word, or a later token; all cost nothing."""
    query = 50 * torch.eye(4)[None, None]
    target_key, class_key = torch.zeros(1, 1, 5, 4), torch.zeros(1, 1, 5, 4)
    target_key[0, 0, 0] = class_key[0, 0, 0] = torch.tensor([1.0, 0, 0, 0])
    target_key[0, 0, 1] = torch.tensor([0, 1.0, 1, 0])
    class_key[0, 0, 1], class_key[0, 0, 2] = torch.tensor([0, 1.0, 0, 0]), torch.tensor([0, 0, 1.0, 0])
    target_key[0, 0, 2] = class_key[0, 0, 3] = torch.tensor([0, 0, 0, 1.0])
    anchor = Anchor((), (class_key,), 2)
    records = Records([query], [target_key])
    assert anchored_loss(anchor, records, [1]).item() == pytest.approx(0, abs=1e-6)
    assert anchored_loss(Anchor((), (class_key,), 1), records, [1]).item() > 10


def test_the_attention_loss_of_equal_lengths_is_the_plain_one() -> None:
    query, key, anchor_key = (torch.randn(2, 3, n, 8, generator=seeded(n)) for n in (16, 6, 6))
    maps = [(query @ keys.transpose(-1, -2) / 8**0.5).softmax(dim=-1) for keys in (key, anchor_key)]
    loss = anchored_loss(Anchor((), (anchor_key,), 1), Records([query], [key]), [3])
    torch.testing.assert_close(loss, attention_loss(maps[:1], maps[1:]))


@pytest.mark.parametrize("class_tokens", [1, 2])
def test_large_maps_are_computed_again_on_the_way_back(monkeypatch: pytest.MonkeyPatch, class_tokens: int) -> None:
    def run(most: int) -> tuple[Tensor, list[Tensor], int]:
        monkeypatch.setattr(sefi, "MOST_KEPT", most)
        queries, keys, anchor_keys = ([torch.randn(2, 3, n, 8, generator=seeded(n)) for _ in "ab"] for n in (64, 6, 6))
        leaves = [tensor.requires_grad_() for tensor in (*queries, *keys)]
        kept: dict[int, int] = {}

        def pack(saved: Tensor) -> Tensor:
            kept[saved.untyped_storage().data_ptr()] = saved.untyped_storage().nbytes()
            return saved

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
            anchor = Anchor((), tuple(anchor_keys), class_tokens)
            loss = anchored_loss(anchor, Records(queries, keys), [3])
        inputs = {leaf.untyped_storage().data_ptr() for leaf in leaves}
        loss.backward()
        return loss, [leaf.grad for leaf in leaves], sum(size for place, size in kept.items() if place not in inputs)

    (loss, gradients, kept), (again, others, less) = run(2**26), run(0)
    maps = 2 * 2 * 3 * 64 * 6 * 4
    assert kept >= 2 * maps and less < maps
    assert torch.equal(loss, again) and all(map(torch.equal, gradients, others))


def test_a_longer_class_word_learns(backbone: Backbone) -> None:
    method = learner(backbone, subject="teddy bear")
    losses = method.loss(drawn(backbone))
    assert method.prompt == "a photo of a {}"
    assert method.anchor is not None and method.anchor.num_tokens == 2
    assert 0 < losses["attention"].item() < 256


def test_the_file_keeps_ten_tokens_and_gives_the_table_back(backbone: Backbone) -> None:
    method = learner(backbone, max_norm=0)
    tensors = method.tensors()
    (width,) = {len(word) for word in method.words.values()}
    assert {name: tuple(rows.shape) for name, rows in tensors.items()} == {"tokens.text_encoder": (5, 2, width)}
    table, again = method.table(), get_method("sefi").table(tensors, {})
    assert torch.equal(table.key, again.key) and torch.equal(table.value, again.value)
    assert torch.equal(table.vectors["text_encoder"], again.vectors["text_encoder"])
    assert again.key[:, 0].tolist() == [0, 2, 4, 6, 8] and again.value[:, 0].tolist() == [1, 3, 5, 7, 9]


def test_other_tensors_are_refused() -> None:
    with pytest.raises(IdentityFileError, match="pairs of tokens"):
        get_method("sefi").table({"tokens.text_encoder": torch.zeros(1, 8)}, {})
    with pytest.raises(IdentityFileError, match="no tokens"):
        get_method("sefi").table({}, {})


def test_a_resumed_run_repeats_the_uninterrupted_one(backbone: Backbone, tmp_path: Path) -> None:
    def run(method: Sefi, steps: int, start: State | None = None) -> State:
        draw_batch = batch_drawer(drawn(backbone).latents, batch_size=2, num_stages=5, num_timesteps=100)
        reports = fit(method, draw_batch, steps=steps, learning_rate=1e-3, generator=seeded(), start=start)
        return list(reports)[-1].state()

    whole, first, second = (learner(backbone) for _ in range(3))
    run(whole, 6)
    checkpoint.save(tmp_path / "half", run(first, 3), {})
    run(second, 6, checkpoint.load(tmp_path / "half")[0])
    assert torch.equal(whole.tensors()["tokens.text_encoder"], second.tensors()["tokens.text_encoder"])


def test_layers_are_chosen_by_factor(backbone: Backbone) -> None:
    assert {layer.factor for layer in sefi.attention_layers(backbone, (2,))} == {2}
    assert {layer.factor for layer in sefi.attention_layers(backbone, None)} <= {1, 2}
    with pytest.raises(SettingError, match="choose attention_factors"):
        sefi.attention_layers(backbone, (64,))


@pytest.mark.parametrize(
    "settings",
    [
        {"num_stages": 0},
        {"average": 1.5},
        {"steps": 0},
        {"attention_weight": -1},
        {"focus_power": -1},
        {"max_norm": -1},
        {"max_norm": (1, -1)},
        {"max_norm": ()},
        {"max_norm": None},
        {"max_norm": "1"},
        {"max_norm": (1, float("nan"))},
        {"strange": {"max_norm": -1}},
        {"strange": {"num_stages": 3}},
        {"strange": {"steps": 0}},
        {"strange": None},
        {"strange": ["steps"]},
        {"slot_size": 0},
        {"slot_size": None},
        {"slot_size": "3"},
        {"strange": {"slot_size": -1}},
        {"prompt": "a photo"},
        {"attention_words": "some"},
    ],
)
def test_senseless_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(SettingError):
        SefiSettings(**settings)


def test_losses_on_the_subject_ask_less_than_the_one_on_all_words() -> None:
    query, key, anchor_key = (torch.randn(2, 3, n, 8, generator=seeded(n)) for n in (16, 6, 6))
    anchor, records = Anchor((), (anchor_key,), 1), Records([query], [key])
    maps, anchors = sefi.paired_maps(query, key, anchor_key, [3], 1)
    squares = 256 * (maps - anchors).square().mean(dim=(0, 1, 2))
    losses = {name: anchored_loss(anchor, records, [3], words=name) for name in sefi.LOSSES}
    torch.testing.assert_close(losses["all"], squares.sum())
    torch.testing.assert_close(losses["subject"], squares[3])
    by_position, anchor_map = maps[..., 3].mean(dim=1), anchors[..., 3].mean(dim=1)
    mask = (anchor_map > anchor_map.mean(dim=1, keepdim=True)).float()
    expected = (by_position / by_position.amax(dim=1, keepdim=True) - mask).square().mean()
    torch.testing.assert_close(losses["mask"], expected)


@pytest.mark.parametrize("words", ["subject", "mask"])
def test_other_losses_learn_too(backbone: Backbone, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    method = learner(backbone, attention_words=words)
    pairs = with_pairs(method, monkeypatch)
    method.loss(drawn(backbone))["attention"].backward()
    assert all(rows.grad is not None and bool(rows.grad[:, 0].any()) for rows in pairs.values())


def test_shared_tokens_are_the_same_for_k_and_v(backbone: Backbone) -> None:
    method = learner(backbone, shared_tokens=True)
    batch = drawn(backbone)
    list(fit(method, lambda step, generator: batch, steps=2, learning_rate=1e-2, generator=seeded()))
    (rows,) = method.tensors().values()
    assert rows.shape[:2] == (5, 2) and torch.equal(rows[:, 0], rows[:, 1])
    assert not torch.equal(rows[0], rows[1])
    assert sum(p.numel() for p in method.parameters()) < sum(p.numel() for p in learner(backbone).parameters())
