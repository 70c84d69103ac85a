"""One call, one operation."""

from __future__ import annotations

from google.protobuf.message import Message as ProtoMessage

from ferrite.io.grpc.kinds import Kind, Settings, Write
from ferrite.io.grpc.service import CallContext, Handler, timeout_ms
from ferrite.io.request_path import RequestPath


def unary_handler(kind: Kind, path: RequestPath, settings: Settings) -> Handler:
    """The handler of the RPC that does nothing but this operation."""

    async def handle(request: ProtoMessage, context: CallContext) -> bytes:
        asked = kind.decode(request, settings)
        allowed_ms = timeout_ms(context, settings.timeout_ms_max)
        if isinstance(asked, Write):
            answered = await path.write(asked.operation, session=asked.session, timeout_ms=allowed_ms)
        else:
            answered = await path.read(
                asked.query,
                consistency=asked.consistency,
                max_staleness_ms=asked.max_staleness_ms,
                timeout_ms=allowed_ms,
            )
        return kind.answer(answered, settings)

    return handle
