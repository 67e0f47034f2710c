"""What is read without graphql-core's ceremony is what graphql-core would have answered, error for error."""

import asyncio
import gc
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from graphql import ExecutionResult, GraphQLObjectType, get_named_type, is_leaf_type, parse, validate
from graphql.execution import execute_root_selection_set
from graphql.language import DocumentNode, OperationType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext as Executor

from gateway.access import Principal
from gateway.context import Context, Operation, begin_operation
from gateway.execution import PlainFieldsFirst
from gateway.schema import schema
from projections.expected_readings import Span
from projections.read_clock import ClockRow
from projections.read_devices import DeviceRow
from projections.read_energy import TERMS, DeviceSum, Sums
from projections.read_households import HouseholdRow
from projections.visibility import Scope
from write_side.rules.timeslots import slot_of

# Beside a field that failed graphql-core cancels what has not begun, and Python warns of each coroutine.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")

OWN, FOREIGN = UUID(int=1), UUID(int=2)
NOW = datetime(2026, 1, 7, tzinfo=UTC)
CORE = schema._schema
CLOCK = ClockRow(
    now=NOW, simulated=True, first_slot=slot_of(NOW) - 48, target=None, last_closed=slot_of(NOW) - 2
)
HOUSEHOLD = HouseholdRow(
    household_id=OWN,
    number=5,
    area_id=UUID(int=7),
    community_id=None,
    name='"Chez nous" \\ 1',
    subscribed_power_w=6000,
    registered_at=NOW - timedelta(days=1, microseconds=1),
)
# Under each, some of what is asked of it; the names are aliased, skipped and spread at random.
TYPES = (
    "Query",
    "Household",
    "HouseholdEnergy",
    "EnergyNode",
    "EnergyColumns",
    "DeviceShare",
    "Device",
    "Topics",
)
ARGUMENTS = {"household": "", "energy": "(last: 6)"}
HELD = {"Query": ["household"], "Household": ["name", "uuid", "area", "registeredAt", "topics", "energy"]}


@pytest.fixture(autouse=True)
def _what_was_cancelled_is_collected_here() -> Iterator[None]:
    # Collected in any other frame, or in a later test, the warning would be an error.
    gc.disable()
    yield
    gc.collect()
    gc.enable()


class Reads:
    """Answers as `gateway.reads.Reads`, with gaps; `broken` makes some of it what no type allows."""

    def __init__(self, broken: str | None) -> None:
        self._broken = broken

    async def clock(self) -> ClockRow:
        return CLOCK

    async def household(self, scope: Scope, household_id: UUID) -> Any:
        name: Any = 7 if self._broken == "name" else HOUSEHOLD.name
        assert scope.household_id == household_id
        return replace(HOUSEHOLD, name=name), CLOCK

    async def energy(self, _number: int, edges: Any) -> Any:
        buckets = len(edges) - 1
        columns: dict[str, Any] = {
            name: [None if (place + at) % 5 == 0 else 10 * place + at for at in range(buckets)]
            for place, name in enumerate((*TERMS, "untracked_wh"))
        }
        if self._broken == "wh":
            columns["consumption_wh"][1] = ValueError("no figure")
        return Sums(edges=edges, columns=columns, counted=[1] * buckets), [Span(edges[0] - 1)]

    async def breakdown(self, _scope: Scope, _household_id: UUID, edges: Any) -> Any:
        owner = FOREIGN if self._broken == "owner" else OWN
        return [(_device(number, owner), _used(number, len(edges) - 1)) for number in range(3)]


def _device(number: int, owner: UUID) -> DeviceRow:
    return DeviceRow(
        device_id=UUID(int=100 + number),
        number=number,
        household_id=owner,
        kind="APPLIANCE",
        name=f"device {number}",
        since=NOW - timedelta(days=2),
        until=None if number else NOW,
        flexibility="ESSENTIAL",
        rated_power_w=2**31 if number == 2 else 100,
        capacity_wh=2**40,
        reserve_wh=0,
        efficiency_permille=955,
        tilt_deg=None,
        azimuth_deg=180,
        switched_on=bool(number),
    )


def _used(number: int, buckets: int) -> DeviceSum:
    return DeviceSum(
        device_id=UUID(int=100 + number), energy_wh=10 * number, columns=[None, *[number] * (buckets - 1)]
    )


def _selections(type_name: str, depth: int) -> st.SearchStrategy[str]:
    """Selections of a type: names again, aliases, directives by constant and variable, fragments."""
    graphql_type = CORE.type_map[type_name]
    assert isinstance(graphql_type, GraphQLObjectType)
    fields = [_field(graphql_type, name, depth) for name in HELD.get(type_name, graphql_type.fields)]
    entry = st.one_of([field for field in fields if field is not None] + [st.just("__typename")])
    marked = st.tuples(entry, st.sampled_from(DIRECTIVES)).map(lambda pair: _marked(*pair))
    within = st.lists(marked, min_size=1, max_size=5).map(" ".join)
    spread = within.map(lambda text: f"... on {type_name} {{ {text} }}")
    return st.lists(st.one_of(marked, marked, spread), min_size=1, max_size=6).map(" ".join)


DIRECTIVES = ["", "", "", "@include(if: $yes)", "@include(if: false)", "@skip(if: $yes)", "@skip(if: false)"]


def _marked(field: str, directive: str) -> str:
    head, brace, rest = field.partition(" {")
    return f"{head} {directive}{brace}{rest}"


def _field(parent: GraphQLObjectType, name: str, depth: int) -> st.SearchStrategy[str] | None:
    field = parent.fields[name]
    named = get_named_type(field.type)
    call = f"{name}{ARGUMENTS.get(name, '')}"
    aliased = st.sampled_from(["", "", f"a_{name}: ", f"b_{name}: "])
    if is_leaf_type(named):
        return None if field.args else aliased.map(lambda alias: f"{alias}{call}")
    if depth == 0 or named.name not in TYPES:
        return None
    inner = _selections(named.name, depth - 1)
    return st.tuples(aliased, inner).map(lambda pair: f"{pair[0]}{call} {{ {pair[1]} }}")


def _executed(
    executor_class: type[Executor], text: str, broken: str | None, shared: dict[Any, Any] | None = None
) -> Any:
    async def execute() -> ExecutionResult:
        asker = Principal(role="household", subject="x", expires_at=time.time() + 60, household_id=OWN)
        parts: Any = SimpleNamespace(reads=Reads(broken), database=None)
        connection: Any = SimpleNamespace(headers={})
        begin_operation(Operation("test"))
        executor = executor_class.build(
            CORE,
            _document(text),
            context_value=Context(parts, connection, asker),
            raw_variable_values={"yes": True},
        )
        assert not isinstance(executor, list), executor
        assert executor.operation.operation is OperationType.QUERY
        if isinstance(executor, PlainFieldsFirst):
            executor.shared = shared
        result = execute_root_selection_set(executor)
        told = await result if executor.is_awaitable(result) else result
        while given_up := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(given_up, timeout=10)  # settled behind the answer, as deep as it is nested
        return cast(ExecutionResult, told)

    result = asyncio.run(execute())
    errors = sorted((str(error.path), error.message, str(error.locations)) for error in result.errors or [])
    return result.data, errors


@lru_cache(1)
def _document(text: str) -> DocumentNode:
    """What is shared names the nodes of one document."""
    return parse(text)


def _keys(data: Any) -> Iterator[Any]:
    """Names in their order, which equality of dictionaries does not look at."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield name
            yield from _keys(value)
    elif isinstance(data, list):
        for value in data:
            yield from _keys(value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_selections("Query", 5), st.sampled_from([None, None, "name", "wh", "owner"]))
def test_documents_are_answered_as_graphql_core_answers_them(selection: str, broken: str | None) -> None:
    text = f"query($yes: Boolean!) {{ __typename @include(if: $yes) {selection} }}"
    if validate(CORE, parse(text)):
        return  # aliases that conflict
    plain, core = (_executed(kind, text, broken) for kind in (PlainFieldsFirst, Executor))
    assert plain == core
    assert list(_keys(plain[0])) == list(_keys(core[0]))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_selections("Query", 5), st.sampled_from(["name", "wh", "owner"]))
def test_what_is_shared_by_executions_changes_no_answer(selection: str, broken: str) -> None:
    text = re.sub(r"@\w+\(if: [^)]*\)", "", f"{{ __typename {selection} }}")
    if validate(CORE, _document(text)):
        return
    shared: dict[Any, Any] = {}
    for how in (broken, None, broken):
        plain, core = _executed(PlainFieldsFirst, text, how, shared), _executed(Executor, text, how)
        assert plain == core
        assert list(_keys(plain[0])) == list(_keys(core[0]))


@pytest.mark.parametrize("broken", [None, "name", "wh", "owner"])
def test_the_question_of_the_playground_is_answered_alike(broken: str | None) -> None:
    text = """query($yes: Boolean!) { __typename @include(if: $yes) household { name ...H } }
        fragment H on Household { energy(last: 6) { start end resolution untrackedWh untrackedPercent
          nodes { start end closed coveragePercent consumptionWh batteryChargeWh a: consumptionWh }
          columns { start starts resolution coveragePercent consumptionWh } total { consumptionWh }
          devices { device { __typename name kind on since until capacityWh efficiencyPercent ratedPowerW }
            energyWh sharePercent energyByBucketWh } } }"""
    plain, core = (_executed(kind, text, broken) for kind in (PlainFieldsFirst, Executor))
    assert plain == core
    assert bool(core[1])  # a power of 2 ** 31 W is no Int
    assert list(_keys(plain[0])) == list(_keys(core[0]))
