"""The secrets of deploy/compose.yaml, made afresh: `python -m deploy.compose_secrets >deploy/.env`."""

import secrets

from deploy.nkey_tokens import Issuer


def new_secrets() -> dict[str, str]:
    """Passwords, the key that signs tokens, and the issuer NATS believes, which follows from that key."""
    signing_key = secrets.token_hex(32)
    return {
        "POSTGRES_PASSWORD": secrets.token_hex(32),
        "NATS_PASSWORD": secrets.token_hex(32),
        "SMARTRIX_SIGNING_KEY": signing_key,
        "NATS_ISSUER": Issuer(signing_key.encode()).public_key,
    }


if __name__ == "__main__":
    print("\n".join(f"{name}={value}" for name, value in new_secrets().items()))
