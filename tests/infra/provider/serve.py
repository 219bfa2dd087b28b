"""A Terraform provider that knows a real provider's schema and no cloud.

usage: serve.py SOCKET SCHEMAS

SCHEMAS is the output of schemas.py. Terraform starts a provider several times in each command, and
importing gRPC takes longer than all else. So this process imports it once, and waits on SOCKET for
start.py, which Terraform takes for the provider. It serves each as a process of its own, with the
environment and the output of start.py, and until that ends.

It speaks Terraform's plug-in protocol, version 6, without TLS (TF_DISABLE_PLUGIN_TLS). It keeps nothing: creating a resource
works out what a cloud would have answered (cloud.py), reading one returns Terraform's own state. So a
plan after an apply is empty, if the module itself always asks for the same.

The protocol is documented in Terraform's own repository, docs/plugin-protocol and
docs/resource-instance-change-lifecycle.md. Terraform checks each answer against the schema and the
plan, so a provider that strays from it fails the run.
"""

import json
import os
import pathlib
import signal
import socket
import sys
import tempfile
import threading
from concurrent import futures

import grpc
from tf.gen import grpc_controller_pb2 as controller
from tf.gen import grpc_controller_pb2_grpc as controller_service
from tf.gen import grpc_stdio_pb2_grpc as stdio_service
from tf.gen import tfplugin_pb2 as protocol
from tf.gen import tfplugin_pb2_grpc as service
from tf.types import Unknown
from tf.utils import read_dynamic_value, to_dynamic_value

import cloud


def block_message(block):
    Nested = protocol.Schema.NestedBlock
    nesting = {"list": Nested.LIST, "set": Nested.SET, "single": Nested.SINGLE}
    return protocol.Schema.Block(
        attributes=[
            protocol.Schema.Attribute(
                name=name,
                type=json.dumps(one["type"]).encode(),
                required=one["required"],
                optional=one["optional"],
                computed=one["computed"],
            )
            for name, one in block["attributes"].items()
        ],
        block_types=[
            Nested(
                type_name=name,
                block=block_message(one["block"]),
                nesting=nesting[one["nesting"]],
                # A block that nests alone is there or not, and has no bounds.
                min_items=0 if one["nesting"] == "single" else one["min"],
                max_items=0 if one["nesting"] == "single" else one["max"],
            )
            for name, one in block["blocks"].items()
        ],
    )


def schema_message(block):
    return protocol.Schema(block=block_message(block))


def inner_values(one, value):
    """The values of a nested block, however it nests."""
    if value is None or value is Unknown:
        return []
    return [value] if one["nesting"] == "single" else value


def walk(block, value, visit):
    """A copy of a block's value, with `visit` applied to each attribute."""
    if value is None or value is Unknown:
        return value
    copy = {name: visit(name, one, value.get(name)) for name, one in block["attributes"].items()}
    for name, one in block["blocks"].items():
        inner = value.get(name)
        if inner is None or inner is Unknown:
            copy[name] = inner
        elif one["nesting"] == "single":
            copy[name] = walk(one["block"], inner, visit)
        else:
            copy[name] = [walk(one["block"], item, visit) for item in inner]
    return copy


def unknown_where_computed(name, one, value):
    return Unknown if value is None and one["computed"] else value


def changed(before, after):
    """Names of the attributes and blocks that are not the same."""
    return [name for name in after if after[name] != before.get(name)]


def check_configurable(block, value, path):
    """Terraform leaves it to the provider to refuse a value for what only the provider sets."""
    for name, one in block["attributes"].items():
        if value.get(name) is not None and not one["optional"] and not one["required"]:
            raise cloud.Refused(f"Value for unconfigurable attribute: {path}.{name}")
    for name, one in block["blocks"].items():
        for inner in inner_values(one, value.get(name)):
            if isinstance(inner, dict):
                check_configurable(one["block"], inner, f"{path}.{name}")


def answers(response):
    """Turns what a cloud would refuse into a diagnosis, so that Terraform shows it as of a provider."""

    def wrap(method):
        def call(self, request, context):
            try:
                return method(self, request)
            except cloud.Refused as refused:
                diagnostic = protocol.Diagnostic(severity=protocol.Diagnostic.ERROR, summary=str(refused))
                return response(diagnostics=[diagnostic])

        return call

    return wrap


class Provider(service.ProviderServicer):
    def __init__(self, name, schemas):
        self.schemas = schemas
        self.cloud = cloud.CLOUDS[name]()

    def GetMetadata(self, request, context):
        return protocol.GetMetadata.Response(
            server_capabilities=protocol.ServerCapabilities(get_provider_schema_optional=True),
            resources=[protocol.GetMetadata.ResourceMetadata(type_name=name) for name in self.schemas["resources"]],
            data_sources=[protocol.GetMetadata.DataSourceMetadata(type_name=name) for name in self.schemas["data"]],
        )

    def GetProviderSchema(self, request, context):
        return protocol.GetProviderSchema.Response(
            provider=schema_message(self.schemas["provider"]),
            resource_schemas={kind: schema_message(block) for kind, block in self.schemas["resources"].items()},
            data_source_schemas={kind: schema_message(block) for kind, block in self.schemas["data"].items()},
            server_capabilities=protocol.ServerCapabilities(get_provider_schema_optional=True),
        )

    def ValidateProviderConfig(self, request, context):
        return protocol.ValidateProviderConfig.Response()

    @answers(protocol.ValidateResourceConfig.Response)
    def ValidateResourceConfig(self, request):
        config = read_dynamic_value(request.config)
        check_configurable(self.schemas["resources"][request.type_name], config, request.type_name)
        self.cloud.validate(request.type_name, config)
        return protocol.ValidateResourceConfig.Response()

    def ValidateDataResourceConfig(self, request, context):
        return protocol.ValidateDataResourceConfig.Response()

    @answers(protocol.ConfigureProvider.Response)
    def ConfigureProvider(self, request):
        self.cloud.configure(read_dynamic_value(request.config))
        return protocol.ConfigureProvider.Response()

    def UpgradeResourceState(self, request, context):
        state = json.loads(request.raw_state.json)
        return protocol.UpgradeResourceState.Response(upgraded_state=to_dynamic_value(state))

    def ReadResource(self, request, context):
        return protocol.ReadResource.Response(new_state=request.current_state, private=request.private)

    @answers(protocol.PlanResourceChange.Response)
    def PlanResourceChange(self, request):
        kind, block = request.type_name, self.schemas["resources"][request.type_name]
        prior, proposed = read_dynamic_value(request.prior_state), read_dynamic_value(request.proposed_new_state)
        if proposed is None:
            return protocol.PlanResourceChange.Response(planned_state=request.proposed_new_state)
        replaced = []
        if prior is None:
            planned = walk(block, proposed, unknown_where_computed)
        else:
            planned = walk(block, proposed, lambda name, one, value: value)
            replaced = [name for name in changed(prior, planned) if self.cloud.is_fixed(kind, name)]
        planned = self.cloud.plan(kind, block, planned)
        self.cloud.validate(kind, planned)
        return protocol.PlanResourceChange.Response(
            planned_state=to_dynamic_value(planned),
            requires_replace=[
                protocol.AttributePath(steps=[protocol.AttributePath.Step(attribute_name=name)]) for name in replaced
            ],
        )

    @answers(protocol.ApplyResourceChange.Response)
    def ApplyResourceChange(self, request):
        kind, block = request.type_name, self.schemas["resources"][request.type_name]
        planned = read_dynamic_value(request.planned_state)
        if planned is None:
            return protocol.ApplyResourceChange.Response(new_state=request.planned_state)
        new = self.cloud.create(kind, block, planned)
        return protocol.ApplyResourceChange.Response(new_state=to_dynamic_value(new))

    @answers(protocol.ReadDataSource.Response)
    def ReadDataSource(self, request):
        block = self.schemas["data"][request.type_name]
        config = read_dynamic_value(request.config)
        state = self.cloud.read(request.type_name, block, config)
        return protocol.ReadDataSource.Response(state=to_dynamic_value(state))

    def StopProvider(self, request, context):
        return protocol.StopProvider.Response()


class Controller(controller_service.GRPCControllerServicer):
    def Shutdown(self, request, context):
        # Terraform waits for the process to end. It need not wait for threads.
        threading.Timer(0.01, os._exit, [0]).start()
        return controller.Empty()


class Output(stdio_service.GRPCStdioServicer):
    def StreamStdio(self, request, context):
        return iter([])


def serve(name, schemas):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    service.add_ProviderServicer_to_server(Provider(name, schemas), server)
    controller_service.add_GRPCControllerServicer_to_server(Controller(), server)
    stdio_service.add_GRPCStdioServicer_to_server(Output(), server)
    address = tempfile.mktemp(prefix="provider-", dir=os.environ["TMPDIR"])
    server.add_insecure_port(f"unix:{address}")
    server.start()
    # The handshake of plug-ins: its version, the protocol's, where it listens, and how it speaks.
    print(f"1|6|unix|{address}|grpc", flush=True)
    server.wait_for_termination()


def end_with(connection):
    """Ends this process with start.py, which Terraform may kill."""
    connection.recv(1)
    os._exit(0)


def main():
    address, schemas = sys.argv[1:]
    schemas = json.loads(pathlib.Path(schemas).read_text())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            break
        connection.close()
    listener.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, streams, _, _ = socket.recv_fds(connection, 1 << 20, 2)
    name, environment = json.loads(message)
    os.environ.clear()
    os.environ.update(environment)
    for number, stream in enumerate(streams, 1):
        os.dup2(stream, number)
        os.close(stream)
    threading.Thread(target=end_with, args=[connection], daemon=True).start()
    serve(name, schemas[name])


main()
