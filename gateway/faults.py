"""Errors as clients get them: a code and a clear line, or, for what nobody foresaw, a number to ask about."""

import logging
from collections.abc import Sequence

import nats.errors
import psycopg
from graphql import GraphQLError, GraphQLSyntaxError
from strawberry.exceptions import MissingQueryError, StrawberryInputCoercionError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError

from write_side.app import NotReady

log = logging.getLogger(__name__)

_NOT_READY = (
    NotReady,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.UndefinedTable,  # before the workers' first start
    nats.errors.Error,
    ConnectionError,
    TimeoutError,
)
_IN_THE_REQUEST = (
    StrawberryInputCoercionError,
    CannotGetOperationTypeError,
    InvalidOperationTypeError,
    MissingQueryError,
)
HTTP_STATUS = {"UNAUTHENTICATED": 401, "TOO_LARGE": 413, "NOT_READY": 503}


class Fault(Exception):
    """An error that is told to the client as it is, with one of the codes of the interface."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def not_ready(what: str) -> Fault:
    """Something the answer needs does not answer; the same request may do a moment later."""
    return Fault("NOT_READY", f"{what}: try again in a moment")


def tell(errors: list[GraphQLError], correlation: str) -> None:
    """Gives each error its code, in place; hides and logs what nobody foresaw."""
    errors[:] = [_told(error, correlation) for error in errors]


def status_of(errors: Sequence[GraphQLError], data: dict[str, object] | None) -> int | None:
    """The HTTP status that says it all where one kind of error is all there is to say, else None."""
    codes = {(error.extensions or {}).get("code") for error in errors}
    if len(codes) != 1 or any(value is not None for value in (data or {}).values()):
        return None
    return HTTP_STATUS.get(str(codes.pop()))


def _told(error: GraphQLError, correlation: str) -> GraphQLError:
    if error.extensions and "code" in error.extensions:
        return error
    cause = error.original_error
    if isinstance(cause, Fault):
        return _with(error, cause.code)
    if isinstance(cause, _NOT_READY):
        log.warning("not ready for %s: %r", correlation, cause)
        return _with(error, "NOT_READY", "part of the grid does not answer: try again in a moment")
    if isinstance(cause, RecursionError):
        return _with(error, "TOO_COMPLEX", "the query is nested too deeply")
    if _is_clients(error):
        return _with(error, _code_of_input(error))
    log.error("fault %s", correlation, exc_info=cause or error)
    masked = _with(error, "INTERNAL", "something went wrong here; it is logged under the correlation id")
    masked.extensions = {**(masked.extensions or {}), "correlationId": correlation}
    return masked


def _is_clients(error: GraphQLError) -> bool:
    """What fails before any resolver runs was in the request; so is an argument that cannot be read."""
    cause = error.original_error
    if isinstance(cause, _IN_THE_REQUEST):
        return True
    unread = isinstance(cause, ValueError | TypeError) and error.nodes
    return error.path is None and (cause is None or isinstance(cause, GraphQLError) or bool(unread))


def _code_of_input(error: GraphQLError) -> str:
    too_long = isinstance(error, GraphQLSyntaxError) and "Parsing aborted" in error.message
    return "TOO_COMPLEX" if too_long else "BAD_USER_INPUT"


def _with(error: GraphQLError, code: str, message: str | None = None) -> GraphQLError:
    return GraphQLError(
        message or error.message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions={"code": code},
    )
