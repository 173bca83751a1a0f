{{/* The parts of the server's pod. */}}

{{/* By volume: the Secrets that are mounted at /etc/stream-omni/VOLUME. */}}
{{- define "stream-omni.serverSecrets" -}}
{{- $tls := .Values.server.tls }}
{{- $secrets := dict }}
{{- range $name, $secret := dict "api-keys" .Values.server.apiKeys.existingSecret "tls" $tls.existingSecret "client-ca" $tls.clientCA "client" $tls.clientSecret }}
{{- if $secret }}{{ $_ := set $secrets $name $secret }}{{ end }}
{{- end }}
{{- $secrets | toJson }}
{{- end }}

{{- define "stream-omni.serveArguments" -}}
{{- $server := .Values.server }}
- {{ printf "--repository=%s" (include "stream-omni.repository" .) | quote }}
- --host=0.0.0.0
- --grpc-port={{ $server.ports.grpc }}
- --metrics-port={{ $server.ports.metrics }}
- --admin-host=0.0.0.0
- --admin-port={{ $server.ports.admin }}
- --ready-timeout-s={{ $server.startSeconds }}
- --drain-timeout-s={{ $server.drain.timeoutSeconds }}
- --log-format={{ $server.logFormat }}
{{- if $server.traceEndpoint }}
- --trace-endpoint={{ $server.traceEndpoint }}
- --trace-ratio={{ $server.traceRatio }}
{{- end }}
{{- if $server.apiKeys.existingSecret }}
- --api-keys=/etc/stream-omni/api-keys/{{ $server.apiKeys.key }}
{{- end }}
{{- if $server.tls.existingSecret }}
- --tls-cert=/etc/stream-omni/tls/tls.crt
- --tls-key=/etc/stream-omni/tls/tls.key
{{- end }}
{{- if $server.tls.clientCA }}
- --tls-client-ca=/etc/stream-omni/client-ca/ca.crt
- --tls-probe-cert=/etc/stream-omni/client/tls.crt
- --tls-probe-key=/etc/stream-omni/client/tls.key
{{- end }}
{{- range $server.arguments }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{/* /ready is 200 once a real turn went through all stages, and while the supervisor knows of nothing broken; /live as
long as the supervisor itself comes by. It mends dead stages, and ends with an error when it cannot. */}}
{{- define "stream-omni.serverProbes" -}}
startupProbe:
  httpGet: {path: /ready, port: admin}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: {{ add (div .Values.server.startSeconds 5) 6 }}
readinessProbe:
  httpGet: {path: /ready, port: admin}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /live, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- end }}

{{/* Before the server: it builds the demo, or only checks that what it is to serve is complete. */}}
{{- define "stream-omni.servedContainer" -}}
- name: {{ eq .Values.served.from "demo" | ternary "build-demo" "check-served" }}
  {{- include "stream-omni.imageOfOurs" . | nindent 2 }}
  {{- if eq .Values.served.from "demo" }}
  command: [python, -m, stream_omni_build.demo, --only-build, --served=/served]
  {{- else }}
  command: [sh, -c]
  args:
    - |
      test -f "$0/manifest.json" && exit 0
      echo "$0 holds no complete build: the build Job of this release has not ended well (kubectl logs), or served.path is wrong" >&2
      exit 1
    - {{ include "stream-omni.repository" . | quote }}
  {{- end }}
  env:
    {{- include "stream-omni.environment" . | nindent 4 }}
  {{- include "stream-omni.containerSecurity" . | nindent 2 }}
  resources:
    requests: {cpu: 100m, memory: 256Mi}
    limits: {memory: 2Gi}
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
    - {name: served, mountPath: /served{{ if ne .Values.served.from "demo" }}, readOnly: true{{ end }}}
{{- end }}
