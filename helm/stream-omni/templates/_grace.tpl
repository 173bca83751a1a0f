{{/* How long ends take, in seconds. docs/reliability.md says what happens in that time. */}}

{{- define "stream-omni.serverNeeds" -}}
{{- with .Values.server.drain }}{{ add .settleSeconds .turnsSeconds .timeoutSeconds 10 }}{{ end }}
{{- end }}

{{- define "stream-omni.serverGrace" -}}
{{- .Values.server.terminationGracePeriodSeconds | default (include "stream-omni.serverNeeds" .) }}
{{- end }}

{{- define "stream-omni.envoyGrace" -}}
{{- add .Values.envoy.settleSeconds .Values.server.drain.turnsSeconds 10 }}
{{- end }}

{{- define "stream-omni.gatewayGrace" -}}
{{- add .Values.gateway.settleSeconds .Values.gateway.turnTimeoutSeconds 10 }}
{{- end }}

{{/* How late Envoy knows that a server leaves: a check may just have passed. */}}
{{- define "stream-omni.healthNoticeSeconds" -}}
{{- with .Values.envoy.healthCheck }}{{ add (mul .intervalSeconds .failures) .timeoutSeconds }}{{ end }}
{{- end }}

{{- define "stream-omni.mostReplicas" -}}
{{- if eq .Values.autoscaling.mode "none" }}{{ .Values.server.replicas }}{{ else }}{{ .Values.autoscaling.maxReplicas }}{{ end }}
{{- end }}

{{- define "stream-omni.maxTurns" -}}
{{- .Values.envoy.maxTurns | default (mul (include "stream-omni.mostReplicas" .) (add .Values.server.capacity.running .Values.server.capacity.waiting)) }}
{{- end }}

{{- define "stream-omni.turnsPerReplica" -}}
{{- .Values.autoscaling.turnsPerReplica | default (max 1 (div (mul 7 .Values.server.capacity.running) 10)) }}
{{- end }}
