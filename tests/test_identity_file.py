from pathlib import Path

import pytest
import torch
from tiny import tiny_backbone

from onephoto.errors import IdentityFileError
from onephoto.identity.file import IdentityFile, OtherBaseWarning, check_compatible, fingerprint_of, load, save

ROWS = {"text_encoder": torch.randn(64, 768, generator=torch.Generator().manual_seed(0))}
SHAPES = {"down_blocks.0.attn2": (320, 768)}


def person(**metadata: object) -> IdentityFile:
    base = {"model_id": "base-one", "fingerprint": fingerprint_of(ROWS, SHAPES)}
    tokens = torch.randn(5, 2, 768, generator=torch.Generator().manual_seed(1))
    return IdentityFile("alice", "person", "sefi", {"tokens.text_encoder": tokens}, {"base": base, **metadata})


def refusal(path: Path) -> str:
    with pytest.raises(IdentityFileError) as error:
        load(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_person_survives_the_file_in_about_30_kb(tmp_path: Path) -> None:
    path = tmp_path / "alice.safetensors"
    save(path, person(seed=3, consent="given in writing"))
    again = load(path)
    assert again == IdentityFile(again.name, again.subject, again.method, again.tensors, again.metadata)
    assert (again.name, again.subject, again.method) == ("alice", "person", "sefi")
    assert torch.equal(again.tensors["tokens.text_encoder"], person().tensors["tokens.text_encoder"])
    assert again.metadata["consent"] == "given in writing"
    assert 30_000 < path.stat().st_size < 36_000
    assert [file.name for file in tmp_path.iterdir()] == ["alice.safetensors"]


def test_numbers_are_kept_in_float32_or_in_the_float16_that_a_method_chose(tmp_path: Path) -> None:
    kept = {"a": torch.ones(3).half(), "b": torch.ones(3).bfloat16(), "c": torch.ones(3)}
    save(tmp_path / "alice.safetensors", IdentityFile("alice", "person", "dreambooth", kept, {"base": {}}))
    dtypes = {name: tensor.dtype for name, tensor in load(tmp_path / "alice.safetensors").tensors.items()}
    assert dtypes == {"a": torch.float16, "b": torch.float32, "c": torch.float32}


def test_what_is_no_identity_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "alice.safetensors"
    save(path, person())
    whole = path.read_bytes()
    for name, content, words in (
        ("cut.safetensors", whole[:5000], "damaged"),
        ("text.safetensors", b"hello there, this is text", "damaged"),
        ("old.pt", whole, "pickle"),
        ("hidden.safetensors", b"\x80\x04" + whole, "pickle"),
        ("zip.safetensors", b"PK\x03\x04" + whole, "pickle"),
    ):
        (tmp_path / name).write_bytes(content)
        assert words in refusal(tmp_path / name)
    assert "no such file" in refusal(tmp_path / "none.safetensors")
    save(path, person(format=99))
    assert "upgrade" in refusal(path)


def test_other_shapes_are_refused_and_another_base_warned_of() -> None:
    check_compatible(person(), fingerprint_of(ROWS, SHAPES), "base-one")
    near = {"text_encoder": ROWS["text_encoder"] + 0.01 * torch.randn(64, 768)}
    check_compatible(person(), fingerprint_of(near, SHAPES), "fine-tune")
    other = {"text_encoder": torch.randn(64, 768)}
    with pytest.warns(OtherBaseWarning, match="base-one"):
        check_compatible(person(), fingerprint_of(other, SHAPES), "base-two")
    narrow = {"text_encoder": torch.randn(64, 512)}
    for fingerprint in (fingerprint_of(narrow, SHAPES), fingerprint_of(ROWS, {"down_blocks.0.attn2": (320, 1024)})):
        with pytest.raises(IdentityFileError, match=r"base-one.*base-two"):
            check_compatible(person(), fingerprint, "base-two")


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_a_backbone_recognises_itself_and_not_the_other_family(family: str) -> None:
    own, other = tiny_backbone(family), tiny_backbone("sd1" if family == "sdxl" else "sdxl")
    first, second = (fingerprint_of(b.fingerprint_rows(), b.attention_shapes()) for b in (own, other))
    somebody = IdentityFile("v", "person", "sefi", {}, {"base": {"model_id": family, "fingerprint": first}})
    check_compatible(somebody, first, family)
    with pytest.raises(IdentityFileError):
        check_compatible(somebody, second, "other")
