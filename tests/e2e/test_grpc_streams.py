"""Every RPC, and the streams' end, on real processes."""

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

import grpc
import pytest
from grpc import aio

from ferrite.io.grpc.pb import kv_pb2
from tests.e2e.cluster import Node
from tests.e2e.conftest import MakeCluster


def test_every_rpc_passes_on_every_node_of_a_real_cluster(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(3).start()
    for node in cluster.running():
        done = subprocess.run(
            [sys.executable, "-m", "ferrite.io.cli.grpc_client_test", "--addr", node.grpc_addr],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


async def _streams_of(node: Node) -> tuple[list[kv_pb2.WatchResponse], grpc.StatusCode]:
    """Open both streams, ask the node to stop; return what the watch said, and how the pipeline ended."""
    async with aio.insecure_channel(node.grpc_addr) as channel:
        open_watch: Any = channel.stream_stream("/ferrite.kv.KvService/Watch")
        open_pipeline: Any = channel.stream_stream("/ferrite.kv.KvService/Pipeline")
        watch, pipeline = open_watch(timeout=30), open_pipeline(timeout=30)
        create = kv_pb2.WatchCreateRequest(watch_id=1, key=b"k")
        await watch.write(kv_pb2.WatchRequest(create=create).SerializeToString())
        seen = [kv_pb2.WatchResponse.FromString(await watch.read())]
        put = kv_pb2.PipelineRequest(id=1, put=kv_pb2.PutRequest(key=b"k"))
        await pipeline.write(kv_pb2.PipelineRequests(requests=[put]).SerializeToString())
        answers = kv_pb2.PipelineResponses.FromString(await pipeline.read()).responses
        assert [answer.put.revision for answer in answers] == [2]
        node.signal(signal.SIGTERM)
        while (data := await watch.read()) is not aio.EOF:
            seen.append(kv_pb2.WatchResponse.FromString(data))
        with pytest.raises(aio.AioRpcError) as ended:
            await pipeline.read()
        return seen, ended.value.code()


def test_a_node_that_stops_ends_its_streams_with_the_reason_and_the_revision(
    make_cluster: MakeCluster,
) -> None:
    cluster = make_cluster(1).start()
    (node,) = cluster.running()
    seen, pipeline_ended_with = asyncio.run(_streams_of(node))
    assert seen[0].created
    assert [event.kv.mod_revision for answer in seen for event in answer.events] == [2]
    assert (seen[-1].canceled, seen[-1].reason, seen[-1].revision) == (True, "shutting_down", 2)
    assert pipeline_ended_with is grpc.StatusCode.UNAVAILABLE
    assert node.wait_ended() == os.EX_OK
