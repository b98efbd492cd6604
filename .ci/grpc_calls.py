"""The four kinds of gRPC calls through a proxy to two servers: in clear text, by TLS to it, and by TLS on both sides.

    grpc_calls.py PORT CA    PORT: the proxy's in clear text, three above with TLS, six above with TLS on both sides.
                             The servers' are one and two above, four and five above with TLS. CA: beside it lie
                             localhost.pem and localhost.key
"""

import pathlib
import queue
import sys
import time
from concurrent import futures

import grpc

PORT, CA = int(sys.argv[1]), pathlib.Path(sys.argv[2])


def serve(name, port):
    """A server that puts its name before what it says."""

    def one(request, context):
        context.set_trailing_metadata((("x-server", name.decode()),))
        return name + b":" + request

    def many(request, context):
        for number in range(int(request)):
            yield name + b":%d" % number

    def collect(requests, context):
        return name + b":%d" % sum(int(request) for request in requests)

    def chat(requests, context):
        for request in requests:
            yield name + b":" + request

    def missing(request, context):
        context.abort(grpc.StatusCode.NOT_FOUND, "nothing here: " + request.decode())

    def slow(request, context):
        # The deadline came along; it is the client's own that ends the call.
        assert context.time_remaining() < 1
        time.sleep(3)
        return b""

    methods = {
        "One": grpc.unary_unary_rpc_method_handler(one),
        "Many": grpc.unary_stream_rpc_method_handler(many),
        "Collect": grpc.stream_unary_rpc_method_handler(collect),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
        "Missing": grpc.unary_unary_rpc_method_handler(missing),
        "Slow": grpc.unary_unary_rpc_method_handler(slow),
    }
    server = grpc.server(futures.ThreadPoolExecutor(20))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Catalog", methods),))
    assert server.add_insecure_port(f"127.0.0.1:{port}")
    own = [CA.with_name(name).read_bytes() for name in ("localhost.key", "localhost.pem")]
    assert server.add_secure_port(f"127.0.0.1:{port + 3}", grpc.ssl_server_credentials([own]))
    server.start()
    return server


def path(method):
    return f"/shop.Catalog/{method}"


def failure(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError("it did not fail")


def until_both_are_checked(one):
    """A server takes calls once it has passed its checks."""
    answered = set()
    for _ in range(300):
        try:
            answered.add(one(b"x", timeout=5))
        except grpc.RpcError:
            pass
        if len(answered) == 2:
            return
        time.sleep(0.1)
    raise AssertionError(f"only {answered} answered")


def use(channel):
    grpc.channel_ready_future(channel).result(timeout=40)
    one = channel.unary_unary(path("One"))
    until_both_are_checked(one)
    seen = []
    for _ in range(20):
        answer, call = one.with_call(b"x", timeout=5)
        seen.append(dict(call.trailing_metadata())["x-server"])
        assert answer == seen[-1].encode() + b":x"
    assert sorted(seen) == ["a"] * 10 + ["b"] * 10, seen

    got = [answer[2:] for answer in channel.unary_stream(path("Many"))(b"50", timeout=5)]
    assert got == [b"%d" % number for number in range(50)]
    assert channel.stream_unary(path("Collect"))((b"%d" % n for n in range(1000)), timeout=5)[2:] == b"499500"

    # One message at a time: each is sent once the one before was answered.
    questions = queue.SimpleQueue()
    questions.put(b"0")
    told = []
    for answer in channel.stream_stream(path("Chat"))(iter(questions.get, None), timeout=5):
        told.append(answer)
        questions.put(b"%d" % len(told) if len(told) < 20 else None)
    name = told[0][:1]
    assert told == [name + b":%d" % number for number in range(20)]

    code, details = failure(lambda: channel.unary_unary(path("Missing"))(b"x", timeout=5))
    assert (code, details) == (grpc.StatusCode.NOT_FOUND, "nothing here: x")
    code, _ = failure(lambda: channel.unary_unary(path("Slow"))(b"", timeout=0.5))
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED, code
    large = bytes(3 << 20)
    assert one(large, timeout=20)[2:] == large


servers = [serve(b"a", PORT + 1), serve(b"b", PORT + 2)]
with grpc.insecure_channel(f"127.0.0.1:{PORT}") as plain:
    use(plain)
trust = grpc.ssl_channel_credentials(CA.read_bytes())
for port in (PORT + 3, PORT + 6):
    with grpc.secure_channel(f"localhost:{port}", trust) as secure:
        use(secure)
for server in servers:
    server.stop(None)
print("grpcio: four kinds of calls over two servers, in clear text, by TLS and by TLS on both sides")
