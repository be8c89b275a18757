"""Class words: which of them mean people."""

PEOPLE = frozenset({"person", "man", "woman", "boy", "girl", "child", "baby", "face", "human"})


def is_person(subject: str) -> bool:
    """Whether a class word means people, who have a face."""
    return subject.lower().split()[-1] in PEOPLE
