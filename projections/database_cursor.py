"""The cursor a projection writes through: inside the transaction that also commits its position."""

from typing import Any

import psycopg

Cursor = psycopg.Cursor[Any]
