import pytest
import torch
from tiny import LENGTH, tiny_backbone

from onephoto.backbone.known_names import known_names, name_vectors
from onephoto.backbone.load import Backbone
from onephoto.backbone.method import Batch
from onephoto.errors import SettingError
from onephoto.methods.cross_initialization import CrossInitialization, CrossInitializationSettings, pull

NAMES = ("red bear", "old man", "teddy dog")


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return tiny_backbone()


def learner(backbone: Backbone, pull_weight: float = 1e-5) -> CrossInitialization:
    settings = CrossInitializationSettings(names=NAMES, pull_weight=pull_weight)
    return CrossInitialization(backbone, subject="person", settings=settings)


def drawn() -> Batch:
    latents, noise = (torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(k)) for k in range(2))
    return Batch(latents, noise, torch.tensor([10, 700]))


def test_it_starts_at_the_encoders_output_of_the_mean_name(backbone: Backbone) -> None:
    """The encoder's own layers, fed by hand: begin, the means of first and of last names, end and padding."""
    encoder, tokenizer = backbone.text_encoders[0], backbone.tokenizers[0]
    rows = encoder.get_input_embeddings().weight
    first, last = (
        torch.stack([rows[tokenizer(name.split()[k], add_special_tokens=False).input_ids[0]] for name in NAMES]).mean(0)
        for k in (0, 1)
    )
    begin, end = rows[tokenizer.bos_token_id], rows[tokenizer.eos_token_id]
    sequence = torch.stack([begin, first, last, *[end] * (LENGTH - 3)])
    handle = encoder.get_input_embeddings().register_forward_hook(lambda *_: sequence[None])
    expected = encoder(torch.full((1, LENGTH), tokenizer.eos_token_id)).last_hidden_state[0, 1:3]
    handle.remove()
    tokens = learner(backbone).table().vectors["text_encoder"][0]
    torch.testing.assert_close(tokens, expected)
    assert tokens.norm() > 3 * name_vectors(backbone, NAMES).mean(0).norm()


def test_the_pull_is_the_mean_distance_and_its_gradient_points_back() -> None:
    start = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    vectors = (start + torch.tensor([[3.0, 4, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1]])).requires_grad_()
    distance = pull(vectors, start)
    distance.backward()
    assert distance.item() == pytest.approx((5 + 1) / 2)
    torch.testing.assert_close(vectors.grad, torch.tensor([[0.3, 0.4, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0.5]]))


def test_at_the_start_nothing_pulls_and_later_the_loss_is_the_weighted_sum(backbone: Backbone) -> None:
    method = learner(backbone, pull_weight=0.5)
    losses = method.loss(drawn())
    assert losses["pull"].item() == 0 and losses["loss"].item() == losses["denoising"].item()
    losses["loss"].backward()
    (tokens,) = method.parameters()
    assert tokens.grad is not None and bool(tokens.grad.isfinite().all()) and bool(tokens.grad.any())
    with torch.no_grad():
        tokens += 1
    losses = method.loss(drawn())
    assert losses["pull"].item() == pytest.approx(32**0.5)
    assert losses["loss"].item() == pytest.approx(losses["denoising"].item() + 0.5 * 32**0.5)


def test_names_must_match_and_be_known(backbone: Backbone) -> None:
    for names in ((), ("old man",), ("old man", "dog")):
        with pytest.raises(SettingError, match="same number of tokens"):
            name_vectors(backbone, names)
    with pytest.raises(SettingError, match="setting names"):
        known_names(backbone)
