{{/* Envoy's configuration, without anything that only a cluster knows but addresses. */}}

{{- define "stream-omni.envoyConfig" -}}
{{- $servers := dict "root" . "service" "server-headless" }}
node: {id: edge, cluster: {{ include "stream-omni.fullname" . | quote }}} # which watching a certificate's file needs
admin:
  address: {socket_address: {address: 127.0.0.1, port_value: 9901}}
overload_manager:
  refresh_interval: 0.25s
  resource_monitors:
    - name: envoy.resource_monitors.global_downstream_max_connections
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig
        max_active_downstream_connections: {{ .Values.envoy.maxConnections }}
static_resources:
  listeners:
    - name: edge
      address: {socket_address: {address: 0.0.0.0, port_value: {{ .Values.envoy.port }}}}
      per_connection_buffer_limit_bytes: 1048576
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                {{- include "stream-omni.envoyEdge" . | nindent 16 }}
          {{- if .Values.envoy.tls.existingSecret }}
          transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              require_client_certificate: {{ not (empty .Values.envoy.tls.clientCA) }}
              common_tls_context:
                alpn_protocols: [h2]
                tls_params: {tls_minimum_protocol_version: TLSv1_2}
                tls_certificate_sds_secret_configs:
                  - name: edge
                    sds_config: {path_config_source: {path: /etc/envoy/edge-certificate.yaml}, resource_api_version: V3}
                {{- if .Values.envoy.tls.clientCA }}
                validation_context:
                  trusted_ca: {filename: /etc/stream-omni/edge-client-ca/ca.crt}
                {{- end }}
          {{- end }}
    - name: stats
      address: {socket_address: {address: 0.0.0.0, port_value: {{ .Values.envoy.statsPort }}}}
      ignore_global_conn_limit: true
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: stats
                codec_type: HTTP1
                route_config:
                  virtual_hosts:
                    - name: stats
                      domains: ["*"]
                      routes:
                        - {match: {path: /stats/prometheus}, route: {cluster: admin}}
                        - {match: {path: /ready}, route: {cluster: admin}}
                        - {match: {path: /live}, direct_response: {status: 200}}
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
    - name: servers
      type: STRICT_DNS
      dns_lookup_family: V4_PREFERRED
      dns_refresh_rate: 2s
      connect_timeout: 2s
      lb_policy: LEAST_REQUEST
      load_assignment:
        cluster_name: servers
        endpoints:
          - lb_endpoints:
              - endpoint:
                  address: {socket_address: {address: {{ include "stream-omni.host" $servers }}, port_value: {{ .Values.server.ports.grpc }}}}
                  health_check_config: {port_value: {{ .Values.server.ports.admin }}}
      {{- include "stream-omni.envoyCare" . | nindent 6 }}
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config:
            http2_protocol_options: {} # no pings: Triton breaks connections that are pinged
      {{- if .Values.server.tls.existingSecret }}
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
          sni: {{ include "stream-omni.serverName" . }}
          common_tls_context:
            alpn_protocols: [h2]
            {{- if .Values.server.tls.clientSecret }}
            tls_certificates:
              - certificate_chain: {filename: /etc/stream-omni/client/tls.crt}
                private_key: {filename: /etc/stream-omni/client/tls.key}
            {{- end }}
            validation_context:
              trusted_ca: {filename: /etc/stream-omni/server-ca/ca.crt}
              match_typed_subject_alt_names:
                - {san_type: DNS, matcher: {exact: {{ include "stream-omni.serverName" . }}}}
      # Health is asked of the admin port, which speaks plain HTTP.
      transport_socket_matches:
        - name: health
          match: {plain: true}
          transport_socket:
            name: envoy.transport_sockets.raw_buffer
            typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}
      {{- end }}
    - name: admin
      type: STATIC
      connect_timeout: 1s
      load_assignment:
        cluster_name: admin
        endpoints:
          - lb_endpoints:
              - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}
{{- end }}

{{/* Turns may last: nothing here ends a stream for being long or silent; servers do (docs/limits.md). */}}
{{- define "stream-omni.envoyEdge" -}}
"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
stat_prefix: edge
codec_type: HTTP2
use_remote_address: true
stream_idle_timeout: 0s
request_timeout: 0s
drain_timeout: 1s
local_reply_config:
  mappers:
    # One turn too many (circuit_breakers) is refused as a server refuses it: clients wait and ask again.
    - filter: {response_flag_filter: {flags: [UO]}}
      body: {inline_string: "OVERLOADED retry_after_ms=1000: all servers are busy; come again later"}
http2_protocol_options:
  max_concurrent_streams: 1024
  # A client that vanished holds its turn no longer than this.
  connection_keepalive: {interval: 30s, timeout: 20s}
access_log:
  - name: envoy.access_loggers.stdout
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
      log_format:
        json_format:
          event: edge
          time: "%START_TIME%"
          method: "%REQ(:PATH)%"
          grpc_status: "%GRPC_STATUS%"
          flags: "%RESPONSE_FLAGS%"
          duration_ms: "%DURATION%"
          received_bytes: "%BYTES_RECEIVED%"
          sent_bytes: "%BYTES_SENT%"
          server: "%UPSTREAM_HOST%"
route_config:
  virtual_hosts:
    - name: servers
      domains: ["*"]
      request_headers_to_remove: [triton_grpc_error] # with it a turn's error can crash tritonserver 2.51
      routes:
        # What clients need; everything else of Triton's, its management above all, stays inside.
        {{- range list "ModelStreamInfer" "ModelInfer" "ModelConfig" "ModelMetadata" "ModelReady" "ServerLive" "ServerReady" "ServerMetadata" }}
        - match: {path: /inference.GRPCInferenceService/{{ . }}}
          route:
            cluster: servers
            timeout: 0s
            idle_timeout: 0s
            retry_policy:
              # Only what no server has begun: a turn that was begun is never asked again by itself.
              retry_on: connect-failure,refused-stream
              num_retries: 2
              host_selection_retry_max_attempts: 3
              retry_host_predicate:
                - name: envoy.retry_host_predicates.previous_hosts
                  typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}
        {{- end }}
http_filters:
  # The answer's headers name the server that gave it; a call that carries that name goes to it, if it is ready. So who
  # ends a turn early reaches the server that has it.
  - name: envoy.filters.http.stateful_session
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSession
      session_state:
        name: envoy.http.stateful_session.header
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState
          name: x-stream-omni-server
  - name: envoy.filters.http.router
    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
{{- end }}

{{/* Who is asked, and how many. */}}
{{- define "stream-omni.envoyCare" -}}
{{- $health := .Values.envoy.healthCheck -}}
health_checks:
  - http_health_check: {path: /ready, codec_client_type: HTTP1}
    interval: {{ $health.intervalSeconds }}s
    no_traffic_interval: {{ $health.intervalSeconds }}s
    timeout: {{ $health.timeoutSeconds }}s
    unhealthy_threshold: {{ $health.failures }}
    healthy_threshold: 1
    {{- if .Values.server.tls.existingSecret }}
    transport_socket_match_criteria: {plain: true}
    {{- end }}
common_lb_config:
  healthy_panic_threshold: {value: 0} # never send turns to servers that are not ready
outlier_detection:
  split_external_local_origin_errors: true
  consecutive_local_origin_failure: 3
  consecutive_gateway_failure: 5
  enforcing_consecutive_gateway_failure: 100
  enforcing_consecutive_5xx: 0 # a turn's own error says nothing about its server
  enforcing_success_rate: 0
  enforcing_local_origin_success_rate: 0
  interval: 5s
  base_ejection_time: 10s
  max_ejection_percent: 50
circuit_breakers:
  thresholds:
    - max_requests: {{ include "stream-omni.maxTurns" . }}
      max_pending_requests: {{ include "stream-omni.maxTurns" . }}
      max_connections: 4096
      max_retries: 32
      track_remaining: true
{{- end }}

{{/* What Envoy's preStop runs: its image has bash, and no client of HTTP. */}}
{{- define "stream-omni.envoyDrain" -}}
# usage: drain.sh HOST PORT SETTLE_S TURNS_S, of Envoy's administration.
# First this Envoy is not ready, so that no new connection comes; then clients are told to open another one with their
# next turn; then it waits until no turn runs here.
ask() { # METHOD PATH
  exec 3<>"/dev/tcp/$host/$port" && printf '%s %s HTTP/1.1\r\nHost: drain\r\nConnection: close\r\nContent-Length: 0\r\n\r\n' "$1" "$2" >&3 && cat <&3
  exec 3>&-
}
host=$1 port=$2 settle_s=$3 turns_s=$4
ask POST /healthcheck/fail >/dev/null || exit 2
sleep "$settle_s"
ask POST '/drain_listeners?graceful&skip_exit' >/dev/null
until=$((SECONDS + turns_s))
while ((SECONDS < until)); do
  ask GET '/stats?filter=^http.edge.downstream_rq_active$' | grep -q 'downstream_rq_active: 0' && exit 0
  sleep 0.5
done
echo "turns still ran after $turns_s s" >&2
exit 1
{{- end }}
