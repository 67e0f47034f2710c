"""Secrets made once and kept in the home, readable by its owner alone."""

import os
import secrets
from pathlib import Path


def kept_secret(file: Path) -> str:
    """The secret in the file (64 hexadecimal digits), made at the first call; the file has mode 0600."""
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        write_private(file, secrets.token_hex(32))
        return file.read_text().strip()


def write_private(file: Path, text: str) -> None:
    """Writes the text whole or not at all, mode 0600."""
    draft = file.with_name(f"{file.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)
