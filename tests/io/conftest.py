"""Fixtures for the faces and the transport."""

import pytest

from tests.io.grpc import fakes


@pytest.fixture(params=["ngh2", "grpcio"])
def each_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What serves gRPC: a test of both engines holds each to the other's behaviour."""
    engine: str = request.param
    monkeypatch.setattr(fakes.tested, "engine", engine)
    return engine
