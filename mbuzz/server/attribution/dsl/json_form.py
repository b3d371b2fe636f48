"""Programs as JSON, both ways."""

from mbuzz.server.attribution.dsl.json_reader import from_json
from mbuzz.server.attribution.dsl.json_writer import to_json

__all__ = ["from_json", "to_json"]
