"""Where households stand: the erasable table beside the log, as a group of commands finds and leaves it.

What a group may look at is read before it decides, and what it changes is written once at its end.
A community with room is found by the cells its members stand in, so no search looks at all of them.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import psycopg

from write_side.arrays import floats, ints, texts, uuids
from write_side.rules.placement import Candidate, CommunityRule

RULE = CommunityRule()

_TABLES = """
create table if not exists log.place (
    household_id uuid primary key, name text, address text,
    latitude double precision, longitude double precision, cell text,
    community_id uuid, area_id uuid not null, production_w bigint not null default 0) with (fillfactor = 80);
create index if not exists place_community on log.place (community_id);
create table if not exists log.community_with_room (
    cell text not null, community_id uuid not null, primary key (cell, community_id));
create index if not exists community_with_room_community on log.community_with_room (community_id);
"""
# A log from before communities were searched by their room.
_LIFT = """
alter table log.place add column production_w bigint not null default 0;
drop index if exists log.place_cell;
with attached as (
    select convert_from(state, 'UTF8')::jsonb -> 'fact' as fact from log.fact where topic = 'DeviceAttached'),
detached as (
    select convert_from(state, 'UTF8')::jsonb -> 'fact' ->> 'device_id' as device_id
    from log.fact where topic = 'DeviceDetached'),
rated as (
    select (fact ->> 'household_id')::uuid as household_id, sum((fact ->> 'rated_power_w')::bigint) as power_w
    from attached where fact ->> 'kind' in ('SOLAR', 'GENERATOR')
      and fact ->> 'device_id' not in (select device_id from detached) group by 1)
update log.place p set production_w = rated.power_w from rated where p.household_id = rated.household_id;
insert into log.community_with_room
    select distinct cell, community_id from log.place where community_id in
      (select community_id from log.place group by community_id having count(*) < {most});
"""


def create_places(connection: psycopg.Connection[Any]) -> None:
    """The tables where they are missing, an older one lifted; the caller lets nobody else do the same."""
    columns = connection.execute(
        """select column_name from information_schema.columns
           where table_schema = 'log' and table_name = 'place'"""
    ).fetchall()
    with connection.transaction():
        if columns and ("production_w",) not in columns:
            connection.execute(_TABLES)
            connection.execute(_LIFT.format(most=RULE.max_households))
        else:
            connection.execute(_TABLES)


@dataclass(kw_only=True)
class Home:
    """Where a household stands (degrees), what it belongs to, and the rated production it has, W."""

    household_id: UUID
    latitude: float
    longitude: float
    cell: str
    community_id: UUID | None
    area_id: UUID
    production_w: int = 0


@dataclass(frozen=True)
class SignedUp:
    """A household came."""

    home: Home
    name: str
    address: str


@dataclass(frozen=True)
class NameChanged:
    """A household is called otherwise."""

    household_id: UUID
    name: str


@dataclass(frozen=True)
class Moved:
    """A household belongs to another community, or to none."""

    household_id: UUID
    community_id: UUID | None


@dataclass(frozen=True)
class ProductionChanged:
    """A household's rated production grew, or shrank, by so many W."""

    household_id: UUID
    by_w: int


PlaceChange = SignedUp | NameChanged | Moved | ProductionChanged


class _Community:
    """The members of a community, with their places in two columns."""

    def __init__(self) -> None:
        self.homes: dict[UUID, Home] = {}
        self.latitudes, self.longitudes = array("d"), array("d")
        self.production_w = 0
        self.had_room_in: frozenset[str] = frozenset()

    def add(self, home: Home) -> None:
        self.homes[home.household_id] = home
        self.latitudes.append(home.latitude)
        self.longitudes.append(home.longitude)
        self.production_w += home.production_w

    def remove(self, household_id: UUID) -> None:
        self.production_w -= self.homes.pop(household_id).production_w
        self.latitudes = array("d", (home.latitude for home in self.homes.values()))
        self.longitudes = array("d", (home.longitude for home in self.homes.values()))

    @property
    def has_room_in(self) -> frozenset[str]:
        """The cells in which newcomers find it; none once it is full or empty."""
        if len(self.homes) >= RULE.max_households:
            return frozenset()
        return frozenset(home.cell for home in self.homes.values())

    def candidate(self, community_id: UUID) -> Candidate[UUID]:
        return Candidate(
            community_id=community_id,
            latitudes=self.latitudes,
            longitudes=self.longitudes,
            production_w=self.production_w,
        )


class Places:
    """The homes and communities that a group of commands may look at, with the group's changes on top."""

    def __init__(self) -> None:
        self._asked: psycopg.Cursor[Any] | None = None
        self._homes: dict[UUID, Home] = {}
        self._communities: dict[UUID, _Community] = {}
        self._in_cell: dict[str, set[UUID]] = {}
        self._new: dict[UUID, SignedUp] = {}
        self._names: dict[UUID, str] = {}
        self._changed: set[UUID] = set()  # households that stood before the group
        self._touched: set[UUID] = set()  # communities whose members are others now

    def ask_ahead(
        self,
        connection: psycopg.Connection[Any],
        cells: Iterable[str],
        household_ids: Iterable[UUID],
        community_ids: Iterable[UUID],
    ) -> None:
        """Asks for communities with room in these cells, those of these households, and these themselves."""
        self._asked = connection.execute(
            """with home as (select * from log.place where household_id = any(%(households)b)),
               wanted as (
                 select community_id from log.community_with_room where cell = any(%(cells)b)
                 union select community_id from home
                 union select unnest(%(communities)b)),
               found as (
                 select m.* from wanted w, lateral (
                   select * from log.place where community_id = w.community_id order by household_id) m
                 union all select * from home where community_id is null)
               select household_id, latitude, longitude, cell, community_id, area_id, production_w
               from found""",
            {"cells": texts(cells), "households": uuids(household_ids), "communities": uuids(community_ids)},
            binary=True,
        )

    def take_up(self) -> None:
        """Takes up what was asked for; nothing may be looked at before."""
        if self._asked is None:
            return
        for household_id, latitude, longitude, cell, community_id, area_id, production_w in self._asked:
            self._add(
                Home(
                    household_id=household_id,
                    latitude=latitude,
                    longitude=longitude,
                    cell=cell,
                    community_id=community_id,
                    area_id=area_id,
                    production_w=production_w,
                )
            )
        self._asked = None
        for community in self._communities.values():
            community.had_room_in = community.has_room_in
        self._touched.clear()

    def home(self, household_id: UUID) -> Home | None:
        """Where a household stands, None where its place is not known any more."""
        return self._homes.get(household_id)

    def near(self, cells: Iterable[str]) -> list[Candidate[UUID]]:
        """The communities with a member in one of the cells, in the order of their ids."""
        found = set[UUID]().union(*(self._in_cell.get(cell, ()) for cell in cells))
        return [self._communities[community_id].candidate(community_id) for community_id in sorted(found)]

    def community(self, community_id: UUID) -> Candidate[UUID] | None:
        """A community and its members, None where it has none."""
        community = self._communities.get(community_id)
        return community.candidate(community_id) if community and community.homes else None

    def area_of(self, community_id: UUID) -> UUID:
        """The network area of a community that has members: they all stand in it."""
        return next(iter(self._communities[community_id].homes.values())).area_id

    def take(self, change: PlaceChange) -> Callable[[], None]:
        """Lets a change count for the commands that follow; answers what takes it back."""
        match change:
            case SignedUp():
                return self._sign_up(change)
            case NameChanged():
                return self._rename(change)
            case Moved():
                home = self._homes.get(change.household_id)
                return self._become(home and replace(home, community_id=change.community_id))
            case ProductionChanged():
                return self._rate(change)

    def _sign_up(self, change: SignedUp) -> Callable[[], None]:
        household_id = change.home.household_id
        self._new[household_id] = change
        self._add(change.home)

        def undo() -> None:
            del self._new[household_id]
            self._remove(household_id)

        return undo

    def _rename(self, change: NameChanged) -> Callable[[], None]:
        household_id, new = change.household_id, self._new.get(change.household_id)
        if new is not None:
            self._new[household_id] = replace(new, name=change.name)
            return lambda: self._new.update({household_id: new})
        before = {household_id: self._names[household_id]} if household_id in self._names else {}
        self._names[household_id] = change.name

        def undo() -> None:
            del self._names[household_id]
            self._names.update(before)

        return undo

    def _rate(self, change: ProductionChanged) -> Callable[[], None]:
        home = self._homes.get(change.household_id)
        if home is not None:
            home.production_w += change.by_w
            if home.community_id is not None:
                self._communities[home.community_id].production_w += change.by_w
            self._changed.add(home.household_id)
        # Taken back, it is the same change the other way round.
        return lambda: self._rate_back(change)

    def _rate_back(self, change: ProductionChanged) -> None:
        self._rate(ProductionChanged(change.household_id, -change.by_w))

    def _become(self, home: Home | None) -> Callable[[], None]:
        if home is None:
            return lambda: None  # nobody knows any more where it stands, so nobody counts it
        before = self._remove(home.household_id)
        self._add(home)
        self._changed.add(home.household_id)

        def undo() -> None:
            self._remove(before.household_id)
            self._add(before)

        return undo

    def _add(self, home: Home) -> None:
        self._homes[home.household_id] = home
        if home.community_id is not None:
            community = self._communities.setdefault(home.community_id, _Community())
            community.add(home)
            self._touched.add(home.community_id)
            self._in_cell.setdefault(home.cell, set()).add(home.community_id)

    def _remove(self, household_id: UUID) -> Home:
        home = self._homes.pop(household_id)
        if home.community_id is not None:
            self._communities[home.community_id].remove(household_id)
            self._touched.add(home.community_id)
        return home

    def write(self, connection: psycopg.Connection[Any]) -> None:
        """Writes what the group has changed; nothing waits for an answer."""
        if self._new:
            self._write_new(connection)
        if self._names:
            connection.execute(
                """update log.place set name = c.name from unnest(%b, %b) c (id, name)
                   where household_id = c.id""",
                (uuids(self._names), texts(self._names.values())),
            )
        changed = [self._homes[known] for known in self._changed & self._homes.keys() - self._new.keys()]
        if changed:
            connection.execute(
                """update log.place p set community_id = c.community_id, production_w = c.production_w
                   from unnest(%b, %b, %b) c (id, community_id, production_w) where household_id = c.id""",
                (
                    uuids(home.household_id for home in changed),
                    uuids(home.community_id for home in changed),
                    ints(home.production_w for home in changed),
                ),
            )
        self._write_room(connection)

    def _write_new(self, connection: psycopg.Connection[Any]) -> None:
        new = self._new.values()
        homes = [self._homes[household_id] for household_id in self._new]
        connection.execute(
            """insert into log.place (household_id, name, address, latitude, longitude, cell,
                                      community_id, area_id, production_w)
               select * from unnest(%b, %b, %b, %b, %b, %b, %b, %b, %b)""",
            (
                uuids(self._new),
                texts(each.name for each in new),
                texts(each.address for each in new),
                floats(home.latitude for home in homes),
                floats(home.longitude for home in homes),
                texts(home.cell for home in homes),
                uuids(home.community_id for home in homes),
                uuids(home.area_id for home in homes),
                ints(home.production_w for home in homes),
            ),
        )

    def _write_room(self, connection: psycopg.Connection[Any]) -> None:
        gone, come = list(self._room_changes(False)), list(self._room_changes(True))
        if gone:
            connection.execute(
                """delete from log.community_with_room r using unnest(%b, %b) g (cell, id)
                   where r.cell = g.cell and r.community_id = g.id""",
                (texts(cell for cell, _ in gone), uuids(community_id for _, community_id in gone)),
            )
        if come:
            connection.execute(
                "insert into log.community_with_room (cell, community_id) select * from unnest(%b, %b)",
                (texts(cell for cell, _ in come), uuids(community_id for _, community_id in come)),
            )

    def _room_changes(self, grown: bool) -> Iterator[tuple[str, UUID]]:
        """Cells in which a community is found, and was not before; or the other way round."""
        for community_id in self._touched:
            community = self._communities[community_id]
            now, before = community.has_room_in, community.had_room_in
            yield from ((cell, community_id) for cell in (now - before if grown else before - now))
