"""Answers about keys in etcdctl's words, byte for byte."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ferrite.io.cli.ctl.header import Header
from ferrite.io.cli.ctl.output import Forms, Pair, Table, data_line
from ferrite.io.cli.ctl.quoting import quoted
from ferrite.io.cli.ctl.settings import Settings

if TYPE_CHECKING:
    from ferrite.io.client import DeleteAnswer, KeyValue, PutAnswer, RangeAnswer, TxnAnswer


def base64_text(data: bytes) -> str:
    """Bytes in JSON."""
    return b64encode(data).decode()


def without_zeros(values: dict[str, Any]) -> dict[str, Any]:
    """As etcd's JSON: what is 0, false or empty is left out."""
    return {name: value for name, value in values.items() if value}


def kv_simple(settings: Settings, kv: KeyValue) -> list[bytes]:
    """Key and value, a line each."""
    return [data_line(settings, kv.key), data_line(settings, kv.value)]


def kv_fields(kv: KeyValue, prefix: str = "") -> list[Pair]:
    """Six lines."""
    return [
        (f"{prefix}Key", kv.key),
        (f"{prefix}CreateRevision", kv.create_revision),
        (f"{prefix}ModRevision", kv.mod_revision),
        (f"{prefix}Version", kv.version),
        (f"{prefix}Value", kv.value),
        (f"{prefix}Lease", kv.lease),
    ]


def kv_json(kv: KeyValue) -> dict[str, Any]:
    """Key and value in base64."""
    return without_zeros(
        {
            "key": base64_text(kv.key),
            "create_revision": kv.create_revision,
            "mod_revision": kv.mod_revision,
            "version": kv.version,
            "value": base64_text(kv.value),
            "lease": kv.lease,
        }
    )


def put_forms(settings: Settings, header: Header, answer: PutAnswer) -> Forms:
    """Of a put."""
    prev = answer.prev
    return Forms(
        simple=lambda: ["OK", *(kv_simple(settings, prev) if prev else [])],
        fields=lambda: [*header.fields(answer.revision), *(kv_fields(prev, "Prev") if prev else [])],
        json=lambda: {
            "header": header.json(answer.revision),
            **({"prev_kv": kv_json(prev)} if prev else {}),
        },
    )


def delete_forms(settings: Settings, header: Header, answer: DeleteAnswer) -> Forms:
    """Of a deletion."""
    return Forms(
        simple=lambda: [str(answer.deleted), *_joined(kv_simple(settings, kv) for kv in answer.prev_kvs)],
        fields=lambda: [
            *header.fields(answer.revision),
            ("Deleted", answer.deleted),
            *_joined(kv_fields(kv, "Prev") for kv in answer.prev_kvs),
        ],
        json=lambda: {
            "header": header.json(answer.revision),
            **without_zeros({"deleted": answer.deleted, "prev_kvs": [kv_json(kv) for kv in answer.prev_kvs]}),
        },
    )


def range_forms(
    settings: Settings,
    header: Header,
    answer: RangeAnswer,
    *,
    values_only: bool = False,
    count_only: bool = False,
) -> Forms:
    """Of a range; the two options change the simple form only."""

    def simple() -> list[bytes | str]:
        if count_only:
            return [str(answer.count)]
        if values_only:
            return [data_line(settings, kv.value) for kv in answer.kvs]
        return _joined(kv_simple(settings, kv) for kv in answer.kvs)

    return Forms(
        simple=simple,
        fields=lambda: [
            *header.fields(answer.revision),
            *_joined(kv_fields(kv) for kv in answer.kvs),
            ("More", answer.more),
            ("Count", answer.count or 0),
        ],
        json=lambda: {
            "header": header.json(answer.revision),
            **without_zeros(
                {"kvs": [kv_json(kv) for kv in answer.kvs], "more": answer.more, "count": answer.count}
            ),
        },
        table=lambda: kv_table(answer.kvs),
    )


def kv_table(kvs: Iterable[KeyValue]) -> Table:
    """Keys and values as printable text."""
    numbers = ("CREATE REVISION", "MOD REVISION", "VERSION", "LEASE")
    return Table(
        columns=("KEY", "VALUE", *numbers),
        rows=[
            (
                quoted(kv.key)[1:-1],
                quoted(kv.value)[1:-1],
                str(kv.create_revision),
                str(kv.mod_revision),
                str(kv.version),
                f"{kv.lease:016x}" if kv.lease else "",
            )
            for kv in kvs
        ],
        right=frozenset(numbers),
    )


def txn_forms(settings: Settings, header: Header, answer: TxnAnswer) -> Forms:
    """Of a transaction; its operations' own headers have the revision alone, as etcd's."""
    inner = [_result_forms(settings, result) for result in answer.results]
    return Forms(
        simple=lambda: [
            "SUCCESS" if answer.succeeded else "FAILURE",
            *_joined(["", *forms.simple()] for _, forms in inner),
        ],
        fields=lambda: [
            *header.fields(answer.revision),
            ("Succeeded", answer.succeeded),
            *_joined(forms.fields() for _, forms in inner),
        ],
        json=lambda: {
            "header": header.json(answer.revision),
            **without_zeros(
                {
                    "succeeded": answer.succeeded,
                    "responses": [{"Response": {name: forms.json()}} for name, forms in inner],
                }
            ),
        },
    )


def _result_forms(settings: Settings, result: object) -> tuple[str, Forms]:
    from ferrite.io.client import DeleteAnswer, PutAnswer, RangeAnswer

    match result:
        case PutAnswer():
            return "ResponsePut", put_forms(settings, Header(), result)
        case DeleteAnswer():
            return "ResponseDeleteRange", delete_forms(settings, Header(), result)
        case RangeAnswer():
            return "ResponseRange", range_forms(settings, Header(), result)
        case other:
            raise TypeError(f"{type(other).__name__} is no answer to what ferritectl puts into a transaction")


def _joined(groups: Iterable[Iterable[Any]]) -> list[Any]:
    return [item for group in groups for item in group]
