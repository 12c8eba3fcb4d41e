"""Where and in what conditions the vehicle drives, as its integrator knows it from map, clock, rain sensor or operator.

Road classes, light and weather are coarse classes of ISO 34503 (taxonomy of operational design domains).
"""

from __future__ import annotations

from dataclasses import dataclass

MOTORWAY, RURAL, URBAN, RESIDENTIAL, PRIVATE = "motorway", "rural", "urban", "residential", "private"
ROAD_CLASSES = (MOTORWAY, RURAL, URBAN, RESIDENTIAL, PRIVATE)
DAY, TWILIGHT, NIGHT_LIT, NIGHT_UNLIT = "day", "twilight", "night_lit", "night_unlit"
LIGHTS = (DAY, TWILIGHT, NIGHT_LIT, NIGHT_UNLIT)
DRY, WET, RAIN, HEAVY_RAIN, SNOW, FOG = "dry", "wet", "rain", "heavy_rain", "snow", "fog"
WEATHERS = (DRY, WET, RAIN, HEAVY_RAIN, SNOW, FOG)
UNKNOWN = ""
"""What nobody knows at the moment: it is outside of whatever was declared."""


@dataclass(frozen=True)
class OperatingConditions:
    """The present conditions; each word is of the tuples above, or UNKNOWN. `area`: name of the mapped area.

    To be repeated about once a second, also when nothing changes: silence counts as not knowing.
    """

    stamp_ns: int
    road_class: str
    light: str
    weather: str
    area: str
