"""Which of the two media types of GraphQL a client prefers."""

from starlette.requests import HTTPConnection

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
_OFFERED = (JSON, GRAPHQL_RESPONSE)


def negotiated(request: HTTPConnection) -> str:
    """The preferred one by q-value, the earlier named of equals; JSON where the client names neither."""
    accepted = [_preference(part) for part in request.headers.get("accept", "").split(",")]
    best, best_quality = JSON, 0.0
    for name, quality in accepted:
        if name in _OFFERED and quality > best_quality:
            best, best_quality = name, quality
    return best


def _preference(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return name, float(parameter[2:])
            except ValueError:
                return name, 0.0
    return name, 1.0
