"""The records as they lie in the store. These bytes are on people's disks: changing them takes a new layout version."""

import pytest

from ferrite.core.kv import Batch, Delete, LeaseGrant, Put, Session, StateCorrupt
from ferrite.core.kv.records import decode_change, decode_lease, decode_meta, decode_pointer
from tests.core.kv.helpers import Machine, command, put

# Key after the group's id, beginning with its table; value. Grouped as the layout's table has the fields; a dot is 7 bytes of 0.
GOLDEN = """
    10 6170706c696564            : dc001302050107050001ceda272b060000cd014200000000000001ce002dc6c7
    20 6100                      : .05 00000000 .04 .02 .05 00000041
    30 6100ff0001 .04: .04 00000000 .04 .01 .00 00000040
    30 6b0001 .02   : .02 00000000 .02 .01 .00 00000041
    30 6b0001 .03   : .03 00000000 .02 .02 .00 00000041
    30 6b0001 .04   :
    40 .02 00000000 : 00 .02 .01 .00 .00 00000000 00000000 00000001 6b7631
    40 .03 00000000 : 00 .02 .02 .00 .02 00000000 00000041 00000001 6b7632
    40 .04 00000000 : 00 .04 .01 .00 .00 00000000 00000000 00000002 6100
    40 .04 00000001 : 01 .00 .00 .00 .03 00000000 00000041 00000001 6b
    40 .05 00000000 : 00 .04 .02 .05 .04 00000000 00000040 00000002 610035
    50 63                        : 9600060001ce8f4e6665c403920103
    51 .0663        :
    60 .05          : .03 00000000002dc6c7
    61 00000000002dc6c7 .05:
    62 .05 6100     :
"""


def test_the_bytes_of_the_records_stay_what_they_are() -> None:
    host = Machine()
    host.apply(
        put(b"k", b"v1", time_us=5),
        command(Put(key=b"k", value=b"v2"), session=Session(client_id=b"c", request_id=1), time_us=6),
        command(Batch(operations=(Put(key=b"a\x00", value=b""), Delete(key=b"k"))), time_us=7),
        command(LeaseGrant(lease_id=5, ttl_s=3)),
        command(Put(key=b"a\x00", value=b"5", lease=5)),
    )
    golden = [line.split(":") for line in GOLDEN.replace(".", "00" * 7).splitlines() if line]
    assert list(host.store.scan(b"", b"\xff")) == [
        (bytes(4) + bytes.fromhex(key), bytes.fromhex(data)) for key, data in golden
    ]


@pytest.mark.parametrize("data", [b"", b"\x90", b"\x91\x02", b"\xc1", b"\x92\x02\x01", b"\x91\xa1x"])
def test_a_position_that_cannot_be_read_is_corruption(data: bytes) -> None:
    with pytest.raises(StateCorrupt):
        decode_meta(data)


def test_records_of_wrong_length_or_kind_are_corruption() -> None:
    for pointer in (b"", bytes(39), bytes(41)):
        with pytest.raises(StateCorrupt):
            decode_pointer(pointer)
    for change in (b"", bytes(44), b"\x02" + bytes(44), bytes(41) + b"\x00\x00\x00\x01"):
        with pytest.raises(StateCorrupt):
            decode_change(change, 2)
    for lease in (b"", bytes(15), bytes(17)):
        with pytest.raises(StateCorrupt):
            decode_lease(lease)
