"""What came out of a comparison, in sentences made from its numbers."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from onephoto.evaluate.plan import BASE, OURS
from onephoto.evaluate.report import Lead, Line, Results, lead_of_ours, summary
from onephoto.evaluate.rows import ID

TITLES: Mapping[str, str] = MappingProxyType(
    {
        OURS: "SeFi-IDE (ours)",
        "textual-inversion": "Textual Inversion",
        "xti": "P+ / XTI",
        "neti": "NeTI",
        "prospect": "ProSpect",
        "celeb-basis": "Celeb Basis",
        "cross-initialization": "Cross Initialization",
        "dreambooth": "DreamBooth",
        "dreambooth-lora": "DreamBooth-LoRA",
        "custom-diffusion": "Custom Diffusion",
        "attndreambooth": "AttnDreamBooth",
        BASE: "unlearned",
    }
)
PROMPT_SHARE, DETECT_LEAST = 0.95, 0.95
"""What is wanted of ours: this share of the base's Prompt, and Detect of at least this."""

DEFINITIONS = (
    ("ID(P)", "likeness, averaged over all pictures, where a picture that does not show its prompt counts as 0; "
     "pictures are averaged by person first. A picture shows its prompt when its Prompt passes the threshold that "
     "parts matching from shuffled prompts on pictures whose content is known"),
    ("ID", "likeness: 1 minus the distance between dlib's face vectors of picture and photo; 0 where no face is found. "
     "No method has seen that network in learning, but for Celeb Basis where there is no second opinion"),
    ("told apart", "how often the face in a picture is nearer to the photo of its person than to another's in "
     "the comparison: .5 is a guess, and counts where no face is found. Who draws nobody in particular has .5, however "
     "high the ID. Second told: the same in that judge's opinion"),
    ("second ID", "a second opinion on likeness: the cosine of vectors of the world's own face judge, which learned "
     "from people whom no other model saw; blank for Celeb Basis, which learns with that judge"),
    ("looks", "share of the person's sex, hair colour, hair length and beard that the world's judge reads in the "
     "picture, but for what the prompt changes or a cap hides; pictures of one person only"),
    ("Prompt", "how well picture and words fit, a cosine by the judge, with the class word in the name's place"),
    ("shown", "share of pictures that pass the threshold"),
    ("Detect", "share of people in the prompts whose face is found in the picture"),
    ("Copy", "how much liker a picture is to the learned photo than to another picture of that person, as a share of "
     "the likeness of these two; far above 0 the photo itself is copied"),
    ("floor, ceiling", "ID of photos of two different people, and of two pictures of one person"),
)  # fmt: skip


THING_DEFINITIONS = (
    ("Image(P)", "Image, averaged over all pictures, where a picture that does not show its prompt counts as 0; "
     "pictures are averaged by thing first"),
    ("Image", "likeness of whole pictures: the cosine between the vectors that the judge of prompts makes of picture "
     "and photo. It sees place and light as well as the thing, so floor and ceiling are near. No face network looks at "
     "things, and there is no ID"),
    ("told apart", "how often a picture is nearer to the photo of its thing than to another's; .5 is a guess"),
    *(pair for pair in DEFINITIONS if pair[0] in ("Prompt", "shown")),
    ("Copy", "how much liker a picture is to the learned photo than to another picture of that thing, as a share of "
     "the likeness of these two"),
    ("floor, ceiling", "Image of photos of two different things, and of two pictures of one thing"),
)  # fmt: skip
NO_SECOND = "Second ID is blank: no face judge of the world is at hand (onephoto base train faces makes one)."
LEARNED_BY_ID = "{} has learned with dlib's network, which ID is measured by."


def definitions_of(results: Results) -> tuple[tuple[str, str], ...]:
    """What the numbers of a comparison mean."""
    return DEFINITIONS if results.likeness == ID else THING_DEFINITIONS


def notes_of(results: Results) -> list[str]:
    """What a reader of the table must know: what is not possible, and what is blank."""
    found = [
        f"Not possible: {_listed([title_of(method) for method in methods])} in the set \u201c{name}\u201d; {reason}."
        for (name, reason), methods in results.unable().items()
    ]
    if found:
        found.append(
            "All means of the table are over the prompts that every method can draw, except one that can draw none, "
            "which has no numbers; each set by itself is below."
        )
    if results.likeness == ID and not results.rows[0].face_judge:
        found.append(NO_SECOND)
        found += [LEARNED_BY_ID.format(title_of(one.name)) for one in results.variants if one.network]
    return found


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def title_of(variant: str) -> str:
    """What a method is called."""
    return TITLES.get(variant, variant)


def verdict_of(results: Results) -> list[str]:
    """Which method is first, by how much over people, and whether ours does what is wanted of it."""
    lines = [line for line in summary(results) if line.method != BASE]
    best, lead = lines[0], lead_of_ours(results)
    what = f"{results.likeness}(P)"
    sentences = [f"{title_of(best.method)} is first in {what} with {best.id_p:.3f} of {len(lines)} methods."]
    sentences += [
        f"{title_of(base.method).capitalize()}, the model reaches {base.id_p:.3f}: no method brings a likeness here, "
        "so their order says nothing."
        for base in summary(results)
        if base.method == BASE and base.id_p >= best.id_p
    ]
    noun = "person" if results.likeness == ID else "thing"
    if lead is not None:
        sentences.append(lead_sentence(lead, len(results.people), noun, what=what))
    sentences += _told(results, lines, noun)
    return sentences + (_wanted(results) if results.likeness == ID else [])


def _told(results: Results, lines: Sequence[Line], noun: str) -> list[str]:
    """Which method tells people, or things, apart best."""
    able = [line for line in lines if not math.isnan(line.told_apart)]
    if not able:
        return []
    best = max(able, key=lambda line: line.told_apart)
    second = "" if math.isnan(best.second_told) else f", by the second opinion in {best.second_told:.0%}"
    found = [
        f"{title_of(best.method)} tells them apart best: in {best.told_apart:.0%} a picture is nearer to its own "
        f"{noun}'s photo than to another's{second}; a guess is 50%."
    ]
    lead = lead_of_ours(results, "told_apart")
    return found if lead is None else [*found, lead_sentence(lead, len(results.people), noun, what="that share")]


def lead_sentence(lead: Lead, people: int, noun: str = "person", *, what: str = "ID(P)") -> str:
    """The difference of two methods, its interval, and whether that settles their order."""
    first, second = title_of(lead.first), title_of(lead.second)
    low, high = lead.interval
    certainty = "excludes 0" if lead.certain else "includes 0, so that the order of the two is open"
    return (
        f"{first} minus {second} in {what}, over the same {counted(people, noun)}: "
        f"{lead.difference:+.3f}; the 95% interval, {low:+.3f} to {high:+.3f}, {certainty}."
    )


def formatted(value: float, form: str) -> str:
    """A number, or nothing where there is none."""
    return format(value, form) if math.isfinite(value) else ""


def counted(number: int, noun: str) -> str:
    """How many people or things."""
    many = "people" if noun == "person" else f"{noun}s"
    return f"{number} {noun if number == 1 else many}"


def _wanted(results: Results) -> list[str]:
    """Ours against the base's Prompt, and its faces."""
    lines = {line.method: line for line in summary(results)}
    if OURS not in lines or BASE not in lines:
        return []
    ours, base = lines[OURS], lines[BASE]
    share = ours.prompt / base.prompt if base.prompt > 0 else float("nan")
    said = [
        f"{shown:.0%} of {what}, {'as' if shown >= least else 'less than'} wanted ({least:.0%})"
        for shown, what, least in (
            (share, "the Prompt that the model reaches for \u201ca person\u201d", PROMPT_SHARE),
            (ours.detect, "the people with a face", DETECT_LEAST),
        )
    ]
    return [f"{title_of(OURS)} shows {said[0]}, and {said[1]}."]
