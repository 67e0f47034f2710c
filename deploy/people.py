"""The people of the stories who are nobody's household, and the tokens they carry."""

from gateway.access import mint

ROLE_OF = {
    "nikola": "operator",
    "charles": "aggregator",
    "elon": "vendor",
    "albert": "vendor",
    "thomas": "vendor",
    "supplier": "supplier",
    "partner": "partner",
    "technician": "technician",
}


def tokens_of_people(signing_key: bytes) -> dict[str, str]:
    """A token for each person, by name."""
    return {person: mint(signing_key, role, person) for person, role in ROLE_OF.items()}


def tokens_of_roles(signing_key: bytes) -> dict[str, str]:
    """A token for each role, by role; the subject is the first person who has it."""
    people: dict[str, str] = {}
    for person, role in ROLE_OF.items():
        people.setdefault(role, person)
    return {role: mint(signing_key, role, person) for role, person in people.items()}
