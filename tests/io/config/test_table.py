"""The table of keys and the dataclasses say the same."""

import dataclasses
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from ferrite.io.config import Address, Config, model
from ferrite.io.config.keys import Key, Kind
from ferrite.io.config.table import KEYS
from ferrite.io.config.values import Fault, check_value

SECTION_CLASSES = {
    "node": model.NodeConfig,
    "network": model.NetworkConfig,
    "storage": model.StorageConfig,
    "raft": model.RaftConfig,
    "raft.snapshot_policy": model.SnapshotPolicyConfig,
    "logging": model.LoggingConfig,
    "cluster": model.ClusterConfig,
    "cluster.peers.N": model.PeerConfig,
    "security": model.SecurityConfig,
    "limits": model.LimitsConfig,
}
# Fields that are no keys: sections inside, the peer's id (it is the table's name), and what comes from elsewhere.
NO_KEYS = {"raft.snapshot_policy", "cluster.peers", "cluster.peers.N.id", "logging.module_levels"}
TYPES = {
    Kind.BOOL: bool,
    Kind.INT: int,
    Kind.TEXT: str,
    Kind.NAME: str,
    Kind.ADDRESS: Address,
    Kind.DIRECTORY: Path,
    Kind.FILE: Path | None,
}
SUPPORTED = [key for key in KEYS if key.supported]
INTEGERS = [key for key in SUPPORTED if key.kind is Kind.INT]


def fields() -> dict[str, Any]:
    return {
        f"{section}.{name}": hint
        for section, cls in SECTION_CLASSES.items()
        for name, hint in get_type_hints(cls).items()
        if f"{section}.{name}" not in NO_KEYS
    }


def test_every_supported_key_is_a_field_and_every_field_a_key() -> None:
    assert set(fields()) == {key.path for key in SUPPORTED}


@pytest.mark.parametrize("key", SUPPORTED, ids=lambda key: key.path)
def test_a_field_has_the_type_of_its_key(key: Key) -> None:
    hint = fields()[key.path]
    if key.kind is Kind.CHOICE:
        assert get_origin(hint) is Literal
        assert get_args(hint) == key.choices
    else:
        assert hint == TYPES[key.kind]


@pytest.mark.parametrize("cls", [Config, *SECTION_CLASSES.values()])
def test_every_section_is_immutable(cls: Any) -> None:
    assert cls.__dataclass_params__.frozen
    assert all(field.kw_only for field in dataclasses.fields(cls))


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_every_key_is_explained_in_sentences(key: Key) -> None:
    assert key.doc[0].isupper() or key.doc[0].islower()
    assert key.doc.endswith(".")
    assert "|" not in key.doc, "it would break the table of the documentation"


@pytest.mark.parametrize("key", INTEGERS, ids=lambda key: key.path)
def test_a_number_is_accepted_at_both_ends_of_its_range_and_refused_beyond(key: Key) -> None:
    here = Path("/")
    assert key.minimum < key.maximum
    for good in (key.minimum, key.default, key.maximum):
        assert check_value(key, good, here) == good
    beyond: list[Any] = [key.minimum - 1, key.maximum + 1, -1, 10**100]
    wrong: list[Any] = [True, False, 1.0, float("nan"), float("inf"), "1", [], {}]
    for bad in (*beyond, *wrong):
        assert isinstance(check_value(key, bad, here), Fault), bad


@pytest.mark.parametrize("key", [key for key in KEYS if not key.supported], ids=lambda key: key.path)
@pytest.mark.parametrize("value", [True, False, 0, 1, "", "none", "token", "static", "/a", "127.0.0.1:1"])
def test_a_key_without_a_feature_takes_nothing_but_its_word_for_off(key: Key, value: Any) -> None:
    checked = check_value(key, value, Path("/"))
    if type(value) is type(key.off) and value == key.off:
        assert checked == key.off
    else:
        assert isinstance(checked, Fault)
        assert "not supported yet" in checked.expected
        assert key.unsupported in checked.advice
