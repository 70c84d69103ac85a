"""Both ways through the door are tested alike."""

from __future__ import annotations

import pytest

from ferrite.io.http.ordinary import OrdinaryHeads


@pytest.fixture(params=["front", "aiohttp"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once with ordinary requests answered by the front, once with everything left to aiohttp."""
    if request.param == "aiohttp":
        monkeypatch.setattr(OrdinaryHeads, "find", lambda *_: None)
