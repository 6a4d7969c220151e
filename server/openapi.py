"""The OpenAPI document as rows for a page that loads nothing from elsewhere. Knows the document's grammar only."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def operations(document: Schema) -> list[dict[str, Any]]:
    """Every operation with its parameters and the fields of its JSON body, in the document's order."""
    return [
        {
            "method": method.upper(),
            "path": path,
            "summary": operation.get("summary", ""),
            "description": operation.get("description", ""),
            "parameters": [_parameter(document, parameter) for parameter in operation.get("parameters", [])],
            "body": _body(document, operation),
        }
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def _parameter(document: Schema, parameter: Schema) -> dict[str, Any]:
    return _row(document, parameter["name"], parameter["schema"], parameter.get("required", False)) | {
        "description": parameter.get("description", "")
    }


def _body(document: Schema, operation: Schema) -> list[dict[str, Any]]:
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    schema = _resolve(document, schema)
    required = schema.get("required", [])
    return [_row(document, name, field, name in required) for name, field in schema.get("properties", {}).items()]


def _row(document: Schema, name: str, schema: Schema, required: bool) -> dict[str, Any]:
    return {
        "name": name,
        "type": _type(document, schema),
        "required": required,
        "description": schema.get("description", ""),
    }


def _resolve(document: Schema, schema: Schema) -> Schema:
    if "$ref" not in schema:
        return schema
    found: Schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    return found


def _type(document: Schema, schema: Schema) -> str:
    """The type in a few words, with its bounds: "integer, 1 to 100"."""
    schema = _resolve(document, schema)
    if "anyOf" in schema:
        return " or ".join(_type(document, option) for option in schema["anyOf"] if option.get("type") != "null")
    if "enum" in schema:
        return " or ".join(str(value) for value in schema["enum"])
    low, high = schema.get("minimum"), schema.get("maximum")
    # pydantic writes the bounds of whole numbers as 1.0
    bounds = f", {int(low)} to {int(high)}" if low is not None and high is not None else ""
    return f"{schema.get('type', 'any')}{bounds}"
