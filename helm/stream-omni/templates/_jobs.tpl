{{/* The pods of the two Jobs. They run before the release's own objects are there, so without its service account. */}}

{{- define "stream-omni.jobSecurity" -}}
restartPolicy: Never
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .Values.image.user }}
  runAsGroup: {{ .Values.image.user }}
  fsGroup: {{ .Values.image.user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "stream-omni.buildPod" -}}
{{ include "stream-omni.jobSecurity" . }}
{{- include "stream-omni.gpuPlacement" . | nindent 0 }}
containers:
  - name: build
    {{- include "stream-omni.imageOfOurs" . | nindent 4 }}
    command: [stream-omni, build]
    args:
      - --checkpoint=/models/{{ .Values.build.checkpoint }}
      - --cosyvoice=/models/{{ .Values.build.cosyvoice }}
      - --target={{ .Values.build.profile }}
      - --out={{ include "stream-omni.repository" . }}
      {{- range .Values.build.arguments }}
      - {{ . | quote }}
      {{- end }}
    env:
      {{- include "stream-omni.environment" . | nindent 6 }}
    {{- include "stream-omni.containerSecurity" . | nindent 4 }}
    {{- include "stream-omni.resources" (dict "root" . "resources" .Values.build.resources) | nindent 4 }}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      - {name: shared-memory, mountPath: /dev/shm}
      - {name: models, mountPath: /models, readOnly: true}
      - {name: served, mountPath: /served}
volumes:
  - name: tmp
    emptyDir: {}
  - name: shared-memory
    emptyDir: {medium: Memory, sizeLimit: {{ .Values.server.sharedMemory | quote }}}
  - name: models
    persistentVolumeClaim: {claimName: {{ .Values.storage.models.existingClaim | quote }}, readOnly: true}
  - name: served
    persistentVolumeClaim: {claimName: {{ .Values.storage.engines.existingClaim | quote }}}
{{- end }}

{{- define "stream-omni.fetchPod" -}}
{{- $token := .Values.fetch.token }}
{{ include "stream-omni.jobSecurity" . }}
containers:
  - name: fetch
    {{- include "stream-omni.imageOfOurs" . | nindent 4 }}
    {{- if $token.existingSecret }}
    command: [sh, -c, 'HF_TOKEN="$(cat "$0")" exec stream-omni fetch "$@"', /etc/stream-omni/token/{{ $token.key }}]
    {{- else }}
    command: [stream-omni, fetch]
    {{- end }}
    args:
      - --out=/models
      - --stream-omni={{ .Values.fetch.streamOmni }}
      {{- with .Values.fetch.cosyvoice }}
      - --cosyvoice={{ . }}
      {{- end }}
    env:
      {{- include "stream-omni.environment" . | nindent 6 }}
    {{- include "stream-omni.containerSecurity" . | nindent 4 }}
    resources:
      {{- toYaml .Values.fetch.resources | nindent 6 }}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      - {name: models, mountPath: /models}
      {{- if $token.existingSecret }}
      - {name: token, mountPath: /etc/stream-omni/token, readOnly: true}
      {{- end }}
volumes:
  - name: tmp
    emptyDir: {}
  - name: models
    persistentVolumeClaim: {claimName: {{ .Values.storage.models.existingClaim | quote }}}
  {{- if $token.existingSecret }}
  {{- include "stream-omni.secretVolume" (dict "name" "token" "secret" $token.existingSecret) | nindent 2 }}
  {{- end }}
{{- end }}
