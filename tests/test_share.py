"""Identities given to others and fetched, with folders, and with a stand-in for the hub's client."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import onephoto
from onephoto.cli import app, main
from onephoto.errors import IdentityFileError, ShareError
from onephoto.identity.card import model_card
from onephoto.identity.file import IdentityFile, save
from onephoto.identity.share import on_hub
from onephoto.identity.thumbnail import thumbnail_of

BASE = {"model_id": "/home/somebody/models/dream", "fingerprint": {}}
TOKENS = {"tokens.text_encoder": torch.randn(5, 2, 8, generator=torch.Generator().manual_seed(0))}


def person(name: str = "alice", **metadata: Any) -> IdentityFile:
    thumbnail = thumbnail_of(Image.new("RGB", (64, 64), "red"))
    known = {"base": BASE, "steps": 500, "seed": 7, "losses": {"loss": 0.12345}, "thumbnail": thumbnail}
    settings = {"settings": {"learning_rate": 0.001, "start": "/home/somebody/start.safetensors"}}
    return IdentityFile(name, "person", "sefi", TOKENS, known | settings | metadata)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    picture, exif = Image.new("RGB", (80, 60), "green"), Image.Exif()
    exif[0x010E] = "where we live"
    picture.save(tmp_path / "me.jpg", exif=exif)
    return tmp_path / "me.jpg"


class Hub:
    """The calls of `huggingface_hub.HfApi` that are made, over a dictionary of repositories."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}

    def create_repo(self, repo: str, *, private: bool, exist_ok: bool) -> str:
        assert exist_ok
        if repo not in self.repositories:
            self.repositories[repo], self.private[repo] = {".gitattributes": b""}, private
        return f"https://hub/{repo}"

    def model_info(self, repo: str) -> SimpleNamespace:
        if repo not in self.repositories:
            raise RepositoryNotFoundError("404")
        files = [SimpleNamespace(rfilename=name) for name in self.repositories[repo]]
        return SimpleNamespace(private=self.private[repo], siblings=files)

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str, delete_patterns: list[str]) -> None:
        assert commit_message == "Add alice"
        kept = {name: data for name, data in self.repositories[repo_id].items() if name not in delete_patterns}
        self.repositories[repo_id] = kept | {path.name: path.read_bytes() for path in Path(folder_path).iterdir()}


class RepositoryNotFoundError(OSError):
    """As the hub's client names it."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hub:
    one = Hub()

    def download(repo: str, name: str) -> str:
        (tmp_path / "cache").mkdir(exist_ok=True)
        (tmp_path / "cache" / name).write_bytes(one.repositories[repo][name])
        return str(tmp_path / "cache" / name)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: one)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return one


def same_person(path: Path) -> bool:
    identity = onephoto.load_identity(path)
    return identity.name == "alice" and torch.equal(*(one["tokens.text_encoder"] for one in (identity.tensors, TOKENS)))


def test_a_folder_holds_the_file_and_its_card_and_comes_back(tmp_path: Path) -> None:
    save(tmp_path / "alice.safetensors", person(consent="asked on paper"))
    place = tmp_path / "shared" / "alice"
    assert onephoto.push(tmp_path / "alice.safetensors", str(place)) == str(place)
    assert sorted(path.name for path in place.iterdir()) == ["README.md", "alice.safetensors"]
    card = (place / "README.md").read_text(encoding="utf-8")
    for words in ("library_name: onephoto", "`<alice>`", "`sefi`", "asked on paper", "| steps | 500 |", "0.1235"):
        assert words in card
    assert same_person(onephoto.pull(str(place), tmp_path / "again.safetensors"))


def test_neither_photo_nor_places_on_the_disk_are_shared_unless_asked(tmp_path: Path, photo: Path) -> None:
    place = tmp_path / "shared"
    for asked in (False, True, False):
        onephoto.push(person(), str(place), with_photo=photo if asked else None)
        assert (place / "photo.jpg").exists() is asked
        assert ("thumbnail" in onephoto.load_identity(place / "alice.safetensors").metadata) is asked
        if asked:
            with Image.open(place / "photo.jpg") as opened:
                assert opened.size == (80, 60) and not opened.getexif()
        written = b"".join(path.read_bytes() for path in place.iterdir())
        assert b"/home/somebody" not in written and str(place).encode() not in written
        assert b"where we live" not in written and b"dream" in written


def test_the_hub_gets_the_same_privately_unless_said_otherwise(hub: Hub, photo: Path) -> None:
    assert onephoto.push(person(), "owner/alice", with_photo=photo) == "https://hub/owner/alice"
    assert hub.private["owner/alice"] and "photo.jpg" in hub.repositories["owner/alice"]
    onephoto.push(person(), "owner/alice")
    assert set(hub.repositories["owner/alice"]) == {".gitattributes", "README.md", "alice.safetensors"}
    assert b"onephoto pull owner/alice" in hub.repositories["owner/alice"]["README.md"]
    assert same_person(onephoto.pull("owner/alice"))
    hub.private["owner/alice"] = False
    with pytest.raises(ShareError, match="public; pass --public"):
        onephoto.push(person(), "owner/alice")
    onephoto.push(person(), "owner/alice", public=True)


def test_what_others_keep_in_a_place_is_left_alone(hub: Hub, tmp_path: Path) -> None:
    hub.create_repo("owner/thing", private=True, exist_ok=True)
    hub.repositories["owner/thing"]["model.bin"] = b""
    for place in (tmp_path / "one", tmp_path / "two"):
        place.mkdir()
    (tmp_path / "one" / "bob.safetensors").write_bytes(b"")
    (tmp_path / "two" / "README.md").write_text("my project")
    for place, words in (
        ("owner/thing", "holds model.bin"), (str(tmp_path / "one"), "holds bob.safetensors"),
        (str(tmp_path / "two"), "somebody else's"),
    ):  # fmt: skip
        with pytest.raises(ShareError, match=words):
            onephoto.push(person(), place)
    assert (tmp_path / "two" / "README.md").read_text() == "my project"


def test_a_hub_id_is_owner_and_name_where_no_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert on_hub("owner/name") and not any(map(on_hub, ("./owner/name", "name", "/owner/name", "a/b/c", "~/name")))
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert not on_hub("owner/name")


def test_a_name_from_elsewhere_is_no_path(tmp_path: Path) -> None:
    save(tmp_path / "file.safetensors", person("../../etc/alice"))
    with pytest.raises(IdentityFileError, match="not a name"):
        onephoto.pull(str(tmp_path))
    with pytest.raises(IdentityFileError, match="not a name"):
        onephoto.push(tmp_path / "file.safetensors", str(tmp_path / "shared"))


def test_a_card_says_that_no_consent_was_noted_and_takes_any_words() -> None:
    card = model_card(person(base={"model_id": "org/dream-1.5"}, consent=""), "owner/alice")
    assert "No note on consent was given." in card and "base_model: org/dream-1.5\n" in card
    card = model_card(person("jo-ann", consent="a | b\n<c>", base={}), "owner/jo")
    assert "a \\| b &lt;c>" in card and "base_model" not in card and 'somebody="jo-ann.safetensors"' in card


def failing(error: Exception) -> Any:
    def call(*args: Any, **options: Any) -> None:
        raise error

    return call


def test_mistakes_are_one_line_and_exit_code_2(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "alice.safetensors", person())
    file = str(tmp_path / "alice.safetensors")

    def line(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["onephoto", *words])
        with pytest.raises(SystemExit) as stop:
            main()
        (said,) = capsys.readouterr().err.strip().splitlines()
        assert stop.value.code == 2
        return said

    assert "no such folder" in line("pull", str(tmp_path / "none"))
    assert "not on the hub" in line("pull", "owner/nobody")
    (tmp_path / "empty").mkdir()
    assert "holds 0" in line("pull", str(tmp_path / "empty"))
    assert "no such file" in line("push", str(tmp_path / "none.safetensors"), "owner/alice")
    assert "no such file" in line("push", file, "./shared", "--with-photo", str(tmp_path / "none.jpg"))
    assert "cannot be written" in line("push", file, file)
    refused = OSError("forbidden")
    refused.response = SimpleNamespace(status_code=403)  # type: ignore[attr-defined]
    for error, words in (
        (refused, "hf auth login"), (ConnectionError("refused"), "does not answer"), (OSError("odd\nlines"), "(odd)"),
    ):  # fmt: skip
        monkeypatch.setattr(hub, "create_repo", failing(error))
        assert words in line("push", file, "owner/alice")


@pytest.mark.slow
@pytest.mark.parametrize("words", [("push", "alice.safetensors", "owner/alice"), ("pull", "owner/alice")])
def test_a_hub_that_does_not_answer_is_one_line(tmp_path: Path, words: tuple[str, ...]) -> None:
    """The hub's own client, asking a port of this machine where nobody listens."""
    save(tmp_path / "alice.safetensors", person())
    own = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "HF_TOKEN": "none", "HF_HUB_OFFLINE": "0"}
    made = subprocess.run(
        [sys.executable, "-m", "onephoto", *words], cwd=tmp_path, env=os.environ | own, capture_output=True, text=True
    )
    assert made.returncode == 2 and not made.stdout
    assert made.stderr == "onephoto: owner/alice: the hub does not answer; go online, or give a folder\n"


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save("alice.safetensors", person())

    def run(*words: str) -> str:
        result = CliRunner().invoke(app, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    assert "alice.safetensors and its card" in run("push", "alice.safetensors", "./shared")
    Path("alice.safetensors").unlink()
    assert run("pull", "./shared").strip() == "alice.safetensors"
    with pytest.raises(ShareError, match="there already"):
        onephoto.pull("./shared")
