"""The server's dashboard, second half: what its operators look after."""

from __future__ import annotations

from stream_omni.serving.metrics import (
    AUDIO_SECONDS,
    BROKEN,
    CANCEL_RELEASE_SECONDS,
    DRAIN_RATIO,
    ENGINES,
    NONFINITE,
    READY,
    RECOVERIES,
    REJECTED,
    STAGE_QUEUE_SECONDS,
    STREAMS_ACTIVE,
    STREAMS_CAPACITY,
    STREAMS_WAITING,
    SUPERVISED_SECONDS,
)
from stream_omni_monitoring import foreign_names as foreign
from stream_omni_monitoring import recording as recorded
from stream_omni_monitoring.panels import Curve, Panel, Row
from stream_omni_monitoring.queries import Scope, is_one_of
from stream_omni_monitoring.server_rows import SHOWN
from stream_omni_monitoring.targets import APP, ENVOY

_NAMESPACE = Scope('namespace=~"$namespace"', "$__rate_interval")


def admission_row() -> Row:
    return Row(
        "Queue and admission",
        [
            Panel(
                "Turns that wait for a place",
                "At the front doors, by replica.",
                "short",
                [Curve(SHOWN.sum(STREAMS_WAITING, by="pod"), "{{pod}}")],
                kind="stack",
                width=6,
            ),
            Panel(
                "Their wait",
                "Of turns that were given a place, most of them at once.",
                "s",
                [
                    Curve(SHOWN.quantile(share, STAGE_QUEUE_SECONDS, recorded.DOOR), f"p{share * 100:g}")
                    for share in (0.5, 0.99)
                ],
                width=6,
            ),
            Panel(
                "Turns refused with a retry hint",
                "No room to wait in, waited in vain, a key's quota, an engine without a slot, a server that ends.",
                "reqps",
                [Curve(SHOWN.rate(REJECTED, by="reason"), "{{reason}}")],
                kind="stack",
                width=6,
            ),
            Panel(
                "A cancelled turn's release",
                "From the notice that the client has left until no stage holds anything for it.",
                "s",
                [Curve(SHOWN.quantile(share, CANCEL_RELEASE_SECONDS), f"p{share * 100:g}") for share in (0.5, 0.95)],
                width=6,
            ),
        ],
    )


def capacity_row() -> Row:
    demand, capacity = recorded.demand(SHOWN), SHOWN.of(recorded.CAPACITY)
    desired, maximum = (
        f"max by (horizontalpodautoscaler) ({_NAMESPACE.of(name, _OURS)})"
        for name in (foreign.HPA_DESIRED, foreign.HPA_MAXIMUM)
    )
    return Row(
        "Streams, capacity, replicas",
        [
            Panel(
                "Streams and places",
                "Turns that run and that wait, against the places of all replicas.",
                "short",
                [
                    Curve(f"sum ({SHOWN.of(STREAMS_ACTIVE, recorded.DOOR)})", "running"),
                    Curve(f"sum ({SHOWN.of(STREAMS_WAITING)})", "waiting"),
                    Curve(f"sum ({SHOWN.of(STREAMS_CAPACITY, recorded.DOOR)})", "places", dashed=True),
                ],
            ),
            Panel(
                "Streams of each replica",
                "Running and waiting ones: what the autoscaler holds against its target.",
                "short",
                [Curve(demand, "{{pod}}"), Curve(f"max ({capacity})", "places of one", dashed=True)],
            ),
            Panel(
                "Busiest replica over the average one",
                "1: the load is spread evenly. Above 1.5 for long: connections stick to a replica.",
                "short",
                [
                    Curve(
                        f"max by (namespace, release) ({demand}) / avg by (namespace, release) ({demand})",
                        "{{namespace}}/{{release}}",
                    )
                ],
                limit=1.5,
            ),
            Panel(
                "Replicas",
                "That tell their places; with kube-state-metrics also what the autoscaler wants and may have.",
                "short",
                [
                    Curve(f"count ({capacity})", "serving"),
                    Curve(desired, "wanted by {{horizontalpodautoscaler}}"),
                    Curve(maximum, "at most for {{horizontalpodautoscaler}}", dashed=True),
                ],
                width=12,
            ),
            Panel(
                "Sound made in a second",
                "Seconds of speech, all replicas together: as many listeners could be spoken to at once.",
                "short",
                [Curve(f"sum (rate({SHOWN.of(AUDIO_SECONDS)}[{SHOWN.window}]))", "seconds of sound")],
                width=12,
            ),
        ],
    )


_OURS = 'horizontalpodautoscaler=~".*stream-omni.*"'


def hardware_row() -> Row:
    gpu = "{{pod}} {{gpu_uuid}}"
    return Row(
        "GPU, memory, KV slots",
        [
            Panel(
                "Slots in use",
                "Rows of the engines' key-value caches.",
                "percentunit",
                [Curve(recorded.slots_used(SHOWN), "{{pod}} {{stage}}")],
                limit=0.9,
            ),
            Panel(
                "Turns that the engines hold",
                "And their places.",
                "short",
                [
                    Curve(SHOWN.sum(STREAMS_ACTIVE, is_one_of("stage", *ENGINES), by="stage"), "{{stage}}"),
                    Curve(
                        SHOWN.sum(STREAMS_CAPACITY, is_one_of("stage", *ENGINES), by="stage"),
                        "places of {{stage}}",
                        dashed=True,
                    ),
                ],
            ),
            Panel(
                "Results that were not finite",
                "Turns that ended because of a number that is none, by stage. It should stay at 0.",
                "reqps",
                [Curve(SHOWN.rate(NONFINITE, by="stage"), "{{stage}}")],
            ),
            Panel(
                "GPU in use",
                "As Triton reads it. A full GPU is no reason to scale; late speech is.",
                "percentunit",
                [Curve(SHOWN.of(foreign.GPU_UTILIZATION), gpu)],
                width=6,
            ),
            Panel(
                "GPU memory in use",
                "As Triton reads it.",
                "bytes",
                [
                    Curve(SHOWN.of(foreign.GPU_MEMORY_USED_BYTES), gpu),
                    Curve(SHOWN.of(foreign.GPU_MEMORY_TOTAL_BYTES), f"all of {gpu}", dashed=True),
                ],
                width=6,
            ),
            Panel("GPU power", "As Triton reads it.", "watt", [Curve(SHOWN.of(foreign.GPU_POWER_WATTS), gpu)], width=4),
            Panel(
                "Processors in use",
                "Of the node, as Triton reads it.",
                "percentunit",
                [Curve(SHOWN.of(foreign.CPU_UTILIZATION), "{{pod}}")],
                width=4,
            ),
            Panel(
                "Memory in use",
                "Of the node, as Triton reads it.",
                "bytes",
                [
                    Curve(SHOWN.of(foreign.CPU_MEMORY_USED_BYTES), "{{pod}}"),
                    Curve(f"max ({SHOWN.of(foreign.CPU_MEMORY_TOTAL_BYTES)})", "all", dashed=True),
                ],
                width=4,
            ),
        ],
    )


def lifecycle_row() -> Row:
    return Row(
        "Lifecycle",
        [
            Panel(
                "Ready",
                "What /ready of each replica's admin port says.",
                "bool",
                [Curve(SHOWN.of(READY), "{{pod}}")],
                width=6,
            ),
            Panel(
                "Broken now, and mended",
                "Stages (and tritonserver) that do not answer, and how many were brought back in an hour.",
                "short",
                [
                    Curve(f"sum by (pod) ({SHOWN.of(BROKEN)})", "{{pod}}: broken now"),
                    Curve(f"sum by (pod) (increase({SHOWN.of(RECOVERIES)}[1h]))", "{{pod}}: mended in an hour"),
                ],
                width=6,
            ),
            Panel(
                "Drain time used",
                "Of replicas that end: 1 means that turns which still run are cut.",
                "percentunit",
                [Curve(SHOWN.of(DRAIN_RATIO), "{{pod}}")],
                width=6,
                limit=0.5,
            ),
            Panel(
                "Age",
                "Of each replica's supervisor; it begins anew with a container.",
                "s",
                [Curve(SHOWN.of(SUPERVISED_SECONDS), "{{pod}}")],
                width=6,
            ),
            Panel(
                "Targets that answer Prometheus",
                "Servers, supervisors, gateways and Envoys.",
                "short",
                [
                    Curve(f"sum by (component) ({_NAMESPACE.of('up', APP)})", "{{component}} up"),
                    Curve(f"count by (component) ({_NAMESPACE.of('up', APP)})", "{{component}} known", dashed=True),
                ],
                width=12,
            ),
            Panel(
                "Alerts that fire",
                "Without the watchdog.",
                "short",
                [
                    Curve(
                        'sum by (alertname, severity) (ALERTS{app="stream-omni", alertstate="firing", '
                        'severity!="none"}) or vector(0)',
                        "{{alertname}} {{severity}}",
                    )
                ],
                width=12,
            ),
        ],
    )


def envoy_row() -> Row:
    edge = Scope(f'{APP}, component="{ENVOY}", namespace=~"$namespace", release=~"$release"', "$__rate_interval")
    cluster = "envoy_cluster_name"
    name = "{{envoy_cluster_name}}"
    return Row(
        "Envoy",
        [
            Panel(
                "Requests that ended",
                "By class of their status; a turn is one request of its connection.",
                "reqps",
                [
                    Curve(
                        edge.rate(foreign.ENVOY_REQUESTS, by=f"{cluster}, envoy_response_code_class"),
                        f"{name} {{{{envoy_response_code_class}}}}xx",
                    )
                ],
            ),
            Panel(
                "Requests and connections under way",
                "To the servers.",
                "short",
                [
                    Curve(edge.sum(foreign.ENVOY_ACTIVE, by=cluster), f"{name} requests"),
                    Curve(edge.sum(foreign.ENVOY_CONNECTIONS, by=cluster), f"{name} connections"),
                ],
            ),
            Panel(
                "Servers",
                "Known to Envoy, healthy, and left alone for a while because they could not be reached.",
                "short",
                [
                    Curve(edge.sum(foreign.ENVOY_HEALTHY, by=cluster), f"{name} healthy"),
                    Curve(edge.sum(foreign.ENVOY_EJECTED, by=cluster), f"{name} left alone"),
                    Curve(edge.sum(foreign.ENVOY_MEMBERS, by=cluster), f"{name} known", dashed=True),
                ],
            ),
            Panel(
                "Refused, tried again, broken",
                "Refused by the circuit breaker; tried on another server; reset by a server; not reached.",
                "reqps",
                [
                    Curve(edge.rate(foreign.ENVOY_OVERFLOWS, by=cluster), f"{name} refused"),
                    Curve(edge.rate(foreign.ENVOY_RETRIES, by=cluster), f"{name} tried again"),
                    Curve(edge.rate(foreign.ENVOY_RESETS, by=cluster), f"{name} reset"),
                    Curve(edge.rate(foreign.ENVOY_CONNECT_FAILURES, by=cluster), f"{name} not reached"),
                ],
                width=12,
            ),
            Panel(
                "A request's time",
                "From Envoy to the server and back, to the end of the answer.",
                "s",
                [
                    Curve(
                        f"{edge.quantile(share, foreign.ENVOY_REQUEST_MILLISECONDS, by=cluster)} / 1000",
                        f"{name} p{share * 100:g}",
                    )
                    for share in (0.5, 0.95)
                ],
                width=12,
            ),
        ],
    )
