"""What several tests say and ask for."""

from __future__ import annotations

from pydantic import BaseModel

# What the pretended providers answer to a text; it has quotes, CJK, an emoji and control characters.
SAID = "You said “{}”. Hello from the mock \"provider\": 你好，世界 🚀 – naïve\n\tend."
CITY = "東京 (Tōkyō)"

# A PNG of one white pixel.
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4////fwAJ+wP9KobjigAAAABJRU5ErkJggg=="
)

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
CLOCK = {
    "type": "object",
    "properties": {"zone": {"type": "string", "enum": ["Asia/Tokyo", "UTC"]}},
    "required": ["zone"],
    "additionalProperties": False,
}


class City(BaseModel):
    """A structured answer."""

    city: str
    people: int
