"""Identities to and from the Hugging Face hub, or a folder, which works the same way offline."""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from onephoto.backbone.prompts import is_name
from onephoto.errors import IdentityFileError, OnephotoError, PhotoError, ShareError
from onephoto.identity.card import HUB_ID, model_card, short
from onephoto.identity.file import IdentityFile, load, save
from onephoto.identity.photo import open_upright

CARD, PHOTO = "README.md", "photo.jpg"
OURS = "library_name: onephoto"
"""What a card begins with, and others' pages do not."""
HUB_OWN = (".gitattributes",)


def push(
    identity: IdentityFile | Path | str, target: str, *, with_photo: Path | str | None = None, public: bool = False
) -> str:
    """Put an identity and its model card into a hub repository, "owner/name", or a folder; gives where it is.

    A folder is what exists as one, or has no form of a hub id ("./people/alice" is one). The person's photo stays out,
    also the thumbnail in the file, unless with_photo names it; then it goes without its EXIF data. A new repository is
    private unless public. Raises ShareError for a place with other things in it, and for what the hub refuses.
    """
    identity = _nameable(identity if isinstance(identity, IdentityFile) else load(identity))
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        _write(folder, published(identity, thumbnail=with_photo is not None), target, with_photo)
        if on_hub(target):
            return _to_hub(folder, target, identity.name, public=public)
        return _to_folder(folder, Path(target).expanduser(), identity.name)


def pull(source: str, out: Path | str | None = None) -> Path:
    """Fetch an identity that `push` put there, into NAME.safetensors or out; gives the file.

    Raises ShareError where there is none or several, where the hub refuses, or when the file is there already;
    IdentityFileError when it is no identity.
    """
    path = _from_hub(source) if on_hub(source) else _from_folder(Path(source).expanduser())
    identity = _nameable(load(path))
    target = Path(out or f"{identity.name}.safetensors")
    if target.exists():
        raise ShareError(f"{target}: there already, so left as it is; choose another place with --out")
    save(target, identity)
    return target


def _nameable(identity: IdentityFile) -> IdentityFile:
    """The identity, whose name is to be a file's: a word of a prompt is one, and no path."""
    if not is_name(identity.name):
        raise IdentityFileError(f"{identity.name!r} is not a name that a prompt can hold; learn the person anew")
    return identity


def on_hub(place: str) -> bool:
    """Whether a place is a hub id: "owner/name", and no folder here."""
    return HUB_ID.fullmatch(place) is not None and not Path(place).is_dir()


def published(identity: IdentityFile, *, thumbnail: bool) -> IdentityFile:
    """The identity without what tells of its owner's disk and, unless asked, without the photo's small copy."""
    metadata: dict[str, Any] = dict(identity.metadata)
    if not thumbnail:
        metadata.pop("thumbnail", None)
    for part in ("base", "settings"):
        values = metadata.get(part) or {}
        metadata[part] = {key: short(value) if isinstance(value, str) else value for key, value in values.items()}
    return replace(identity, metadata=metadata)


def _write(folder: Path, identity: IdentityFile, target: str, photo: Path | str | None) -> None:
    """All that is shared, into an empty folder."""
    where = target if on_hub(target) else "FOLDER"
    save(folder / f"{identity.name}.safetensors", identity)
    (folder / CARD).write_text(model_card(identity, where, photo=photo is not None), encoding="utf-8")
    if photo is not None:
        try:
            open_upright(Path(photo)).save(folder / PHOTO, quality=92)
        except OSError as error:
            raise PhotoError(f"{photo}: cannot be written as JPEG; save it as JPEG or PNG again") from error


def _refuse_others(names: Iterable[str], name: str, place: str) -> None:
    """Raises ShareError where there is anything but what an earlier push of this person left."""
    own = {CARD, PHOTO, f"{name}.safetensors", *HUB_OWN}
    others = sorted(found for found in names if found not in own)
    if others:
        raise ShareError(f"{place}: holds {others[0]}, which is no part of <{name}>; choose an empty place")


def _to_folder(folder: Path, target: Path, name: str) -> str:
    try:
        target.mkdir(parents=True, exist_ok=True)
        _refuse_others((path.name for path in target.iterdir()), name, str(target))
        card = target / CARD
        if card.exists() and OURS not in card.read_text(encoding="utf-8", errors="replace"):
            raise ShareError(f"{card}: a page of somebody else's; choose an empty place")
        (target / PHOTO).unlink(missing_ok=True)
        for path in folder.iterdir():
            shutil.copyfile(path, target / path.name)
    except OSError as error:
        raise ShareError(f"{target}: cannot be written ({error.strerror}); choose another folder") from error
    return str(target)


def _to_hub(folder: Path, repo: str, name: str, *, public: bool) -> str:
    from huggingface_hub import HfApi

    hub = HfApi()
    with _plain_refusals(repo):
        url = hub.create_repo(repo, private=not public, exist_ok=True)
        if not public and not hub.model_info(repo).private:
            raise ShareError(f"{repo}: is there already and public; pass --public to put <{name}> there")
        _refuse_others(_files(hub, repo), name, repo)
        hub.upload_folder(
            repo_id=repo, folder_path=str(folder), commit_message=f"Add {name}", delete_patterns=[PHOTO]
        )  # fmt: skip
    return str(url)


def _from_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise ShareError(f"{folder}: no such folder; give one that onephoto push made, or a hub id like owner/name")
    return folder / _only_identity((path.name for path in folder.iterdir()), str(folder))


def _from_hub(repo: str) -> Path:
    from huggingface_hub import HfApi, hf_hub_download

    with _plain_refusals(repo):
        return Path(hf_hub_download(repo, _only_identity(_files(HfApi(), repo), repo)))


def _files(hub: Any, repo: str) -> list[str]:
    """Names in a repository, by the call that fails at once where no hub answers; others try for half a minute."""
    return [file.rfilename for file in hub.model_info(repo).siblings]


def _only_identity(names: Iterable[str], place: str) -> str:
    found = sorted(name for name in names if name.endswith(".safetensors"))
    if len(found) != 1:
        raise ShareError(f"{place}: holds {len(found)} .safetensors files where one identity is meant; choose another")
    return found[0]


@contextmanager
def _plain_refusals(repo: str) -> Iterator[None]:
    """What the hub answers in one line. Its client's errors depend on the HTTP library, which changes by release."""
    from huggingface_hub.utils import logging

    before = logging.get_verbosity()
    # A line for each try would bury ours.
    logging.set_verbosity_error()
    try:
        yield
    except OnephotoError:
        raise
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if status in (401, 403) or {"LocalTokenNotFoundError", "GatedRepoError"} & kinds:
            raise ShareError(
                f"{repo}: the hub knows nobody here who may do that; hf auth login with a token that may"
            ) from error
        if status == 404 or "RepositoryNotFoundError" in kinds:
            raise ShareError(f"{repo}: not on the hub, or private; check the name, or hf auth login") from error
        if isinstance(error, ConnectionError) or "connect" in f"{type(error).__name__} {error}".lower():
            raise ShareError(f"{repo}: the hub does not answer; go online, or give a folder") from error
        first = next(iter(str(error).splitlines()), type(error).__name__)[:160]
        raise ShareError(f"{repo}: the hub refuses ({first})") from error
    finally:
        logging.set_verbosity(before)
