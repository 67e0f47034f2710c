"""Who asks: signed tokens, and what the role and claims in them open."""

import time
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any
from uuid import UUID

import jwt

from projections.visibility import Scope

_REMEMBERED = 4_096
TOKEN_SECONDS = 30 * 24 * 3600
ROLES = frozenset(
    (
        "household",
        "operator",
        "aggregator",
        "supplier",
        "vendor",
        "partner",
        "technician",
        "device",
        "concentrator",
    )
)
_SEE_EVERY_HOUSEHOLD = frozenset(("operator", "aggregator"))


class TokenRefused(Exception):
    """The token is not ours, has expired, or says something no role of ours says."""


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Somebody with a token; a household, device or concentrator is bound to the ids in it."""

    role: str
    subject: str
    expires_at: float
    household_id: UUID | None = None
    area_id: UUID | None = None

    @property
    def name(self) -> str:
        """The name under which commands are sent and keys are kept."""
        return f"{self.role}:{self.subject}"

    @property
    def sees_every_household(self) -> bool:
        """Whether every object of every household is theirs to see."""
        return self.role in _SEE_EVERY_HOUSEHOLD

    @cached_property
    def scope(self) -> Scope:
        """What reads may answer with; a device sees nothing, it only reports."""
        if self.role == "household":
            return Scope(household_id=self.household_id)
        return Scope(everything=self.sees_every_household)

    @property
    def has_expired(self) -> bool:
        """Whether the token's time is over by now."""
        return time.time() >= self.expires_at


def mint(signing_key: bytes, role: str, subject: str, **claims: str) -> str:
    """A token, HS256, valid for 30 days; claims bind it to a household or area by their ids."""
    now = int(time.time())
    body = {"sub": subject, "role": role, "iat": now, "exp": now + TOKEN_SECONDS, **claims}
    return jwt.encode(body, signing_key, "HS256")


def verify(signing_key: bytes, token: str) -> Principal:
    """Who holds this token; TokenRefused says why it opens nothing."""
    principal = _verified(signing_key, token)
    if principal.has_expired:
        raise TokenRefused("the token has expired")
    return principal


@lru_cache(_REMEMBERED)
def _verified(signing_key: bytes, token: str) -> Principal:
    try:
        claims = jwt.decode(token, signing_key, ["HS256"], options={"require": ["sub", "role", "exp", "iat"]})
        return _principal(claims)
    except jwt.ExpiredSignatureError:
        raise TokenRefused("the token has expired") from None
    except (jwt.InvalidTokenError, ValueError, TypeError):
        raise TokenRefused("the token is not valid here") from None


def bearer_token(authorization: str) -> str:
    """The token of an Authorization header; TokenRefused for another scheme."""
    scheme, _, token = authorization.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise TokenRefused("Authorization is to be: Bearer TOKEN")
    return token.strip()


def _principal(claims: dict[str, Any]) -> Principal:
    if claims["role"] not in ROLES:
        raise ValueError(claims["role"])
    return Principal(
        role=claims["role"],
        subject=claims["sub"],
        expires_at=float(claims["exp"]),
        household_id=_uuid(claims.get("household")),
        area_id=_uuid(claims.get("area")),
    )


def _uuid(claim: str | None) -> UUID | None:
    return None if claim is None else UUID(claim)
