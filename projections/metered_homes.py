"""Who is measured, in memory: the households, devices and memberships of the partitions a worker owns.

Rows are loaded from the tables when a partition is taken and follow the facts from there. Households and
devices are row numbers here ("index"), and fact positions ("number") in tables; a community is its number.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from projections.binary_copy import MISSING, Connection, Ints
from projections.growing_columns import Columns, Grouped
from write_side.events import DeviceKind
from write_side.settings import PARTITIONS

if TYPE_CHECKING:
    from projections.open_slots import OpenSlots

KINDS = tuple(DeviceKind)
KIND_CODE = {kind.value: code for code, kind in enumerate(KINDS)}
NEVER = 2**31 - 1
NO_COMMUNITY = MISSING
_MICRO = 1_000_000


@lru_cache(maxsize=65536)
def partition_of(area: str) -> int:
    """The partition of a network area: NATS's own `partition(16, 1)`, FNV-1a of the subject's token."""
    fnv = 0x811C9DC5
    for byte in area.encode():
        fnv = (fnv ^ byte) * 0x01000193 & 0xFFFFFFFF
    return fnv % PARTITIONS


class Homes:
    """Households, their devices and their memberships; arrays by index, lookups by the text of an id."""

    def __init__(self) -> None:
        self.household_index: dict[str, int] = {}
        self.device_index: dict[str, int] = {}
        self.household_ids: list[str] = []
        self.partitions: list[int] = []
        self.areas: list[str] = []
        self.device_ids: list[str] = []
        self.community_ids: dict[int, UUID] = {}
        self.community_numbers: dict[UUID, int] = {}
        self.households = Columns(
            "number",
            "partition",
            "newest",
            "id_high",
            "id_low",
            "latitude",
            "longitude",
            "battery",
            "membership",
        )
        self.devices = Columns("number", "household", "kind", "since", "until", "efficiency", "capacity")
        self.memberships = Columns("household", "community", "since", "until", "previous")
        self.open_slots: OpenSlots | None = None
        self._grouped: dict[str, Grouped] = {}

    def add_household(
        self, number: int, household_id: UUID, area: str, latitude_deg: float, longitude_deg: float
    ) -> int:
        """A household of network area `area`; nothing of it is measured yet."""
        partition, text = partition_of(area), str(household_id)
        high, low = (household_id.int >> 64) - 2**63, (household_id.int & 2**64 - 1) - 2**63
        latitude, longitude = round(latitude_deg * _MICRO), round(longitude_deg * _MICRO)
        index = self.households.append(number, partition, MISSING, high, low, latitude, longitude, 0, MISSING)
        self.household_index[text] = index
        self.household_ids.append(text)
        self.partitions.append(partition)
        self.areas.append(area)
        self._grouped.clear()
        return index

    def add_device(
        self, number: int, device_id: str, household: int, kind: str, since: int, until: int,
        efficiency_permille: int, capacity_wh: int,
    ) -> int:  # fmt: skip
        """A device of household index `household`, measured in the slots since <= slot < until."""
        code = KIND_CODE[kind]
        index = self.devices.append(number, household, code, since, until, efficiency_permille, capacity_wh)
        self.device_index[device_id] = index
        self.device_ids.append(device_id)
        if code == KIND_CODE["BATTERY"]:
            self.households["battery"][household] = 1
        self._grouped.clear()
        return index

    def add_community(self, number: int, community_id: UUID) -> None:
        """A community that households of these partitions may join."""
        self.community_ids[number] = community_id
        self.community_numbers[community_id] = number

    def join(self, household: int, community: int, since: int, until: int = NEVER) -> None:
        """A household index is in community number `community` from slot `since` on."""
        self.leave(household, since)
        latest = self.households["membership"]
        previous = int(latest[household])
        latest[household] = self.memberships.append(household, community, since, until, previous)
        self._grouped.clear()

    def leave(self, household: int, until: int) -> None:
        """What membership is open ends where slot `until` begins."""
        for entry in self._entries(household):
            ends = self.memberships["until"]
            ends[entry] = min(ends[entry], until)

    def intervals(self, household: int) -> list[tuple[int, int, int]]:
        """A household index's memberships, (since, until, community), without those that never held."""
        since, until, community = (self.memberships[name] for name in ("since", "until", "community"))
        rows = [(int(since[n]), int(until[n]), int(community[n])) for n in self._entries(household)]
        return sorted(row for row in rows if row[0] < row[1])

    def _entries(self, household: int) -> Iterator[int]:
        entry = int(self.households["membership"][household])
        while entry != MISSING:
            yield entry
            entry = int(self.memberships["previous"][entry])

    def communities_at(self, households: Ints, slots: Ints) -> Ints:
        """The community of each household in each slot, NO_COMMUNITY where it was in none."""
        found = np.full(len(households), NO_COMMUNITY, dtype=np.int64)
        places, entries = self._of_household("memberships").expand(households)
        slot = slots[places]
        held = (self.memberships["since"][entries] <= slot) & (slot < self.memberships["until"][entries])
        found[places[held]] = self.memberships["community"][entries[held]]
        return found

    def members(self, communities: Ints, slots: Ints) -> tuple[Ints, Ints]:
        """Who was in these communities in these slots: (places, households)."""
        if "communities" not in self._grouped:
            known, owners = np.unique(self.memberships["community"], return_inverse=True)
            self._known_communities = known
            self._grouped["communities"] = Grouped(owners, len(known))
        known = self._known_communities
        if not len(known):
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        owner = np.minimum(np.searchsorted(known, communities), len(known) - 1)
        places = np.flatnonzero(known[owner] == communities)
        found, entries = self._grouped["communities"].expand(owner[places])
        places = places[found]
        slot = slots[places]
        held = (self.memberships["since"][entries] <= slot) & (slot < self.memberships["until"][entries])
        return places[held], self.memberships["household"][entries[held]]

    def attached(self, households: Ints, slots: Ints) -> tuple[Ints, Ints]:
        """The devices that are measured in these households' slots: (places, device indexes)."""
        places, entries = self._of_household("devices").expand(households)
        slot = slots[places]
        held = (self.devices["since"][entries] <= slot) & (slot < self.devices["until"][entries])
        return places[held], entries[held]

    def place_deg(self, households: Ints) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Latitude and longitude of households, degrees."""
        return (
            self.households["latitude"][households] / _MICRO,
            self.households["longitude"][households] / _MICRO,
        )

    def _of_household(self, name: str) -> Grouped:
        if name not in self._grouped:
            owners: Columns = getattr(self, name)
            self._grouped[name] = Grouped(owners["household"], self.households.count)
        return self._grouped[name]


def load(connection: Connection, homes: Homes, partitions: Iterable[int]) -> None:
    """Adds what the tables know of these partitions, which `homes` must not hold yet."""
    wanted = list(partitions)
    by_number = _load_households(connection, homes, wanted)
    _load_devices(connection, homes, wanted, by_number)
    _load_memberships(connection, homes, wanted, by_number)


def _load_households(connection: Connection, homes: Homes, wanted: list[int]) -> dict[int, int]:
    rows = connection.execute(
        """select household, household_id, area_id::text, latitude_deg, longitude_deg,
             coalesce(newest, %s)
           from meter_household
             left join (select partition, max(slot) as newest from grid_energy group by 1) g using (partition)
           where partition = any(%s) order by household""",
        (MISSING, wanted),
    )
    by_number: dict[int, int] = {}
    for number, household_id, area, latitude_deg, longitude_deg, newest in rows:
        by_number[number] = homes.add_household(number, household_id, area, latitude_deg, longitude_deg)
        homes.households["newest"][by_number[number]] = newest
    return by_number


def _load_devices(connection: Connection, homes: Homes, wanted: list[int], by_number: dict[int, int]) -> None:
    rows: Any = connection.execute(
        """select device, device_id::text, household, kind, since_slot, coalesce(until_slot, %s),
             efficiency_permille, capacity_wh
           from meter_device join meter_household using (household)
           where partition = any(%s) order by device""",
        (NEVER, wanted),
    )
    for number, device_id, household, *rest in rows:
        homes.add_device(number, device_id, by_number[household], *rest)


def _load_memberships(
    connection: Connection, homes: Homes, wanted: list[int], by_number: dict[int, int]
) -> None:
    communities = connection.execute(
        "select community, community_id from meter_community where partition = any(%s)", (wanted,)
    )
    for number, community_id in communities:
        homes.add_community(number, community_id)
    rows = connection.execute(
        """select m.household, community, from_slot, coalesce(until_slot, %s)
           from meter_membership m join meter_household using (household)
           where partition = any(%s) order by from_slot""",
        (NEVER, wanted),
    )
    for household, community, since, until in rows:
        homes.join(by_number[household], community, since, until)
