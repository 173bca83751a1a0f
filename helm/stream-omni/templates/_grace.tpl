{{/* How long ends take, in seconds. docs/reliability.md says what happens in that time. */}}

{{- define "stream-omni.serverNeeds" -}}
{{- add .Values.server.drain.settleSeconds (include "stream-omni.turnsSeconds" .) .Values.server.drain.timeoutSeconds 10 }}
{{- end }}

{{- define "stream-omni.serverGrace" -}}
{{- .Values.server.terminationGracePeriodSeconds | default (include "stream-omni.serverNeeds" .) }}
{{- end }}

{{- define "stream-omni.envoyGrace" -}}
{{- add .Values.envoy.settleSeconds (include "stream-omni.turnsSeconds" .) 10 }}
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

{{/* What a replica of each profile does: turns at once, and the seconds of its longest turn (turn_timeout_s) with the end of
its answer. A test holds them against what the build writes. */}}
{{- define "stream-omni.profile" -}}
{{- $profiles := dict
  "gpu-1" (dict "running" 16 "turnsSeconds" 305)
  "gpu-1-24g" (dict "running" 2 "turnsSeconds" 305)
  "gpu-2" (dict "running" 24 "turnsSeconds" 305)
  "gpu-torch" (dict "running" 8 "turnsSeconds" 305)
  "cpu" (dict "running" 8 "turnsSeconds" 305) }}
{{- index $profiles (include "stream-omni.profileName" .) | toJson }}
{{- end }}

{{- define "stream-omni.profileName" -}}
{{- eq .Values.served.from "demo" | ternary "cpu" .Values.build.profile }}
{{- end }}

{{- define "stream-omni.turnsSeconds" -}}
{{- .Values.server.drain.turnsSeconds | default (include "stream-omni.profile" . | fromJson).turnsSeconds }}
{{- end }}

{{- define "stream-omni.running" -}}
{{- .Values.server.capacity.running | default (include "stream-omni.profile" . | fromJson).running }}
{{- end }}

{{- define "stream-omni.waiting" -}}
{{- if kindIs "invalid" .Values.server.capacity.waiting }}{{ max 1 (div (include "stream-omni.running" .) 2) }}{{ else }}{{ .Values.server.capacity.waiting }}{{ end }}
{{- end }}

{{- define "stream-omni.maxTurns" -}}
{{- .Values.envoy.maxTurns | default (mul (include "stream-omni.mostReplicas" .) (add (include "stream-omni.running" .) (include "stream-omni.waiting" .))) }}
{{- end }}

{{/* The demo is a model of its own: what was measured of it does not count for another one on its profile. */}}
{{- define "stream-omni.measuredName" -}}
{{- eq .Values.served.from "demo" | ternary "demo" .Values.build.profile }}
{{- end }}

{{/* Turns at once that are answered in time: as measured, where the profile's places are the default ones; else its places. */}}
{{- define "stream-omni.turnsInTime" -}}
{{- $running := include "stream-omni.running" . | int }}
{{- $measured := get (.Files.Get "measured/capacity.yaml" | fromYaml) (include "stream-omni.measuredName" .) }}
{{- if or (kindIs "string" $measured) .Values.server.capacity.running }}{{ $running }}{{ else }}{{ min $running $measured }}{{ end }}
{{- end }}

{{- define "stream-omni.turnsPerReplica" -}}
{{- .Values.autoscaling.turnsPerReplica | default (max 1 (div (mul 7 (include "stream-omni.turnsInTime" .)) 10)) }}
{{- end }}
