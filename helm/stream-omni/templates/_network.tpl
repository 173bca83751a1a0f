{{/* Ways between pods. */}}

{{/* peers, as entries of from or to. */}}
{{- define "stream-omni.peers" -}}
{{- range . }}
{{- if .cidr }}
- ipBlock: {cidr: {{ .cidr | quote }}}
{{- else }}
- namespaceSelector: {matchLabels: {{ .namespace | default dict | toJson }}}
  podSelector: {matchLabels: {{ .pods | default dict | toJson }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "stream-omni.clientPeers" -}}
{{- with .Values.networkPolicy.clients }}
{{- include "stream-omni.peers" . }}
{{- else }}
- podSelector: {}
{{- end }}
{{- end }}

{{/* The argument: root, and a list of components. */}}
{{- define "stream-omni.componentPeers" -}}
{{- range .components }}
- podSelector:
    matchLabels:
      {{- include "stream-omni.selectorLabels" (dict "root" $.root "component" .) | nindent 6 }}
{{- end }}
{{- end }}

{{- define "stream-omni.tcp" -}}
ports:
  {{- range . }}
  - {protocol: TCP, port: {{ . }}}
  {{- end }}
{{- end }}

{{- define "stream-omni.dnsWay" -}}
- to:
    {{- include "stream-omni.peers" .Values.networkPolicy.dns | nindent 4 }}
  ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end }}

{{- define "stream-omni.outsideWay" -}}
- to:
    {{- range .root.Values.networkPolicy.outside }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  {{- include "stream-omni.tcp" .ports | nindent 2 }}
{{- end }}

{{/* Where turns are sent to by pods of the release. */}}
{{- define "stream-omni.turnsWay" -}}
{{- $envoy := eq .Values.edge.mode "envoy" }}
- to:
    {{- include "stream-omni.componentPeers" (dict "root" . "components" (list ($envoy | ternary "envoy" "server"))) | nindent 4 }}
  {{- include "stream-omni.tcp" (list ($envoy | ternary (int .Values.envoy.port) (int .Values.server.ports.grpc))) | nindent 2 }}
{{- end }}
