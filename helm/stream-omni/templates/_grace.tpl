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

{{/* Turns at once, by profile; a test holds them against the profiles. */}}
{{- define "stream-omni.running" -}}
{{- $turns := dict "gpu-1" 16 "gpu-1-24g" 2 "gpu-2" 24 "gpu-torch" 8 "cpu" 8 }}
{{- .Values.server.capacity.running | default (index $turns (eq .Values.served.from "demo" | ternary "cpu" .Values.build.profile)) }}
{{- end }}

{{- define "stream-omni.waiting" -}}
{{- if kindIs "invalid" .Values.server.capacity.waiting }}{{ max 1 (div (include "stream-omni.running" .) 2) }}{{ else }}{{ .Values.server.capacity.waiting }}{{ end }}
{{- end }}

{{- define "stream-omni.maxTurns" -}}
{{- .Values.envoy.maxTurns | default (mul (include "stream-omni.mostReplicas" .) (add (include "stream-omni.running" .) (include "stream-omni.waiting" .))) }}
{{- end }}

{{- define "stream-omni.turnsPerReplica" -}}
{{- .Values.autoscaling.turnsPerReplica | default (max 1 (div (mul 7 (include "stream-omni.running" .)) 10)) }}
{{- end }}
