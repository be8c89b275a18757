from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny import tiny_backbone, tiny_pipeline
from torch import Tensor
from torch.nn import functional

from onephoto.backbone.load import Backbone
from onephoto.backbone.method import Batch
from onephoto.backbone.prompts import encode
from onephoto.core.denoising import add_noise
from onephoto.core.stages import stage_index
from onephoto.errors import IdentityFileError
from onephoto.methods import neti
from onephoto.methods.neti import HIDDEN, Neti, NetiNetwork, NetiSettings, draw_timesteps, fourier_features, grid
from onephoto.methods.recipe import WORD

TIMES = (100, 800)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return tiny_backbone()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def learner(backbone: Backbone, **settings: Any) -> Neti:
    return Neti(backbone, subject="person", settings=NetiSettings(**settings))


def drawn(*timesteps: int) -> Batch:
    latents, noise = (torch.randn(len(timesteps), 4, 8, 8, generator=seeded(k)) for k in range(2))
    return Batch(latents, noise, torch.tensor(timesteps))


def encoded(backbone: Backbone, text: str, token: Tensor, bypass: Tensor | None) -> Tensor:
    """The prompt by hand: the word's row of the input replaced, and 0.2 |h| b / |b| before the final norm."""
    encoder, tokenizer = backbone.text_encoders[0], backbone.tokenizers[0]
    ids = tokenizer(text, padding="max_length", return_tensors="pt").input_ids
    place = ids[0].tolist().index(tokenizer("person", add_special_tokens=False).input_ids[0])
    final = next(module for name, module in encoder.named_modules() if name.endswith("final_layer_norm"))

    def put(module: Any, args: Any, output: Tensor) -> Tensor:
        return torch.cat([output[:, :place], token[None, None], output[:, place + 1 :]], dim=1)

    def add(module: Any, args: tuple[Tensor]) -> tuple[Tensor] | None:
        if bypass is None:
            return None
        h = args[0][:, place]
        h = h + 0.2 * bypass / bypass.norm() * h.norm()
        return (torch.cat([args[0][:, :place], h[:, None], args[0][:, place + 1 :]], dim=1),)

    handles = [encoder.get_input_embeddings().register_forward_hook(put), final.register_forward_pre_hook(add)]
    output = encoder(ids).last_hidden_state
    for handle in handles:
        handle.remove()
    return output


def test_fourier_features_by_their_formula_and_their_scale() -> None:
    points, frequencies = torch.tensor([[700.0, 3], [0, 0]]), torch.randn(5, 2, generator=seeded())
    angles = [700 * row[0] + 3 * row[1] for row in frequencies]
    row = torch.stack([*(angle.sin() for angle in angles), *(angle.cos() for angle in angles)])
    expected = torch.stack([row, torch.tensor([0.0] * 5 + [1.0] * 5)]) / 5**0.5
    torch.testing.assert_close(fourier_features(points, frequencies), expected)
    drawn_at_random = NetiNetwork(8, 40, generator=seeded()).frequencies
    assert drawn_at_random.std(dim=0).tolist() == pytest.approx([0.03, 2.0], rel=0.1)


def test_the_network_by_its_formula(backbone: Backbone) -> None:
    method, points = learner(backbone), torch.tensor([[100.0, 2], [999, 0]])
    net, word = method.network, backbone.class_vectors("person")["text_encoder"][0]
    x = functional.linear(fourier_features(points, net.frequencies), net.to_anchors.weight, net.to_anchors.bias)
    for place in (0, 3):
        x = functional.linear(x, net.hidden[place].weight, net.hidden[place].bias)
        x = functional.leaky_relu(functional.layer_norm(x, (HIDDEN,)), 0.01)
    x = functional.linear(x, net.to_vectors.weight, net.to_vectors.bias)
    token, bypass = x[:, : len(word)], x[:, len(word) :]
    tokens, bypasses = net(points)
    torch.testing.assert_close(tokens, word.norm() * token / token.norm(dim=1, keepdim=True))
    torch.testing.assert_close(bypasses, 0.2 * bypass / bypass.norm(dim=1, keepdim=True))


def test_the_first_layer_begins_as_likeness_to_ten_timesteps_at_each_layer(backbone: Backbone) -> None:
    net, num_layers = learner(backbone).network, len(backbone.layers)
    points = grid(torch.arange(0, 1000, 100), num_layers)
    likeness = net.to_anchors(fourier_features(points, net.frequencies)) - net.to_anchors.bias
    assert likeness.shape == (10 * num_layers,) * 2
    torch.testing.assert_close(likeness.diagonal(), torch.ones(10 * num_layers))
    assert likeness.argmax(dim=1).tolist() == list(range(10 * num_layers))


def test_k_sees_the_token_and_v_the_bypass_too_at_each_timestep_and_layer(backbone: Backbone) -> None:
    """Each sample alone through the U-Net, its contexts made by hand and put into every layer."""
    method, batch = learner(backbone, dropout=0.0), drawn(*TIMES)
    text, squares = method.prompt.format("person"), []
    for k, t in enumerate(TIMES):
        handles = []
        for number, layer in enumerate(backbone.layers):
            token, bypass = (rows[0].detach() for rows in method.network(torch.tensor([[float(t), number]])))
            for linear, added in ((layer.module.to_k, None), (layer.module.to_v, bypass)):
                context = encoded(backbone, text, token, added)
                handles.append(linear.register_forward_pre_hook(lambda module, args, context=context: (context,)))
        time = torch.tensor([t])
        noisy = add_noise(batch.latents[k : k + 1], batch.noise[k : k + 1], backbone.alphas_cumprod, time)
        prediction = backbone.unet(noisy, time, encoded(backbone, text, token, None)).sample
        squares.append((prediction - batch.noise[k]).square().mean())
        for handle in handles:
            handle.remove()
    torch.testing.assert_close(method.loss(batch)["loss"], torch.stack(squares).mean())


def test_drawing_meets_what_learning_saw(backbone: Backbone) -> None:
    """At a timestep of drawing, the contexts of K and V are those that learning makes there."""
    method = learner(backbone, dropout=0.0)
    t = int(method.timesteps[17])
    text = method.prompt.format("<v>")
    drawing = encode(backbone, text, {WORD: method.table()}, classes={WORD: "person"})
    learning = method.conditioning(method.table_for(drawn(t)))
    stage = int(stage_index(torch.tensor([t]), 50, 1000))
    for side in ("key", "value"):
        ours, theirs = getattr(drawing.routing, side)[stage], getattr(learning.routing, side)[999 - t]
        torch.testing.assert_close(drawing.contexts[ours], learning.contexts[theirs])
    assert not torch.allclose(drawing.contexts[drawing.routing.key], drawing.contexts[drawing.routing.value])


@pytest.mark.parametrize("steps", [50, 25, 10])
def test_the_timesteps_of_drawing_are_the_samplers(steps: int) -> None:
    scheduler = tiny_pipeline().scheduler
    scheduler.set_timesteps(steps)
    times = draw_timesteps(50, 1000)
    assert set(scheduler.timesteps.tolist()) <= set(times.tolist())
    assert stage_index(times, 50, 1000).tolist() == list(range(50))
    assert draw_timesteps(1000, 1000).tolist() == list(range(999, -1, -1))


def test_nested_dropout_cuts_the_tail_at_half_of_the_layers(backbone: Backbone) -> None:
    method = learner(backbone)
    batches = [replace(drawn(5), noise=torch.randn(1, 4, 8, 8, generator=seeded(k))) for k in range(200)]
    kept = torch.stack([method.kept(batch, 1) for batch in batches]).flatten()
    assert (kept < HIDDEN).float().mean().item() == pytest.approx(0.5, abs=0.06)
    assert kept[kept < HIDDEN].float().mean().item() == pytest.approx(63.5, abs=6)
    assert torch.equal(method.kept(batches[0], 1), method.kept(batches[0], 1))
    net, points = method.network, torch.tensor([[5.0, 0]])
    whole, cut = (net(points, torch.tensor([count]))[0] for count in (HIDDEN, 40))
    assert torch.equal(whole, net(points)[0]) and not torch.allclose(whole, cut)
    with torch.no_grad():
        net.to_vectors.weight[:, 40:] += 1
    assert torch.equal(net(points, torch.tensor([40]))[0], cut)


def test_every_weight_learns_and_none_of_the_backbones(backbone: Backbone) -> None:
    method = learner(backbone, dropout=0.0)
    method.loss(drawn(*TIMES))["loss"].backward()
    assert all(weight.grad is not None and bool(weight.grad.any()) for weight in method.parameters())
    assert all(weight.grad is None for weight in backbone.text_encoders[0].parameters())


def test_half_a_network_is_refused(backbone: Backbone) -> None:
    tensors = learner(backbone).tensors()
    whole = neti.table(tensors, {})
    assert whole.bypass is not None and whole.key.shape == (50, len(backbone.layers))
    for name in ("network.text_encoder.norm", "timesteps"):
        with pytest.raises(IdentityFileError, match="neti"):
            neti.table({key: rows for key, rows in tensors.items() if key != name}, {})
