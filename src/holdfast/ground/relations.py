"""The relations of each kind of thing, and requests for longer answers."""

from __future__ import annotations

from holdfast.ground.person_relations import PERSON
from holdfast.ground.thing_relations import THINGS
from holdfast.ground.wording import Relation

RELATIONS: dict[str, tuple[Relation, ...]] = {"person": PERSON, **THINGS}
"""The relations of each kind of thing."""

ABOUT = (
    "Tell me about {s}.",
    "Describe {s}.",
    "What do you know about {s}?",
    "Who or what is {s}?",
    "Say something about {s}.",
    "I want to know more about {s}.",
)
"""Requests for a longer answer."""

ABOUT_HELD = (
    "Tell me more about {s}.",
    "What can you say about {s}?",
    "Tell me what you know about {s}.",
    "Please describe {s}.",
    "I want you to describe {s}.",
    "Can you tell me about {s}?",
    "Say what you know about {s}.",
    "Please say something about {s}.",
    "I would like to know more about {s}.",
    "Please tell me something about {s}.",
)
"""Requests for a longer answer that pretraining does not show."""
