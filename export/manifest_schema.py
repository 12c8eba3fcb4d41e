"""JSON Schema of the manifest, derived from its dataclasses, for tools that are not Python."""

from __future__ import annotations

import dataclasses
import inspect
import json
import types
import typing
from typing import Any

from onboard_vla.core.bundle_manifest import FORMAT_VERSION, PRECISIONS, SCHEMA_FILE, BundleManifest
from onboard_vla.core.errors import BundleError

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCALARS: dict[object, str] = {int: "integer", float: "number", str: "string", bool: "boolean"}
NARROWED: dict[str, dict[str, Any]] = {
    "format_version": {"const": FORMAT_VERSION},
    "core_hash": {"pattern": "^[0-9a-f]{64}$"},
    "weights_sha256": {"pattern": "^[0-9a-f]{64}$"},
    "codebook_hash": {"pattern": "^[0-9a-f]{64}$"},
    "sha256": {"pattern": "^[0-9a-f]{64}$"},
    "precision": {"additionalProperties": {"enum": list(PRECISIONS)}},
}
"""What a field's type does not say."""


def manifest_schema() -> dict[str, Any]:
    """The schema; every table is closed except those that are for people."""
    return {"$schema": DIALECT, "title": "Onboard VLA bundle manifest", **_of_dataclass(BundleManifest)}


def validate(manifest: dict[str, Any]) -> None:
    """Hold a manifest's JSON against the schema file.

    Raises:
        BundleError: names the field that does not fit.
    """
    import jsonschema

    try:
        jsonschema.validate(manifest, json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
    except jsonschema.ValidationError as error:
        raise BundleError(f"manifest.{'.'.join(map(str, error.absolute_path))}: {error.message}") from None


def _of_dataclass(kind: type) -> dict[str, Any]:
    hints, properties = typing.get_type_hints(kind), {}
    for field in dataclasses.fields(kind):
        schema = {} if field.metadata.get("open") else _of(hints[field.name])
        properties[field.name] = {**(schema or {"type": "object"}), **NARROWED.get(field.name, {})}
    return {
        "type": "object",
        "description": " ".join((inspect.getdoc(kind) or "").split()),
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _of(kind: Any) -> dict[str, Any]:  # noqa: ANN401
    if dataclasses.is_dataclass(kind):
        return _of_dataclass(typing.cast(type, kind))
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return {"anyOf": [_of(arguments[0]), {"type": "null"}]}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(arguments[1])}
    if origin is tuple and arguments[-1] is Ellipsis:
        return {"type": "array", "items": _of(arguments[0])}
    if origin is tuple:
        return {"type": "array", "items": _of(arguments[0]), "minItems": len(arguments), "maxItems": len(arguments)}
    return {"type": SCALARS[kind]}
