"""Tool calls: a request that one of two given functions answers, and the call with its arguments."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from holdfast.general.making import between, pick, question
from holdfast.probes.items import Item

CITIES = ("Berlin", "Cairo", "Dublin", "Lima", "Madrid", "Oslo", "Paris", "Rome", "Sydney", "Tokyo")
PEOPLE = ("Anna", "Ben", "Carla", "David", "Emma", "Frank", "Grace", "Henry", "Isabel", "Jack")
TEXTS = ("dinner is ready", "call me back", "happy birthday", "the meeting is over", "see you soon")
EACH = 10
"""Requests for each function."""


@dataclasses.dataclass(frozen=True)
class Tool:
    """A function that a model may call.

    Attributes:
        name: Its name.
        about: What it does.
        parameters: The type of each parameter.
        request: What a user says, with the parameters in braces.
        values: What each parameter may be: options, or the least and the greatest number.
    """

    name: str
    about: str
    parameters: dict[str, str]
    request: str
    values: dict[str, tuple[Any, ...]]

    def schema(self) -> dict[str, Any]:
        """Returns its JSON schema, as chat templates take it."""
        properties = {name: {"type": kind, "description": f"The {name}."} for name, kind in self.parameters.items()}
        parameters = {"type": "object", "properties": properties, "required": list(properties)}
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.about, "parameters": parameters},
        }

    def arguments(self, key: str) -> dict[str, Any]:
        """Returns arguments that follow from a key."""
        entries: dict[str, Any] = {}
        for name, kind in self.parameters.items():
            values = self.values[name]
            whole = kind == "integer"
            entries[name] = between(f"{key} {name}", *values) if whole else pick(f"{key} {name}", values)
        return entries


TOOLS = (
    Tool("get_weather", "Returns the weather of a city.", {"city": "string"},
         "What is the weather like in {city}?", {"city": CITIES}),
    Tool("set_timer", "Starts a timer.", {"minutes": "integer"},
         "Set a timer for {minutes} minutes.", {"minutes": (2, 59)}),
    Tool("send_message", "Sends a text message to a person.", {"person": "string", "text": "string"},
         'Send {person} the message "{text}".', {"person": PEOPLE, "text": TEXTS}),
    Tool("book_table", "Books a table at a restaurant.", {"guests": "integer", "hour": "integer"},
         "Book a table for {guests} guests at {hour} o'clock.", {"guests": (2, 12), "hour": (13, 22)}),
    Tool("convert_money", "Converts dollars to another currency.", {"dollars": "integer", "currency": "string"},
         "How much are {dollars} dollars in {currency}?", {"dollars": (5, 900), "currency": ("euros", "yen", "pesos")}),
    Tool("play_music", "Plays music of a genre.", {"genre": "string"},
         "Play some {genre}.", {"genre": ("jazz", "rock", "folk", "opera", "blues", "techno", "soul", "disco")}),
    Tool("find_train", "Finds trains between two cities.", {"start": "string", "goal": "string"},
         "Find a train that goes from {start} to {goal}.", {"start": CITIES[:5], "goal": CITIES[5:]}),
    Tool("turn_on_light", "Turns on the light in a room.", {"room": "string"},
         "Turn on the light in the {room}.",
         {"room": ("kitchen", "bathroom", "bedroom", "hall", "garage", "cellar", "attic", "study")}),
    Tool("add_event", "Adds an event to the calendar.", {"title": "string", "day": "string"},
         "Add a {title} to my calendar on {day}.",
         {"title": ("meeting", "haircut", "party", "concert"), "day": ("Monday", "Tuesday", "Friday", "Sunday")}),
    Tool("multiply", "Multiplies two numbers.", {"a": "integer", "b": "integer"},
         "Multiply {a} by {b}.", {"a": (11, 99), "b": (11, 99)}),
)  # fmt: skip
"""The functions."""

EXAMPLES = (
    "Functions: search_web(query), get_time(city)\nRequest: What time is it in Boston?\n"
    'Call: {"name": "get_time", "arguments": {"city": "Boston"}}\n\n'
    "Functions: open_file(path), add(x, y)\nRequest: Add 5 and 12.\n"
    'Call: {"name": "add", "arguments": {"x": 5, "y": 12}}\n\n'
)
"""What a model without a template reads before each request."""


def items() -> list[Item]:
    """Returns the items; those with the same function share a group with no other."""
    entries = []
    for place, tool in enumerate(TOOLS):
        seen = list[dict[str, Any]]()
        for attempt in range(20 * EACH):
            arguments = tool.arguments(f"tool {tool.name} {attempt}")
            if arguments in seen or len(seen) == EACH:
                continue
            seen.append(arguments)
            entries.append(_item(tool, TOOLS[(place + len(seen)) % len(TOOLS)], arguments, len(seen)))
    return entries


def _item(tool: Tool, other: Tool, arguments: dict[str, Any], number: int) -> Item:
    """Returns the request for a function, with another function beside it if the two differ."""
    offered = [tool] if other is tool else [tool, other][:: 1 if number % 2 else -1]
    request = tool.request.format(**arguments)
    signatures = ", ".join(f"{one.name}({', '.join(one.parameters)})" for one in offered)
    call = {"name": tool.name, "arguments": arguments}
    return question(
        "tools",
        f"{tool.name} {number}",
        f"tool {tool.name} {number}",
        request,
        f"{EXAMPLES}Functions: {signatures}\nRequest: {request}\nCall:",
        json.dumps(call),
        {"call": call},
        max_tokens=56,
        tools=[one.schema() for one in offered],
    )
