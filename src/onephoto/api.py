"""What the commands do, as functions: they check, compose the rooms of the house, and return results."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

import onephoto
from onephoto.backbone.attention import learning_attention
from onephoto.backbone.load import Backbone, load_backbone, wrap_pipeline
from onephoto.backbone.method import MethodSpec, WeightChange
from onephoto.backbone.places import Region
from onephoto.backbone.prompts import is_name, names_in
from onephoto.backbone.use import People
from onephoto.backbone.use import use as hooked
from onephoto.backbone.weights import shifted
from onephoto.core.tokens import TokenTable
from onephoto.errors import SettingError
from onephoto.generate.attend import Attended, attend
from onephoto.generate.draw import DrawSettings
from onephoto.generate.redraw import redrawings
from onephoto.generate.refine import Faces, draw_refined, refined
from onephoto.identity.file import IdentityFile, check_compatible, fingerprint_of, load
from onephoto.identity.photo import read_photo
from onephoto.identity.thumbnail import thumbnail_of
from onephoto.learn import checkpoint, log
from onephoto.learn.data import batch_drawer, encode_photos
from onephoto.learn.early_stop import EarlyStop
from onephoto.learn.fit import LOSS_SCALES, State, StepReport, fit
from onephoto.learn.strange import strangeness
from onephoto.methods import get_method
from onephoto.methods.embedding import EmbeddingMethod
from onephoto.methods.held_out import HeldOut
from onephoto.methods.recipe import class_prompt, learning_prompt


@dataclass(frozen=True, kw_only=True)
class LearnRequest:
    """One person to be learned: a name, what kind of thing it is, by which method; settings not given are the method's.

    size is the side in pixels that photos are learned at, by default the model's own. thumbnail keeps a small copy of
    the first photo in the file.
    """

    name: str
    subject: str = "person"
    method: str = "sefi"
    settings: Mapping[str, Any] | None = None
    seed: int = 0
    consent: str = ""
    size: int | None = None
    thumbnail: bool = False

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise SettingError(
                f"{self.name!r} cannot be a name; begin with a letter a-z, then letters, digits, - and _"
            )
        if self.size is not None and (self.size < 8 or self.size % 8):
            raise SettingError(f"size is {self.size}; it must be a multiple of 8")


class Learning:
    """A run of learning that is iterated step by step; stop at any report, save a checkpoint, make the identity.

    checkpoint_path: where `save` writes; a checkpoint that is there already is taken up when resume is asked for.
    network: what sees the face for a method that learns from it, the method's own unless given. settings: what the run
    learns with, `Recipe.strange` put into effect where all photos are redrawn.
    """

    def __init__(
        self, backbone: Backbone, photos: Sequence[Image.Image], request: LearnRequest, *,
        checkpoint_path: Path | None = None, resume: bool = False,
        network: Callable[[Image.Image], Any] | None = None,
    ) -> None:  # fmt: skip
        spec = get_method(request.method)
        self.backbone, self.request, self.path = backbone, request, checkpoint_path
        self.settings = settings_of(spec, request.settings or {})
        self.thumbnail = {"thumbnail": thumbnail_of(photos[0])} if request.thumbnail else {}
        facts = {"request": asdict(request) | {"settings": asdict(self.settings)}, "model": backbone.model_id}
        # As a checkpoint gives them back: JSON makes lists of tuples, and a list never equals a tuple.
        self.facts = json.loads(json.dumps(facts))
        self.start = self._resumed() if resume else None
        self.report: StepReport | None = None
        self.generator = torch.Generator().manual_seed(request.seed)
        strange = self._strange(photos)
        self.strange_photos = sum(strange)
        if all(strange):
            self.settings = self.settings.for_strange()
        seen: dict[str, Any] = {"photos": photos, "network": network} if spec.sees_photos else {}
        self.method = spec.build(backbone, subject=request.subject, settings=self.settings, seed=request.seed, **seen)
        familiar = self._familiar(photos, strange)
        latents = encode_photos(
            backbone, familiar, generator=self.generator, size=request.size, flip=self.settings.flip
        )
        weights = self.method.focus(latents)
        self.draw_batch = batch_drawer(
            latents, batch_size=self.settings.batch_size, num_stages=getattr(self.settings, "num_stages", 5),
            num_timesteps=backbone.num_timesteps, weights=weights,
        )  # fmt: skip
        self.early_stop = self._early_stop(latents, weights)

    def _strange(self, photos: Sequence[Image.Image]) -> list[bool]:
        """Which photos are to be redrawn."""
        asked, above = self.settings.redraws > 0, self.settings.strange_above
        return [
            asked and (not above or strangeness(self.backbone, photo, self._class_prompt()) > above) for photo in photos
        ]

    def _familiar(self, photos: Sequence[Image.Image], strange: Sequence[bool]) -> list[Image.Image]:
        """The photos, each strange one replaced by its redrawings."""
        if not any(strange):
            return list(photos)
        kept, count = [], self.settings.redraws
        for number, (photo, redraw) in enumerate(zip(photos, strange, strict=True)):
            seed = self.request.seed + number * count
            # A photo that stays counts as much as one that is redrawn.
            kept += (
                redrawings(self.backbone, photo, self._class_prompt(), count=count, seed=seed)
                if redraw
                else [photo] * count
            )
        return kept

    def _class_prompt(self) -> str:
        return class_prompt(learning_prompt(self.settings, self.request.subject), self.request.subject)

    def _early_stop(self, latents: Tensor, weights: Tensor | None) -> EarlyStop | None:
        settings = self.settings
        if not getattr(settings, "early_stop", 0) or not isinstance(self.method, EmbeddingMethod):
            return None
        loss = HeldOut(self.method, latents, weights, num_stages=settings.num_stages)
        found = EarlyStop(loss, settings.early_stop, settings.look_every, settings.least_gain)
        if self.start is not None:
            found.resume(self.start.early_stop)
        return found

    def _resumed(self) -> State | None:
        if self.path is None or not self.path.exists():
            return None
        state, facts = checkpoint.load(self.path)
        if facts != self.facts:
            raise SettingError(
                f"{self.path}: the checkpoint is of another run; delete it, or repeat that run's options"
            )
        return state

    @property
    def steps(self) -> int:
        """Updates in all."""
        return self.settings.steps

    @property
    def loss_scale(self) -> float:
        """What the loss is multiplied by on the way back, at the start."""
        return LOSS_SCALES.get(self.backbone.dtype, 1.0)

    @property
    def over(self) -> bool:
        """Whether it no longer gets better, and is to end before all updates are done."""
        return self.early_stop is not None and self.early_stop.over

    def seen(self, report: StepReport) -> StepReport:
        """Keep the report of a step just done, with the held-out loss in it where it was time to look."""
        looked = self.early_stop.look(report.step) if self.early_stop else {}
        self.report = replace(report, losses=report.losses | looked)
        return self.report

    def __iter__(self) -> Iterator[StepReport]:
        steps = self.start.step if self.start is not None and self.over else self.steps
        reports = fit(
            self.method, self.draw_batch, steps=steps, learning_rate=self.settings.learning_rate,
            generator=self.generator, weight_decay=self.settings.weight_decay, warmup=self.settings.warmup,
            decay=self.settings.decay, start=self.start, within=partial(learning_attention, self.backbone),
            loss_scale=self.loss_scale,
        )  # fmt: skip
        for report in reports:
            yield self.seen(report)
            if self.over:
                return

    def save(self) -> None:
        """Write a checkpoint of the last report."""
        if self.path is not None and self.report is not None:
            seen = self.early_stop.state() if self.early_stop else {}
            checkpoint.save(self.path, replace(self.report.state(), early_stop=seen), self.facts)

    def identity(self) -> IdentityFile:
        """The person as learned so far."""
        request, done = self.request, self.report or self.start
        step = done.step if done else self.steps
        metadata = {
            "base": {"model_id": self.backbone.model_id, "fingerprint": fingerprint(self.backbone)},
            "stages": self.method.table().num_stages,
            "lambda": getattr(self.settings, "attention_weight", 0.0),
            "settings": asdict(self.settings),
            "steps": step,
            "seed": request.seed,
            "versions": versions(),
            "losses": self.report.losses if self.report else {},
            "strange_photos": self.strange_photos,
            "consent": request.consent,
            **self.thumbnail,
        }
        return IdentityFile(request.name.lower(), request.subject, self.method.name, self.method.tensors(), metadata)


def settings_of(spec: MethodSpec, wanted: Mapping[str, Any]) -> Any:
    """The method's settings with those wanted; raises SettingError for one that it does not have."""
    known = [field.name for field in fields(spec.settings)]
    for name in wanted:
        if name not in known:
            raise SettingError(f"{spec.name} has no setting {name}; it has {', '.join(known)}")
    return replace(spec.settings(), **wanted)


def backbone_of(model: Any) -> Backbone:
    """A model as users have it: a Backbone, a diffusers pipeline, or what `load_backbone` takes ("mini", a path...)."""
    if isinstance(model, str | Path):
        return load_backbone(model)
    return model if isinstance(model, Backbone) else wrap_pipeline(model)


def identity_of(identity: IdentityFile | str | Path) -> IdentityFile:
    """An identity, or the file that holds it."""
    return identity if isinstance(identity, IdentityFile) else load(Path(identity))


def learn(
    model: Any, photos: Sequence[Image.Image | str | Path], request: LearnRequest | str, *, log_path: Path | None = None
) -> IdentityFile:
    """Learn one person, without a break, from one photo or several.

    model: see `backbone_of`. photos: squares as they are, or files, which are cropped around the face. request: all
    that can be chosen, or just the person's name; settings are the method's own for every model, where the command
    takes those chosen for it (`evaluate.plan.learning_settings`).
    """
    backbone = backbone_of(model)
    request = LearnRequest(name=request) if isinstance(request, str) else request
    size = request.size or backbone.image_size
    squares = [
        photo if isinstance(photo, Image.Image) else read_photo(photo, size=size, subject=request.subject).image
        for photo in photos
    ]
    learning = Learning(backbone, squares, request)
    for report in learning:
        if log_path is not None:
            log.append(log_path, {"step": report.step, **report.losses})
    return learning.identity()


def fingerprint(backbone: Backbone) -> dict[str, Any]:
    """What an identity file remembers of its base model."""
    return fingerprint_of(backbone.fingerprint_rows(), backbone.attention_shapes())


def tables_of(
    backbone: Backbone, identities: Sequence[IdentityFile], strengths: Mapping[str, float] | None = None
) -> tuple[dict[str, TokenTable], dict[str, str]]:
    """Tables and class words by name, each checked against the model and blended to its strength (1 unless given).

    Raises IdentityFileError for a file of another model, SettingError for two of one name or a strength of nobody.
    """
    strengths = {name.lower(): strength for name, strength in (strengths or {}).items()}
    tables: dict[str, TokenTable] = {}
    classes: dict[str, str] = {}
    for identity in identities:
        if identity.name in tables:
            raise SettingError(f"two identities are named {identity.name}; rename one with onephoto learn --name")
        check_compatible(identity, fingerprint(backbone), backbone.model_id)
        table = get_method(identity.method).table(identity.tensors, identity.metadata)
        strength = strengths.pop(identity.name, 1.0)
        tables[identity.name] = table.blended(backbone.class_vectors(identity.subject), strength)
        classes[identity.name] = identity.subject
    if strengths:
        raise SettingError(f"--strength names {', '.join(strengths)}; loaded: {', '.join(tables) or 'nobody'}")
    return tables, classes


def weight_change(
    identities: Sequence[IdentityFile], strengths: Mapping[str, float] | None = None
) -> tuple[dict[str, Tensor], float]:
    """What the U-Net's parameters gain, by name, for the one among these people whose method changes weights, and the
    strength (1 unless given) to scale it with.

    Raises SettingError for two such people: their weights were never learned together.
    """
    changing = changing_weights(identities)
    if len(changing) > 1:
        names = " and ".join(f"<{identity.name}>" for identity, _ in changing)
        raise SettingError(f"{names} each change the model's weights; draw them apart, or learn all but one with sefi")
    for identity, change in changing:
        given = {name.lower(): strength for name, strength in (strengths or {}).items()}
        return change(identity.tensors, identity.metadata), given.get(identity.name, 1.0)
    return {}, 1.0


def changing_weights(identities: Sequence[IdentityFile]) -> list[tuple[IdentityFile, WeightChange]]:
    """Those among these people whose method changes the model's weights, and what reads the change."""
    changes = [(identity, get_method(identity.method).change) for identity in identities]
    return [(identity, change) for identity, change in changes if change is not None]


@contextmanager
def _people(
    backbone: Backbone, texts: Sequence[str], identities: Sequence[IdentityFile | str | Path],
    strengths: Mapping[str, float] | None = None,
) -> Iterator[tuple[dict[str, TokenTable], dict[str, str]]]:  # fmt: skip
    """Tables and class words of these people; within, the backbone has the weights of whom the texts name."""
    people = [identity_of(identity) for identity in identities]
    tables, classes = tables_of(backbone, people, strengths)
    said = names_in(" ".join(texts))
    named = [identity for identity in people if identity.name in said]
    with shifted(backbone.unet, *weight_change(named, strengths)):
        yield tables, classes


def generate(
    model: Any, text: str | Sequence[str], identities: Sequence[IdentityFile | str | Path], *,
    seeds: Sequence[int] = (0,), settings: DrawSettings | None = None, strengths: Mapping[str, float] | None = None,
    regions: Mapping[str, Region] | None = None, faces: Faces | None = None,
) -> list[Image.Image]:  # fmt: skip
    """One picture for each seed, with the people that the text names as "<name>"; model: see `backbone_of`.

    text: the prompt of all pictures, or one for each seed: they are drawn together, and a batch takes less time.
    regions: {name: (left, top, right, bottom)} in shares of the picture or pixels, or masks, white where the person may
    be: pictures, their files, or (H, W) numbers. faces: how small ones are redrawn.
    """
    backbone, settings = backbone_of(model), settings or DrawSettings()
    texts = [text] if isinstance(text, str) else text
    with _people(backbone, texts, identities, strengths) as (tables, classes):
        return draw_refined(
            backbone, text, tables, classes=classes, seeds=seeds, settings=settings, regions=regions, faces=faces
        )


def look(
    model: Any, text: str, identities: Sequence[IdentityFile | str | Path], *, seed: int = 0,
    settings: DrawSettings | None = None, faces: Faces | None = None,
) -> Attended:  # fmt: skip
    """One picture and a map of every word of its prompt; model: see `backbone_of`.

    faces: how small ones are redrawn, after the maps have been taken.
    """
    backbone, settings = backbone_of(model), settings or DrawSettings()
    with _people(backbone, [text], identities) as (tables, classes):
        seen = attend(backbone, text, tables, classes=classes, seed=seed, settings=settings)
        if faces is None:
            return seen
        (image,) = refined(
            backbone, [seen.image], [text], tables, classes=classes, seeds=[seed], settings=settings, faces=faces
        )
        return replace(seen, image=image)


@contextmanager
def use(
    pipe: Any, /, *, strengths: Mapping[str, float] | None = None, **identities: IdentityFile | str | Path
) -> Iterator[People]:
    """Learned people in a user's own diffusers pipeline, each an identity or its file, under the name given here.

    Within `with use(pipe, alice="alice.safetensors") as people`, `pipe(**people.prompt("<alice> in a park"))` draws
    them; the pipeline's modules stay in place, and hooks and changed weights go when the block ends. One of them at
    most may have been learned by a method that changes weights; within, these change every picture.
    """
    named = [replace(identity_of(identity), name=name.lower()) for name, identity in identities.items()]
    backbone = wrap_pipeline(pipe)
    tables, classes = tables_of(backbone, named, strengths)
    with shifted(backbone.unet, *weight_change(named, strengths)), hooked(backbone, tables, classes) as people:
        yield people


def versions() -> dict[str, str]:
    """Versions of what pictures depend on; ours also where it runs from a checkout that was not installed."""
    others = {name: version(name) for name in ("torch", "diffusers", "transformers")}
    return {"onephoto": onephoto.__version__, **others}
