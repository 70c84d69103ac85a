"""The records as they lie in the store. These bytes are on people's disks: changing them takes a new layout version."""

import pytest

from ferrite.core.kv import Batch, Delete, Put, Session, StateCorrupt
from ferrite.core.kv.layout import decode_change, decode_meta, decode_pointer
from tests.core.kv.helpers import Machine, command, put

# key after the group's id and its table; value. Grouped as the layout's table has the fields.
GOLDEN = """
    10 6170706c696564            : 9a 01 03 01 07 04 00 01 ceda272b06 00 00
    20 6100                      : 0000000000000004 00000000 0000000000000004 0000000000000001 0000000000000000
    30 6b0001 0000000000000002   : 00000000
    30 6b0001 0000000000000003   : 00000000
    30 6b0001 0000000000000004   : 00000001
    40 0000000000000002 00000000 : 00 0000000000000002 0000000000000001 0000000000000000 00000001 6b 7631
    40 0000000000000003 00000000 : 00 0000000000000002 0000000000000002 0000000000000000 00000001 6b 7632
    40 0000000000000004 00000000 : 00 0000000000000004 0000000000000001 0000000000000000 00000002 6100
    40 0000000000000004 00000001 : 01 0000000000000000 0000000000000000 0000000000000000 00000001 6b
    50 63                        : 94 00 06 00 91 93 01 ce8f4e6665 92 01 03
    51 0000000000000006 63       :
"""


def test_the_bytes_of_the_records_stay_what_they_are() -> None:
    host = Machine()
    host.apply(
        put(b"k", b"v1", time_us=5),
        command(Put(key=b"k", value=b"v2"), session=Session(client_id=b"c", request_id=1), time_us=6),
        command(Batch(operations=(Put(key=b"a\x00", value=b""), Delete(key=b"k"))), time_us=7),
    )
    golden = [line.split(":") for line in GOLDEN.splitlines() if line]
    assert list(host.store.scan(b"", b"\xff")) == [
        (bytes(4) + bytes.fromhex(key), bytes.fromhex(data)) for key, data in golden
    ]


@pytest.mark.parametrize("data", [b"", b"\x90", b"\x91\x02", b"\xc1", b"\x92\x01\x01", b"\x91\xa1x"])
def test_a_position_that_cannot_be_read_is_corruption(data: bytes) -> None:
    with pytest.raises(StateCorrupt):
        decode_meta(data)


def test_records_of_wrong_length_or_kind_are_corruption() -> None:
    for pointer in (b"", bytes(35), bytes(37)):
        with pytest.raises(StateCorrupt):
            decode_pointer(pointer)
    for change in (b"", bytes(28), b"\x02" + bytes(28), bytes(25) + b"\x00\x00\x00\x01"):
        with pytest.raises(StateCorrupt):
            decode_change(change)
