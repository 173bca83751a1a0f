{{/* Names, labels and images. The argument is the root context, or a dict with "root" and "component". */}}

{{- define "stream-omni.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "stream-omni.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "stream-omni.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "stream-omni.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Alerts find autoscalers by the product in their name, whatever the release is called. */}}
{{- define "stream-omni.scalerName" -}}
{{- $name := printf "%s-server" (include "stream-omni.fullname" .) }}
{{- contains "stream-omni" $name | ternary $name (printf "%s-stream-omni" $name) }}
{{- end }}

{{- define "stream-omni.selectorLabels" -}}
app.kubernetes.io/name: {{ include "stream-omni.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Of everything of the release, whatever the component. */}}
{{- define "stream-omni.releaseLabels" -}}
app.kubernetes.io/name: {{ include "stream-omni.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "stream-omni.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 }}
{{ include "stream-omni.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: stream-omni
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "stream-omni.metadata" -}}
name: {{ .name | default (printf "%s-%s" (include "stream-omni.fullname" .root) .component) | quote }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "stream-omni.labels" . | nindent 2 }}
{{- end }}

{{/* The argument: repository, tag, digest. */}}
{{- define "stream-omni.imageName" -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag }}{{ end }}
{{- end }}

{{- define "stream-omni.image" -}}
{{- $image := .Values.image }}
{{- include "stream-omni.imageName" (dict "repository" $image.repository "tag" ($image.tag | default .Chart.AppVersion) "digest" $image.digest) }}
{{- end }}

{{/* Another repository or tag has another digest. */}}
{{- define "stream-omni.gatewayImage" -}}
{{- $image := .Values.image }}
{{- $mine := .Values.gateway.image }}
{{- $digest := $mine.digest }}
{{- if not (or $mine.repository $mine.tag $mine.digest) }}{{ $digest = $image.digest }}{{ end }}
{{- include "stream-omni.imageName" (dict "repository" ($mine.repository | default $image.repository) "tag" ($mine.tag | default $image.tag | default .Chart.AppVersion) "digest" $digest) }}
{{- end }}

{{- define "stream-omni.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "stream-omni.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "stream-omni.host" -}}
{{ include "stream-omni.fullname" .root }}-{{ .service }}.{{ .root.Release.Namespace }}.svc
{{- end }}
