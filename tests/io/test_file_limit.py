import resource

import pytest

from ferrite.io.file_limit import CONNECTIONS_FLOOR, FILES_RESERVED, LISTENERS, connections_allowed


def test_clients_of_both_listeners_together_never_get_the_files_that_the_node_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    assert LISTENERS * connections_allowed(10_000) == 1024 - FILES_RESERVED
    assert connections_allowed(100) == 100
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 100))
    assert connections_allowed(10_000) == CONNECTIONS_FLOOR
    assert connections_allowed(3) == 3
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert connections_allowed(10_000) == 10_000
