"""What came out of a comparison, in sentences made from its numbers."""

from collections.abc import Mapping
from types import MappingProxyType

from onephoto.evaluate.plan import BASE, OURS
from onephoto.evaluate.report import Lead, Results, lead_of_ours, summary

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
     "No method but Celeb Basis has seen that network in learning"),
    ("Prompt", "how well picture and words fit, a cosine by the judge, with the class word in the name's place"),
    ("shown", "share of pictures that pass the threshold"),
    ("Detect", "share of people in the prompts whose face is found in the picture"),
    ("Copy", "how much liker a picture is to the learned photo than to another picture of that person, as a share of "
     "the likeness of these two; far above 0 the photo itself is copied"),
    ("floor, ceiling", "ID of photos of two different people, and of two pictures of one person"),
)  # fmt: skip


def title_of(variant: str) -> str:
    """What a method is called."""
    return TITLES.get(variant, variant)


def verdict_of(results: Results) -> list[str]:
    """Which method is first, by how much over people, and whether ours does what is wanted of it."""
    lines = [line for line in summary(results) if line.method != BASE]
    best, lead = lines[0], lead_of_ours(results)
    sentences = [f"{title_of(best.method)} is first in ID(P) with {best.id_p:.3f} of {len(lines)} methods."]
    if lead is not None:
        sentences.append(lead_sentence(lead, len(results.people)))
    return sentences + _wanted(results)


def lead_sentence(lead: Lead, people: int) -> str:
    """The difference of two methods, its interval, and whether that settles their order."""
    first, second = title_of(lead.first), title_of(lead.second)
    low, high = lead.interval
    certainty = "excludes 0" if lead.certain else "includes 0, so that the order of the two is open"
    return (
        f"{first} minus {second}, over the same {people} {'person' if people == 1 else 'people'}: "
        f"{lead.difference:+.3f}; the 95% interval, {low:+.3f} to {high:+.3f}, {certainty}."
    )


def _wanted(results: Results) -> list[str]:
    """Ours against the base's Prompt, and its faces."""
    lines = {line.method: line for line in summary(results)}
    if OURS not in lines or BASE not in lines:
        return []
    ours, base = lines[OURS], lines[BASE]
    share = ours.prompt / base.prompt if base.prompt > 0 else float("nan")
    reached = "as wanted" if share >= PROMPT_SHARE and ours.detect >= DETECT_LEAST else "less than wanted"
    return [
        f"{title_of(OURS)} keeps {share:.0%} of the Prompt that the model reaches for \u201ca person\u201d and shows a "
        f"face for {ours.detect:.0%} of the people: {reached} ({PROMPT_SHARE:.0%} and {DETECT_LEAST:.0%})."
    ]
