"""grpc.reflection.v1alpha.ServerReflection: lets grpcurl and the like list our services and learn their messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Final

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection_pb2

from ferrite.io.grpc.service import CallContext, Writer
from ferrite.io.grpc.status import StatusCode

_NOT_FOUND: Final = reflection_pb2.ErrorResponse(error_code=StatusCode.NOT_FOUND, error_message="not found")
_POOL: Final = descriptor_pool.Default()


class ReflectionHandlers:
    """grpc.reflection.v1alpha.ServerReflection."""

    def __init__(self, service_names: Iterable[str]) -> None:
        """What it lists."""
        self._names = sorted(service_names)

    async def server_reflection_info(
        self,
        requests: AsyncIterator[reflection_pb2.ServerReflectionRequest],
        context: CallContext,
        writer: Writer,
    ) -> None:
        async for request in requests:
            try:
                answer = self._answer(request)
            except KeyError:
                answer = reflection_pb2.ServerReflectionResponse(error_response=_NOT_FOUND)
            answer.original_request.CopyFrom(request)
            await writer.send(answer.SerializeToString())

    def _answer(
        self, request: reflection_pb2.ServerReflectionRequest
    ) -> reflection_pb2.ServerReflectionResponse:
        match request.WhichOneof("message_request"):
            case "file_by_filename":
                return _files(_POOL.FindFileByName(request.file_by_filename))
            case "file_containing_symbol":
                return _files(_POOL.FindFileContainingSymbol(request.file_containing_symbol))
            case "file_containing_extension":
                wanted = request.file_containing_extension
                extended = _POOL.FindMessageTypeByName(wanted.containing_type)
                return _files(_POOL.FindExtensionByNumber(extended, wanted.extension_number).file)  # type: ignore[attr-defined]  # the stubs forget it
            case "all_extension_numbers_of_type":
                extended = _POOL.FindMessageTypeByName(request.all_extension_numbers_of_type)
                numbers = sorted(extension.number for extension in _POOL.FindAllExtensions(extended))
                return reflection_pb2.ServerReflectionResponse(
                    all_extension_numbers_response=reflection_pb2.ExtensionNumberResponse(
                        base_type_name=extended.full_name, extension_number=numbers
                    )
                )
            case "list_services":
                services = [reflection_pb2.ServiceResponse(name=name) for name in self._names]
                return reflection_pb2.ServerReflectionResponse(
                    list_services_response=reflection_pb2.ListServiceResponse(service=services)
                )
            case _:
                return reflection_pb2.ServerReflectionResponse(
                    error_response=reflection_pb2.ErrorResponse(
                        error_code=StatusCode.INVALID_ARGUMENT, error_message="invalid argument"
                    )
                )


def _files(file: FileDescriptor) -> reflection_pb2.ServerReflectionResponse:
    """The file and all that it needs."""
    found: dict[str, FileDescriptor] = {}
    _collect(file, found)
    response = reflection_pb2.ServerReflectionResponse()
    for each in found.values():
        proto = descriptor_pb2.FileDescriptorProto()
        each.CopyToProto(proto)
        response.file_descriptor_response.file_descriptor_proto.append(proto.SerializeToString())
    return response


def _collect(file: FileDescriptor, found: dict[str, FileDescriptor]) -> None:
    found[file.name] = file
    for needed in file.dependencies:
        if needed.name not in found:
            _collect(needed, found)
