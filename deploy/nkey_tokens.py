"""Tokens in the form nats-server signs and reads: JWTs with Ed25519 keys, names in base 32."""

import base64
import binascii
import hashlib
import hmac
import time
from typing import Any

import msgspec
from nacl.signing import SigningKey

_HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}
_ACCOUNT_PREFIX = b"\0"
_PURPOSE = b"smartrix device access issuer"


class Issuer:
    """The account key that vouches for devices, derived from the grid's signing key."""

    def __init__(self, signing_key: bytes) -> None:
        seed = hmac.new(signing_key, _PURPOSE, hashlib.sha256).digest()
        self._key = SigningKey(seed)
        self.public_key = _account_name(bytes(self._key.verify_key))

    def signed(self, claims: dict[str, Any]) -> str:
        """The claims as a token of this issuer, with the time and a digest as its id."""
        body = {"iss": self.public_key, "iat": int(time.time()), **claims}
        digest = hashlib.sha256(msgspec.json.encode(body)).digest()
        body["jti"] = base64.b32encode(digest).decode().rstrip("=")
        text = f"{_part(_HEADER)}.{_part(body)}"
        return f"{text}.{_base64url(self._key.sign(text.encode()).signature)}"


def claims_of(token: bytes) -> dict[str, Any]:
    """What a token says, unproven: for requests that arrive where only the server itself can write.

    ValueError when it is no token."""
    parts = token.split(b".")
    if len(parts) != 3:
        raise ValueError("not a token of three parts")
    claims: dict[str, Any] = msgspec.json.decode(
        base64.urlsafe_b64decode(parts[1] + b"=="), type=dict[str, Any]
    )
    return claims


def _account_name(public_key: bytes) -> str:
    """An account's public nkey: prefix, key and CRC-16, 56 characters that begin with A."""
    named = _ACCOUNT_PREFIX + public_key
    checksum = binascii.crc_hqx(named, 0).to_bytes(2, "little")
    return base64.b32encode(named + checksum).decode()


def _part(value: dict[str, Any]) -> str:
    return _base64url(msgspec.json.encode(value))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
