from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_backbone
from torch.nn import functional

from onephoto.api import Learning, LearnRequest
from onephoto.backbone.known_names import name_vectors
from onephoto.backbone.load import Backbone
from onephoto.backbone.method import Batch
from onephoto.comparison import compare_plan
from onephoto.errors import PhotoError, SettingError
from onephoto.generate.draw import DrawSettings
from onephoto.methods.celeb_basis import CelebBasis, CelebBasisSettings, Coefficients, face_of, name_basis

NAMES = ("red bear", "old man", "teddy dog", "face person", "hair beach", "photo of")
PHOTO = Image.new("RGB", (16, 16))


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return tiny_backbone()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def learner(backbone: Backbone, **settings: Any) -> CelebBasis:
    known = CelebBasisSettings(names=NAMES, **settings)
    photos, vector = [PHOTO], np.linspace(-1, 2, 10)
    return CelebBasis(backbone, subject="person", settings=known, photos=photos, network=lambda photo: vector)


def drawn() -> Batch:
    latents, noise = (torch.randn(2, 4, 8, 8, generator=seeded(k)) for k in range(2))
    return Batch(latents, noise, torch.tensor([10, 700]))


def test_the_basis_is_orthonormal_and_holds_the_directions_of_most_variance() -> None:
    """Against the eigenvectors of each position's covariance, and the variance that each direction keeps."""
    names = torch.randn(40, 2, 9, generator=seeded()) * torch.linspace(0.2, 3, 9) + 5
    basis = name_basis(names, 4)
    assert basis.directions.shape == (2, 4, 9)
    for position in range(2):
        own, rows = names[:, position], basis.directions[position]
        torch.testing.assert_close(basis.mean[position], own.mean(0))
        torch.testing.assert_close(rows @ rows.T, torch.eye(4))
        values, vectors = torch.linalg.eigh(own.T.cov())
        leading = vectors[:, -4:]
        torch.testing.assert_close(rows.T @ rows, leading @ leading.T, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(((own @ rows.T).var(dim=0)), values[-4:].flip(0), atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize(("asked", "kept"), [(None, 20), (7, 7), (1000, 30)])
def test_two_thirds_of_the_width_are_kept_and_never_more_than_there_are(asked: int | None, kept: int) -> None:
    assert name_basis(torch.randn(50, 1, 30, generator=seeded()), asked).directions.shape[1] == kept
    assert name_basis(torch.randn(5, 1, 30, generator=seeded()), asked).directions.shape[1] == 4


def test_tokens_lie_one_length_from_the_mean_in_the_span(backbone: Backbone) -> None:
    method, vectors = learner(backbone), name_vectors(backbone, NAMES)
    offsets = method.table().vectors["text_encoder"][0] - vectors.mean(0)
    for offset, own in zip(offsets, (vectors - vectors.mean(0)).unbind(1), strict=True):
        assert offset.norm().item() == pytest.approx(1, abs=1e-5)
        nearest = own.T @ torch.linalg.pinv(own.T) @ offset
        torch.testing.assert_close(nearest, offset, atol=1e-5, rtol=1e-5)


def test_coefficients_by_their_formula() -> None:
    face = functional.normalize(torch.randn(6, generator=seeded()), dim=0)
    layer = Coefficients(face, 2, 5, generator=seeded(1))
    hidden = layer.weight @ face + layer.bias
    rows = torch.where(hidden > 0, hidden, 0.2 * hidden).reshape(2, 5)
    torch.testing.assert_close(layer(face), rows / rows.norm(dim=1, keepdim=True))


def test_what_is_kept_is_the_average(backbone: Backbone) -> None:
    method = learner(backbone, average=0.9)
    first = method.coefficients.average.clone()
    assert torch.equal(first, method.coefficients(method.face))
    with torch.no_grad():
        method.coefficients.bias += torch.randn(method.coefficients.bias.shape, generator=seeded())
    method.loss(drawn())
    now = method.coefficients(method.face)
    average = 0.9 * (0.9 * first + 0.1 * now) + 0.1 * now
    torch.testing.assert_close(method.coefficients.average, average)
    torch.testing.assert_close(method.tensors()["tokens.text_encoder"], method.basis.tokens(average).detach())


def test_the_layer_alone_trains(backbone: Backbone) -> None:
    method = learner(backbone)
    method.loss(drawn())["loss"].backward()
    assert [tuple(parameter.shape) for parameter in method.parameters()] == [(10, 10), (10,)]
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in method.parameters())


def test_faces_of_several_photos_are_averaged_and_pictures_without_one_left_out() -> None:
    vectors = iter([np.array([3.0, 0]), None, np.array([0, 0.5])])
    face = face_of([PHOTO] * 3, lambda photo: next(vectors))
    torch.testing.assert_close(face, torch.tensor([0.5, 0.5]).sqrt())


def test_without_a_face_it_is_refused(backbone: Backbone) -> None:
    with pytest.raises(PhotoError, match=r"face.*sefi"):
        CelebBasis(backbone, subject="person", settings=CelebBasisSettings(names=NAMES), photos=[PHOTO])
    with pytest.raises(SettingError):
        CelebBasisSettings(average=1.0)


def test_whoever_compares_chooses_the_network_that_it_learns_with(backbone: Backbone) -> None:
    request = LearnRequest(name="x", method="celeb-basis", settings={"names": NAMES, "steps": 1})
    learning = Learning(backbone, [PHOTO], request, network=lambda photo: np.arange(1.0, 6.0))
    assert learning.method.face.shape == (5,)
    drawing = DrawSettings(steps=1)
    for faces, network in (("other eyes", "other eyes"), ("", "dlib")):
        plan = compare_plan(backbone, ("sefi", "celeb-basis"), settings=drawing, faces=faces, people=(1,))
        assert [variant.network for variant in plan.variants] == ["", "", network]
