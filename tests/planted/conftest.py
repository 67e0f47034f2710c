"""Planted faults stay out of an ordinary run: they play whole scenarios on copies of the project."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Takes them out unless the run asks for them with `-m planted`."""
    if "planted" in config.option.markexpr:
        return
    planted = [item for item in items if item.get_closest_marker("planted")]
    if planted:
        config.hook.pytest_deselected(items=planted)
        items[:] = [item for item in items if item not in planted]
