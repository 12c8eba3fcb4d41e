"""What a Fast DDS profile must say so that six cameras' pictures arrive and peers find each other in time."""

from __future__ import annotations

import xml.etree.ElementTree as ET

NAMES = {"dds": "http://www.eprosima.com"}
LEAST_SEGMENT_BYTES = 16 * 1024 * 1024
"""Room for six JPEG pictures of 170 KB at once, with a margin; raw pictures of 4.3 MB need 64 MiB."""
LEAST_MESSAGE_BYTES = 5 * 1024 * 1024
"""One raw picture of 1600x900."""
LEAST_ANNOUNCEMENTS = 10
"""Initial announcements; with the default of 5 discovery was seen to take 3 s in about half of all starts."""


def profile_faults(text: str) -> list[str]:
    """Why a profile loses pictures or finds its peers late; empty for one that does not."""
    try:
        root = ET.fromstring(text)  # noqa: S314 - a file that the user chose for his own processes
    except ET.ParseError as error:
        return [f"no XML ({error})"]
    default = [p for p in root.iterfind(".//dds:participant", NAMES) if p.get("is_default_profile") == "true"]
    if not default:
        return ["no participant with is_default_profile"]
    used = {element.text for element in default[0].iterfind(".//dds:userTransports/dds:transport_id", NAMES)}
    shared = [
        transport
        for transport in root.iterfind(".//dds:transport_descriptor", NAMES)
        if transport.findtext("dds:type", namespaces=NAMES) == "SHM"
        and transport.findtext("dds:transport_id", namespaces=NAMES) in used
    ]
    faults = []
    if not shared:
        faults.append("no shared-memory transport of its own")
    for name, least in (("segment_size", LEAST_SEGMENT_BYTES), ("maxMessageSize", LEAST_MESSAGE_BYTES)):
        if shared and _number(shared[0].findtext(f"dds:{name}", namespaces=NAMES)) < least:
            faults.append(f"{name} below {least} bytes")
    count = default[0].findtext(".//dds:initialAnnouncements/dds:count", namespaces=NAMES)
    if _number(count) < LEAST_ANNOUNCEMENTS:
        faults.append(f"fewer than {LEAST_ANNOUNCEMENTS} initial announcements")
    return faults


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.strip().isdigit() else 0
