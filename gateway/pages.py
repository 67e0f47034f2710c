"""Pages of a list, cut by cursors that name the last entry seen."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import strawberry

from gateway.described import told
from gateway.faults import Fault
from gateway.permission import inside

T = TypeVar("T")
R = TypeVar("R")

LARGEST_PAGE = 100


@inside
class PageInfo:
    """Where a page lies in its list."""

    has_next_page: bool = strawberry.field(description="Whether entries follow this page.")
    has_previous_page: bool = strawberry.field(description="Whether this page was asked for behind a cursor.")
    start_cursor: str | None = strawberry.field(description="The first entry's cursor, null for none.")
    end_cursor: str | None = strawberry.field(
        description="The last entry's cursor: `after` for the next page."
    )


@inside
class Edge(Generic[T]):
    """An entry of a page."""

    cursor: str = strawberry.field(description="Names this entry; opaque.")
    node: T = strawberry.field(description="The entry itself.")


@inside
class Connection(Generic[T]):
    """A page of a list."""

    edges: list[Edge[T]] = strawberry.field(description="The entries with their cursors.")
    page_info: PageInfo = strawberry.field(description="Where the page lies.")
    total_count: int = strawberry.field(description="How many entries the whole list has.")

    @told
    def nodes(self) -> list[T]:
        """The entries without their cursors."""
        return [edge.node for edge in self.edges]


def checked_first(first: int) -> int:
    """The size of a page; BAD_USER_INPUT outside 1 to 100."""
    if not 1 <= first <= LARGEST_PAGE:
        raise Fault("BAD_USER_INPUT", f"first: 1 to {LARGEST_PAGE}")
    return first


def cursor(*key: object) -> str:
    """The opaque form of a key of numbers and strings."""
    return base64.urlsafe_b64encode(json.dumps(key, default=str).encode()).decode()


def key_of(cursor: str | None, *parts: Callable[[Any], Any]) -> tuple[Any, ...] | None:
    """The key in a cursor, part by part; BAD_USER_INPUT for what no page of this list ever held."""
    if cursor is None:
        return None
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor))
        return tuple(part(value) for part, value in zip(parts, values, strict=True))
    except (ValueError, TypeError, AttributeError, binascii.Error):
        raise Fault("BAD_USER_INPUT", "after: this is not a cursor of this list") from None


def edges(
    rows: Sequence[R], first: int, node: Callable[[R], T], key: Callable[[R], str], *, behind: object
) -> tuple[list[Edge[T]], PageInfo]:
    """The edges of a page and its place, from up to first + 1 rows; `behind` is the cursor asked for."""
    made = [Edge(cursor=key(row), node=node(row)) for row in rows[:first]]
    place = PageInfo(
        has_next_page=len(rows) > first,
        has_previous_page=behind is not None,
        start_cursor=made[0].cursor if made else None,
        end_cursor=made[-1].cursor if made else None,
    )
    return made, place
