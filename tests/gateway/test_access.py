"""Tokens: who holds them, what they open, and that nothing else does."""

import time
from uuid import UUID, uuid4

import jwt
import pytest

from gateway.access import ROLES, TokenRefused, bearer_token, mint, verify
from projections.visibility import Scope

KEY = b"a key of the tests, long enough for HS256"
HOUSEHOLD, AREA = uuid4(), uuid4()


def test_a_token_tells_its_holder() -> None:
    token = mint(KEY, "device", str(HOUSEHOLD), household=str(HOUSEHOLD), area=str(AREA))
    principal = verify(KEY, token)
    assert (principal.role, principal.household_id, principal.area_id) == ("device", HOUSEHOLD, AREA)
    assert principal.name == f"device:{HOUSEHOLD}"
    assert principal.expires_at == pytest.approx(time.time() + 30 * 24 * 3600, abs=5)


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_role_sees_all_households_or_its_own_or_none(role: str) -> None:
    scope = verify(KEY, mint(KEY, role, "somebody", household=str(HOUSEHOLD))).scope
    expected = {
        "operator": Scope(everything=True),
        "aggregator": Scope(everything=True),
        "household": Scope(household_id=HOUSEHOLD),
    }
    assert scope == expected.get(role, Scope())


def _signed(**claims: object) -> str:
    now = int(time.time())
    body = {"sub": "x", "role": "operator", "iat": now, "exp": now + 60, **claims}
    return jwt.encode({name: value for name, value in body.items() if value is not None}, KEY, "HS256")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "nonsense",
        mint(b"another key, just as long as the first", "operator", "x"),
        _signed(exp=int(time.time()) - 1),
        _signed(exp=None),
        _signed(role=None),
        _signed(role="king"),
        _signed(household="no id"),
        jwt.encode({"sub": "x", "role": "operator", "iat": 0, "exp": 2**40}, None, "none"),
    ],
)
def test_anything_else_is_refused(token: str) -> None:
    with pytest.raises(TokenRefused):
        verify(KEY, token)


def test_a_header_is_bearer_and_a_token() -> None:
    assert bearer_token(" bearer abc ") == "abc"
    for header in ("", "Basic abc", "Bearer", "abc"):
        with pytest.raises(TokenRefused):
            bearer_token(header)


def test_a_household_without_an_id_sees_nothing() -> None:
    scope = verify(KEY, mint(KEY, "household", "pierre-marie")).scope
    assert scope == Scope(everything=False, household_id=None)
    assert UUID(int=0) != scope.household_id
