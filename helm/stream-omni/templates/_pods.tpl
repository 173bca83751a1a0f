{{/* What every pod has in common: the restricted profile, no token, a directory to write to. */}}

{{- define "stream-omni.podSecurity" -}}
serviceAccountName: {{ include "stream-omni.serviceAccount" .root | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user }}
  runAsGroup: {{ .user }}
  fsGroup: {{ .user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "stream-omni.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- define "stream-omni.imageOfOurs" -}}
image: {{ include "stream-omni.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{- define "stream-omni.imageOfGateway" -}}
image: {{ include "stream-omni.gatewayImage" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{- define "stream-omni.environment" -}}
- name: HOME
  value: /tmp
{{- with .Values.server.environment }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "stream-omni.gpuResource" -}}
{{- if .Values.gpu.mig }}nvidia.com/mig-{{ .Values.gpu.mig }}{{ else }}nvidia.com/gpu{{ end }}
{{- end }}

{{/* resources: what the values say, and the GPUs of the pod. */}}
{{- define "stream-omni.resources" -}}
{{- $resources := deepCopy .resources }}
{{- with .root.Values.gpu }}
{{- if .count }}
{{- $gpus := dict (include "stream-omni.gpuResource" $.root) .count }}
{{- $_ := set $resources "limits" (merge $gpus ($resources.limits | default dict)) }}
{{- end }}
{{- end }}
resources:
  {{- toYaml $resources | nindent 2 }}
{{- end }}

{{/* Where a pod that computes may run. */}}
{{- define "stream-omni.gpuPlacement" -}}
{{- $selector := deepCopy .Values.server.nodeSelector }}
{{- if and .Values.gpu.count .Values.gpu.product }}
{{- $_ := set $selector "nvidia.com/gpu.product" .Values.gpu.product }}
{{- end }}
{{- with $selector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.server.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if and .Values.gpu.count .Values.gpu.runtimeClass }}
runtimeClassName: {{ .Values.gpu.runtimeClass | quote }}
{{- end }}
{{- end }}

{{- define "stream-omni.spread" -}}
{{- if .root.Values.topologySpread.enabled }}
topologySpreadConstraints:
  {{- range tuple "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: {{ $.root.Values.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "stream-omni.selectorLabels" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end }}
