"""The gRPC face: messages (`pb`), handlers that know no engine (`handlers`, `service`, `status`), and two
engines that serve them (`http2_engine`, `grpcio_engine`).
"""

import os

# grpcio's C core writes lines of its own to stderr, past our logs and for whatever a stranger sends (SEC20). What matters of it
# comes back as errors, which we log. It reads the variable when it is first imported, so everything of ours that needs grpcio
# lives in this package or imports it first. Whoever looks for a fault in grpcio itself sets the variable.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
