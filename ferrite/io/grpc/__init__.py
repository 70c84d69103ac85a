"""The gRPC face: messages (`pb`), handlers that know no engine (`handlers`, `service`, `status`), and grpcio's (`server`)."""
