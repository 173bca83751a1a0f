{{/* How pods of the release reach the servers: through Envoy where it is, else by the headless Service, where the client's
own round robin spreads turns. */}}

{{- define "stream-omni.serverUrl" -}}
{{- if eq .Values.edge.mode "envoy" }}
{{- include "stream-omni.host" (dict "root" . "service" "envoy") }}:{{ .Values.envoy.port }}
{{- else }}
{{- include "stream-omni.host" (dict "root" . "service" "server-headless") }}:{{ .Values.server.ports.grpc }}
{{- end }}
{{- end }}

{{- define "stream-omni.serverName" -}}
{{- .Values.server.tls.serverName | default (include "stream-omni.host" (dict "root" . "service" "server-headless")) }}
{{- end }}

{{/* The Secrets of TLS towards what serverUrl names: "ca" and "client", each may be empty. */}}
{{- define "stream-omni.clientTls" -}}
{{- $envoy := eq .Values.edge.mode "envoy" }}
{{- $ca := $envoy | ternary (.Values.gateway.edgeTls.caSecret | default .Values.envoy.tls.existingSecret) .Values.server.tls.existingSecret }}
{{- $client := $envoy | ternary .Values.gateway.edgeTls.clientSecret .Values.server.tls.clientSecret }}
{{- dict "ca" $ca "client" $client | toJson }}
{{- end }}

{{- define "stream-omni.clientEnvironment" -}}
{{- $tls := include "stream-omni.clientTls" . | fromJson }}
- name: STREAM_OMNI_URL
  value: {{ include "stream-omni.serverUrl" . }}
{{- with .Values.gateway.serverKey }}
{{- if .existingSecret }}
- name: STREAM_OMNI_API_KEY_FILE
  value: /etc/stream-omni/server-key/{{ .key }}
{{- end }}
{{- end }}
{{- if $tls.ca }}
- name: STREAM_OMNI_TLS_CA
  value: /etc/stream-omni/server-ca/ca.crt
{{- end }}
{{- if $tls.client }}
- name: STREAM_OMNI_TLS_CERT
  value: /etc/stream-omni/client/tls.crt
- name: STREAM_OMNI_TLS_KEY
  value: /etc/stream-omni/client/tls.key
{{- end }}
{{- end }}

{{- define "stream-omni.clientMounts" -}}
{{- $tls := include "stream-omni.clientTls" . | fromJson }}
{{- range $name, $secret := dict "server-key" .Values.gateway.serverKey.existingSecret "server-ca" $tls.ca "client" $tls.client }}
{{- if $secret }}
- name: {{ $name }}
  mountPath: /etc/stream-omni/{{ $name }}
  readOnly: true
{{- end }}
{{- end }}
{{- end }}

{{- define "stream-omni.clientVolumes" -}}
{{- $tls := include "stream-omni.clientTls" . | fromJson }}
{{- range $name, $secret := dict "server-key" .Values.gateway.serverKey.existingSecret "client" $tls.client }}
{{- if $secret }}
{{ include "stream-omni.secretVolume" (dict "name" $name "secret" $secret) }}
{{- end }}
{{- end }}
{{- if $tls.ca }}
{{ include "stream-omni.caVolume" (dict "name" "server-ca" "secret" $tls.ca) }}
{{- end }}
{{- end }}

{{- define "stream-omni.secretVolume" -}}
- name: {{ .name }}
  secret:
    secretName: {{ .secret | quote }}
    defaultMode: 0440
{{- end }}

{{/* The public half alone. */}}
{{- define "stream-omni.caVolume" -}}
- name: {{ .name }}
  secret:
    secretName: {{ .secret | quote }}
    defaultMode: 0440
    items:
      - key: ca.crt
        path: ca.crt
{{- end }}
