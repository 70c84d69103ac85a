"""What the HTTP face takes from the configuration."""

from __future__ import annotations

from pathlib import Path

from ferrite.io.http import http_settings
from tests.io.config.helpers import PEERS_OF_THREE, load


def test_address_and_limits_come_from_their_keys(tmp_path: Path) -> None:
    config = load(tmp_path, options={"node.http_addr": "127.0.0.1:8055", "limits.body_timeout": "1234"})
    settings = http_settings(config)
    assert (settings.host, settings.port) == ("127.0.0.1", 8055)
    assert settings.limits.body_timeout == 1234


def test_on_loopback_the_configured_names_are_accepted_as_host(tmp_path: Path) -> None:
    settings = http_settings(load(tmp_path, PEERS_OF_THREE))
    assert settings.allowed_hosts == frozenset({"127.0.0.1"})


def test_elsewhere_any_name_is_accepted(tmp_path: Path) -> None:
    options = {
        "node.http_addr": "0.0.0.0:8001",
        "node.advertise_http_addr": "10.0.0.1:8001",
        "security.allow_insecure": "true",
    }
    assert http_settings(load(tmp_path, options=options)).allowed_hosts is None
