"""A stand-in for the AWS provider that knows its schema and nothing else, for `validate` and `test`.

Run by the interpreter of `.cache/terraform-stub`, which has grpcio: `python terraform_stub.py SCHEMA SOCKET`.
SCHEMA has the types that our modules use, in the form of `terraform providers schema -json`. Where the
provider's registry can be reached, that command prints them.

It answers GetProviderSchema of Terraform's plugin protocol 6 and accepts everything else, prints one
line when it listens, and ends with its standard input. Messages are encoded by hand: they are few and flat.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped,import-not-found,unused-ignore] # in a separate environment

NESTING = {"single": 1, "list": 2, "set": 3}
HEALTHY = b"\x08\x01"  # grpc.health.v1.HealthCheckResponse, status SERVING


def number(field: int, value: int) -> bytes:
    """A varint field; nothing for 0, as protocol buffers have it."""
    return b"" if value == 0 else varint(field << 3) + varint(value)


def text(field: int, value: bytes) -> bytes:
    """A length-delimited field: a string, bytes or a message."""
    return varint(field << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    """An unsigned number, seven bits a byte."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def attribute(name: str, schema: dict[str, Any]) -> bytes:
    """Schema.Attribute."""
    flags = [(4, "required"), (5, "optional"), (6, "computed")]
    set_flags = b"".join(number(field, int(schema.get(flag, False))) for field, flag in flags)
    return text(1, name.encode()) + text(2, json.dumps(schema["type"]).encode()) + set_flags


def nested(name: str, schema: dict[str, Any]) -> bytes:
    """Schema.NestedBlock."""
    return (
        text(1, name.encode())
        + text(2, block(schema["block"]))
        + number(3, NESTING[schema["nesting_mode"]])
        + number(4, schema.get("min_items", 0))
        + number(5, schema.get("max_items", 0))
    )


def block(schema: dict[str, Any]) -> bytes:
    """Schema.Block."""
    attributes = [text(2, attribute(name, each)) for name, each in schema.get("attributes", {}).items()]
    blocks = [text(3, nested(name, each)) for name, each in schema.get("block_types", {}).items()]
    return b"".join(attributes + blocks)


def provider_schema(schema: dict[str, Any]) -> bytes:
    """GetProviderSchema.Response."""

    def entry(field: int, name: str, each: dict[str, Any]) -> bytes:
        return text(field, text(1, name.encode()) + text(2, text(2, block(each["block"]))))

    provider = text(1, text(2, block({})))
    managed = [entry(2, name, each) for name, each in schema["resource_schemas"].items()]
    data = [entry(3, name, each) for name, each in schema["data_source_schemas"].items()]
    return b"".join([provider, *managed, *data])


class Provider(grpc.GenericRpcHandler):  # type: ignore[misc,unused-ignore]
    """Answers every unary call by its name."""

    def __init__(self, schema: bytes) -> None:
        self._answers = {
            "/tfplugin6.Provider/GetProviderSchema": schema,
            "/grpc.health.v1.Health/Check": HEALTHY,
        }

    def service(self, details: Any) -> Any:
        """The handler of one call; streams are not served."""
        if not details.method.startswith(("/tfplugin6.Provider/", "/grpc.health", "/plugin.GRPCController/")):
            return None
        if details.method.endswith("/GetMetadata"):
            return None  # Terraform asks for the whole schema then
        answer = self._answers.get(details.method, b"")
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: answer)


def main(schema: Path, socket: str) -> None:
    """Serves on a unix socket until standard input ends."""
    server = grpc.server(
        ThreadPoolExecutor(4),
        options=[("grpc.max_send_message_length", -1)],
        handlers=[Provider(provider_schema(json.loads(schema.read_text())))],
    )
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop(0).wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
