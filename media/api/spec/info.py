"""What both documents begin with."""

from importlib.metadata import version

from media.api.spec.schemas import Schema

SECURITY_SCHEMES: Schema = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "`Authorization: Bearer TOKEN`. Without tokens in its configuration Sidecall asks for none.",
    },
    "query": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": "The same token as a query parameter, for clients that cannot set headers.",
    },
}
SECURITY: list[Schema] = [{"bearer": []}, {"query": []}]


def info(part: str) -> Schema:
    """The Info Object."""
    return {
        "title": f"Sidecall {part}",
        "version": version("sidecall"),
        "description": "Real telephone calls for AI bots. docs/api.md tells all of it in words.",
        "license": {"name": "MIT", "identifier": "MIT"} if part == "REST" else {"name": "MIT"},
    }
