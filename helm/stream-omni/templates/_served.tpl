{{/* Which built directory is served, where it lies, and the key under which engines are kept. */}}

{{/* Engines fit one GPU product, one TensorRT, one model and one set of flags: the key is all of them. And the image, which writes more
than engines: what one image built and serves, another one must not change. */}}
{{- define "stream-omni.engineKey" -}}
{{- $gpu := dict "product" .Values.gpu.product "mig" .Values.gpu.mig "count" .Values.gpu.count }}
{{- $model := dict "streamOmni" .Values.fetch.streamOmni "cosyvoice" .Values.fetch.cosyvoice "checkpoint" .Values.build.checkpoint "voice" .Values.build.cosyvoice "claim" .Values.storage.models.existingClaim }}
{{- $flags := dict "profile" .Values.build.profile "arguments" .Values.build.arguments "tensorrt" .Values.build.tensorrt "image" (include "stream-omni.image" .) }}
{{- printf "%s-%s" .Values.build.profile (dict "gpu" $gpu "model" $model "flags" $flags | toJson | sha256sum | trunc 12) }}
{{- end }}

{{/* Below the root of the engines' volume. */}}
{{- define "stream-omni.servedPath" -}}
{{- if eq .Values.served.from "build" }}{{ include "stream-omni.engineKey" . }}{{ else }}{{ .Values.served.path }}{{ end }}
{{- end }}

{{- define "stream-omni.repository" -}}
{{- if eq .Values.served.from "demo" }}/served/demo{{ else }}{{ printf "/served/%s" (include "stream-omni.servedPath" .) | trimSuffix "/" }}{{ end }}
{{- end }}

{{/* A Job's specification cannot change, so its name follows from it. The argument: root, component, pod (its text). */}}
{{- define "stream-omni.jobName" -}}
{{- printf "%s-%s-%s" (include "stream-omni.fullname" .root) .component (.spec | sha256sum | trunc 8) }}
{{- end }}
