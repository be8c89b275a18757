"""The comparison and the studies as functions: plans of methods, and what learns, draws and judges them."""

import hashlib
import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from PIL import Image

from onephoto.api import Learning, LearnRequest, generate, look, versions
from onephoto.backbone.load import Backbone
from onephoto.evaluate.benchmark import Painter, Tools, run, unlearned
from onephoto.evaluate.measure import Judges, as_thing_seen_by, with_second_opinion
from onephoto.evaluate.people import Sitter, load_sitter, sitter, thing_sitter
from onephoto.evaluate.plan import (
    BASE,
    OURS,
    Plan,
    Variant,
    learning_settings,
    preset_settings,
    with_asked,
    write_whole,
)
from onephoto.evaluate.prompt_sets import OBJECT
from onephoto.evaluate.rows import CLASS_NOTE, Row
from onephoto.evaluate.studies import Study, tokens_kept, with_class_word
from onephoto.evaluate.tuning import variants_to_try
from onephoto.generate.attend import Attended
from onephoto.generate.draw import DrawSettings, as_drawn, batches
from onephoto.generate.refine import Faces
from onephoto.identity.file import IdentityFile
from onephoto.identity.subjects import is_person
from onephoto.methods import get_method
from onephoto.methods.class_prior import PriorRecipe, class_prior, keep_class_latents, take_class_latents
from onephoto.world.prompts import Prompt

CLASS_PICTURES = "class-pictures.safetensors"
THING_LOOKED_AT = Prompt("a photo of {} at the beach")
DLIB = "dlib"
"""What the network of `identity.faces` is called among those that a method may learn with."""


def compare_plan(
    backbone: Backbone, methods: Sequence[str], *, settings: DrawSettings, refining: Faces | None = None,
    judge: str = "", faces: str = "", **fields: Any,
) -> Plan:  # fmt: skip
    """A plan of methods with their settings for this model (evaluate/learning.toml), the base first.

    A method may be named with a preset of it, as in "sefi:fast".

    refining: how small faces are drawn again. judge, faces: what tells the judges from others; a method
    that learns from a face does so with the latter, with dlib's without one. fields: of `evaluate.plan.Plan`.
    """
    learners = tuple(_learner(backbone.model_id, *name.split(":", 1), faces=faces) for name in methods)
    if OBJECT in fields.get("sets", ()):
        fields.setdefault("attention_prompt", THING_LOOKED_AT)
    return Plan(
        variants=(Variant(BASE, BASE), *learners), judge=judge, faces=faces,
        refining=None if refining is None else asdict(refining), **_drawn_by(backbone, settings), **fields,
    )  # fmt: skip


def _learner(model: str, method: str, preset: str = "default", *, faces: str) -> Variant:
    """A method under a preset."""
    name = method if preset == "default" else f"{method}-{preset}"
    learning = preset_settings(model, get_method(method), preset)
    return resolved(Variant(name, method, learning, network=_network(method, faces)))


def _network(method: str, faces: str) -> str:
    return (faces or DLIB) if get_method(method).sees_photos else ""


def study_plan(
    backbone: Backbone, asked: Study, *, settings: DrawSettings, judge: str = "", faces: str = "", **fields: Any
) -> Plan:  # fmt: skip
    """A plan of a study's variants, which differ from ours as the comparison has it; arguments as in `compare_plan`."""
    known = learning_settings(backbone.model_id).get(OURS, {})
    variants = tuple(
        resolved(replace(variant, learning=with_asked(known, variant.learning))) for variant in asked.variants.values()
    )
    return Plan(
        variants=variants, sets=(asked.set,), attention_people=2 * asked.attention, judge=judge, faces=faces,
        study=asked.name, **_drawn_by(backbone, settings), **fields,
    )  # fmt: skip


def _drawn_by(backbone: Backbone, settings: DrawSettings) -> dict[str, Any]:
    """What a plan says of the model, the drawing and the versions."""
    model = {"model": backbone.model_id, "weights": weights_digest(backbone)}
    drawing = asdict(as_drawn(backbone, settings))
    numbers = {"dtype": str(backbone.dtype).removeprefix("torch.")}
    return {**model, "drawing": drawing, "versions": versions() | numbers}


def shown_as(backbone: Backbone, identity: IdentityFile, shown: str) -> IdentityFile:
    """Somebody learned by ours with only some of the tokens (`evaluate.studies.SHOWN`), the class word for the rest."""
    if not shown:
        return identity
    words = {f"tokens.{name}": rows for name, rows in backbone.class_vectors(identity.subject).items()}
    tensors = {
        name: with_class_word(pairs, words[name].cpu(), tokens_kept(shown, len(pairs)))
        for name, pairs in identity.tensors.items()
    }
    return replace(identity, tensors=tensors)


def resolved(variant: Variant) -> Variant:
    """The variant with every setting of its method said."""
    return replace(variant, learning=asdict(replace(get_method(variant.method).settings(), **variant.learning)))


def weights_digest(backbone: Backbone) -> str:
    """Tells one model from another: a digest of what it predicts, its noise, and the first numbers of every tensor."""
    digest = hashlib.sha256(backbone.prediction_type.encode() + backbone.alphas_cumprod.cpu().numpy().tobytes())
    for module in (backbone.unet, backbone.vae, *backbone.text_encoders):
        for tensor in module.state_dict().values():
            digest.update(tensor.flatten()[:64].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def tuning_plan(
    backbone: Backbone, method: str, *, settings: DrawSettings, rates: Sequence[float] = (), judge: str = "",
    faces: str = "", **fields: Any,
) -> Plan:  # fmt: skip
    """A plan of one method about its settings for this model, with rates scaled by `rates`, if any, or by the usual
    grid; other arguments as in `compare_plan`.
    """
    whole = compare_plan(backbone, [method], settings=settings, judge=judge, faces=faces, **fields)
    # Numbers of variants are compared, so all must be of these people and prompts.
    study = f"tuning of {method}: people {whole.people}, {len(whole.items())} prompts"
    return replace(whole, variants=variants_to_try(whole.variants[1], rates), attention_people=0, study=study)


def impossible(variant: Variant, count: int, subject: str) -> str:
    """Why a method cannot draw this many people, or things, of a class word in one picture; "" where it can."""
    if variant.method == BASE:
        return ""
    spec = get_method(variant.method)
    if spec.sees_photos and not is_person(subject):
        return "it learns from a face"
    if count > 1 and spec.change is not None:
        return "each of the two changes the model's weights, and these changes were never learned together"
    return ""


def posed(plan: Plan, folder: Path, judges: Judges) -> Iterator[tuple[int, Sitter]]:
    """The plan's people or things, from the folder where they are there, as these judges see them."""
    for seed in plan.people:
        known = load_sitter(seed, folder / "people")
        if plan.of_things:
            yield seed, as_thing_seen_by(known or thing_sitter(seed), judges.prompt)
        else:
            yield seed, with_second_opinion(known or sitter(seed), judges.faces)


def compare(
    backbone: Backbone, plan: Plan, folder: Path, *, sitters: Mapping[int, Sitter], judges: Judges
) -> Iterator[list[Row]]:
    """The same people, prompts and seeds for every variant of the plan: rows of one person and variant after another.

    What lies in the folder already is not done again.
    """
    settings, paint = DrawSettings(**plan.drawing), _painter(backbone, plan)

    def prepare(variant: Variant, subject: str) -> None:
        class_pictures(backbone, variant, subject, folder)

    def learn_one(one: Sitter, variant: Variant) -> IdentityFile:
        request = LearnRequest(
            name="sitter", subject=plan.subject_of(one.person.seed), method=variant.method, settings=variant.learning,
            seed=plan.seed,
        )  # fmt: skip
        seen = judges.faces.face_vector if judges.faces is not None and variant.network == plan.faces else None
        learning = Learning(backbone, [one.photo], request, network=seen)
        for _ in learning:
            pass
        return learning.identity()

    def look_at(text: str, identities: Sequence[IdentityFile], seed: int) -> Attended:
        return look(backbone, text, identities, seed=seed, settings=settings)

    def edit(identity: IdentityFile, variant: Variant) -> IdentityFile:
        return shown_as(backbone, identity, variant.shown)

    tools = Tools(
        learn=learn_one, paint=paint, judges=judges, prepare=prepare, look=look_at, edit=edit, impossible=impossible
    )
    return run(plan, folder, sitters=sitters, tools=tools)


def _painter(backbone: Backbone, plan: Plan) -> Painter:
    """Draws as the plan says, small pictures together."""
    settings, faces = DrawSettings(**plan.drawing), None if plan.refining is None else Faces(**plan.refining)

    def paint(texts: Sequence[str], identities: Sequence[IdentityFile], seeds: Sequence[int]) -> list[Image.Image]:
        drawn = (
            generate(backbone, texts[part], identities, seeds=seeds[part], settings=settings, faces=faces)
            for part in batches(len(texts), settings.size or backbone.image_size)
        )
        return list(itertools.chain.from_iterable(drawn))

    return paint


def base_pictures(backbone: Backbone, plan: Plan, folder: Path) -> tuple[list[Image.Image], list[str]]:
    """What the base draws of the plan's prompts, from the folder where it is there, and the prompts in its words."""
    return unlearned(plan, folder, _painter(backbone, plan))


def class_pictures(backbone: Backbone, variant: Variant, subject: str, folder: Path) -> None:
    """Draw the class pictures that a method learns beside a person, unless the folder has them, once for everybody.

    The seconds that it took are noted beside them.
    """
    if variant.method == BASE:
        return
    recipe = get_method(variant.method).settings(**variant.learning)
    if isinstance(recipe, PriorRecipe):
        path = folder / CLASS_PICTURES
        take_class_latents(backbone, path)
        started = time.monotonic()
        class_prior(backbone, recipe, subject, seed=0)
        seconds = time.monotonic() - started
        keep_class_latents(backbone, path)
        _add_seconds(folder / CLASS_NOTE, seconds)


def _add_seconds(note: Path, seconds: float) -> None:
    before = json.loads(note.read_text())["seconds"] if note.exists() else 0.0
    write_whole(note, json.dumps({"seconds": before + seconds}))
