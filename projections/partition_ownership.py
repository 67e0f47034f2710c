"""Which partitions a worker owns: shared out among the workers that are there, one writer each.

Locks live on the connection that commits, so a worker that is gone owns nothing. A worker's presence is a
lock too: everybody sees who is there and takes the same share, nobody is told how many there should be.
"""

from projections.binary_copy import Connection
from write_side.settings import PARTITIONS

_PRESENCE = 0x5371_10
PARTITION_LOCK = 0x5371_11


class Ownership:
    """The partitions this connection holds; any error of the database means that it holds none."""

    def __init__(self, connection: Connection, index: int) -> None:
        self._connection = connection
        self._index = index
        self._is_present = False
        self.owned: set[int] = set()

    def balance(self) -> bool:
        """Gives back what is another's share now, takes what is free of its own; whether anything changed.

        Of two workers with one index, the second owns nothing until the first is gone.
        """
        self._is_present = self._is_present or self._try(_PRESENCE, self._index)
        if not self._is_present:
            return False
        mine = self._share()
        surplus, lacking = self.owned - mine, mine - self.owned
        for partition in surplus:
            self._connection.execute("select pg_advisory_unlock(%s, %s)", (PARTITION_LOCK, partition))
        taken = {partition for partition in lacking if self._try(PARTITION_LOCK, partition)}
        self.owned = (self.owned - surplus) | taken
        return bool(surplus or taken)

    def _share(self) -> set[int]:
        indexes = sorted(_held(self._connection, _PRESENCE))
        rank = indexes.index(self._index)
        return {partition for partition in range(PARTITIONS) if partition % len(indexes) == rank}

    def _try(self, kind: int, key: int) -> bool:
        row = self._connection.execute("select pg_try_advisory_lock(%s, %s)", (kind, key)).fetchone()
        return row == (True,)


def owned_partitions(connection: Connection) -> set[int]:
    """The partitions that some worker owns now."""
    return _held(connection, PARTITION_LOCK)


def _held(connection: Connection, kind: int) -> set[int]:
    rows = connection.execute(
        """select distinct objid::int from pg_locks
           where locktype = 'advisory' and classid = %s and objsubid = 2 and granted
             and database = (select oid from pg_database where datname = current_database())""",
        (kind,),
    )
    return {row[0] for row in rows}
