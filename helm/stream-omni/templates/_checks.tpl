{{/* Combinations that cannot work, each with the reason. NOTES.txt and every workload include this. */}}

{{- define "stream-omni.check" -}}
{{- $v := .Values }}
{{- if and (eq $v.served.from "build") (eq $v.build.profile "gpu-2") (ne (int $v.gpu.count) 2) }}
{{- fail (printf "build.profile gpu-2 puts the language model on a second GPU of the same pod: set gpu.count to 2, not %d" (int $v.gpu.count)) }}
{{- end }}
{{- if and (eq $v.served.from "build") (hasPrefix "gpu-" $v.build.profile) (ne $v.build.profile "gpu-2") (ne (int $v.gpu.count) 1) }}
{{- fail (printf "build.profile %s uses one GPU: set gpu.count to 1, not %d; more replicas use more GPUs" $v.build.profile (int $v.gpu.count)) }}
{{- end }}
{{- if and (eq $v.served.from "build") (eq $v.build.profile "cpu") (gt (int $v.gpu.count) 0) }}
{{- fail "build.profile cpu uses no GPU: set gpu.count to 0" }}
{{- end }}
{{- if and (eq $v.served.from "demo") (gt (int $v.gpu.count) 0) }}
{{- fail "served.from demo is built for CPU: set gpu.count to 0 (values-cpu.yaml does)" }}
{{- end }}
{{- if and $v.gpu.mig (gt (int $v.gpu.count) 1) }}
{{- fail "gpu.mig with gpu.count above 1: a process sees one MIG instance only" }}
{{- end }}
{{- if and (or $v.gpu.mig $v.gpu.product $v.gpu.runtimeClass) (eq (int $v.gpu.count) 0) }}
{{- fail "gpu.mig, gpu.product or gpu.runtimeClass without gpu.count: no GPU is asked for" }}
{{- end }}
{{- if and (eq $v.served.from "build") (has $v.build.profile (list "gpu-1" "gpu-1-24g" "gpu-2")) (not (and $v.gpu.product $v.build.tensorrt)) }}
{{- fail (printf "build.profile %s compiles engines, which fit one GPU product and one TensorRT only: set gpu.product (kubectl get nodes -L nvidia.com/gpu.product) and build.tensorrt (the version in the image)" $v.build.profile) }}
{{- end }}
{{- if and (ne $v.served.from "demo") (not $v.storage.engines.existingClaim) }}
{{- fail (printf "served.from %s needs storage.engines.existingClaim, the volume of built directories; it outlives releases, so the chart makes none (README.md, Volumes)" $v.served.from) }}
{{- end }}
{{- if and (eq $v.served.from "build") (not $v.storage.models.existingClaim) }}
{{- fail "served.from build needs storage.models.existingClaim, the volume of checkpoints; fetch.enabled fills it" }}
{{- end }}
{{- if and $v.fetch.enabled (ne $v.served.from "build") }}
{{- fail (printf "fetch.enabled with served.from %s: nothing would read the checkpoints" $v.served.from) }}
{{- end }}
{{- if and (eq $v.served.from "volume") (not $v.server.capacity.running) }}
{{- fail "served.from volume needs server.capacity.running, the turns at once of its profile: the edge and the autoscaler count with them" }}
{{- end }}
{{- if and (eq $v.served.from "volume") (not $v.server.drain.turnsSeconds) }}
{{- fail "served.from volume needs server.drain.turnsSeconds, turn_timeout_s of its profile and 5: so long a pod that ends lets its turns finish" }}
{{- end }}
{{- if and (ne $v.served.from "volume") $v.served.path }}
{{- fail (printf "served.path with served.from %s: the directory's name follows from its key" $v.served.from) }}
{{- end }}
{{- include "stream-omni.checkScaling" . }}
{{- include "stream-omni.checkTimes" . }}
{{- include "stream-omni.checkAccess" . }}
{{- end }}

{{- define "stream-omni.checkScaling" -}}
{{- $v := .Values }}
{{- if gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas) }}
{{- fail (printf "autoscaling.minReplicas %d is above maxReplicas %d" (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) }}
{{- end }}
{{- if and (eq $v.autoscaling.mode "keda") (not $v.autoscaling.prometheusUrl) }}
{{- fail "autoscaling.mode keda needs autoscaling.prometheusUrl, whom to ask for the turns" }}
{{- end }}
{{- if and (eq $v.autoscaling.mode "hpa") $v.autoscaling.prometheusUrl }}
{{- fail "autoscaling.prometheusUrl is KEDA's; with mode hpa, prometheus-adapter knows its Prometheus by itself" }}
{{- end }}
{{- if and (ne $v.autoscaling.mode "none") (gt (int (include "stream-omni.turnsPerReplica" .)) (int (include "stream-omni.running" .))) }}
{{- fail (printf "autoscaling.turnsPerReplica %s is above the %s turns that one can run: replicas would be full before one is added" (include "stream-omni.turnsPerReplica" .) (include "stream-omni.running" .)) }}
{{- end }}
{{- if and (ne $v.autoscaling.mode "none") (eq $v.edge.mode "none") (not $v.gateway.enabled) }}
{{- fail "autoscaling with edge.mode none and no gateway: new replicas get turns only from clients that look names up again; take edge.mode envoy" }}
{{- end }}
{{- if and (eq (int $v.server.maxSurge) 0) (eq (int $v.server.maxUnavailable) 0) }}
{{- fail "server.maxSurge and server.maxUnavailable are both 0: no new version could ever start" }}
{{- end }}
{{- end }}

{{- define "stream-omni.checkTimes" -}}
{{- $v := .Values }}
{{- $needs := int (include "stream-omni.serverNeeds" .) }}
{{- if lt (int (include "stream-omni.serverGrace" .)) $needs }}
{{- fail (printf "server.terminationGracePeriodSeconds %d is shorter than the drain, which takes up to %d s: turns would be killed; leave it empty, or shorten server.drain" (int $v.server.terminationGracePeriodSeconds) $needs) }}
{{- end }}
{{- $notice := int (include "stream-omni.healthNoticeSeconds" .) }}
{{- if and (eq $v.edge.mode "envoy") (lt (int $v.server.drain.settleSeconds) $notice) }}
{{- fail (printf "server.drain.settleSeconds %d is shorter than Envoy needs to notice that a server leaves, %d s (envoy.healthCheck: intervalSeconds x failures + timeoutSeconds): it would still send turns" (int $v.server.drain.settleSeconds) $notice) }}
{{- end }}
{{- end }}

{{- define "stream-omni.checkAccess" -}}
{{- $v := .Values }}
{{- $s := $v.server.tls }}
{{- if and (not $s.existingSecret) (or $s.clientCA $s.clientSecret $s.serverName) }}
{{- fail "server.tls.clientCA, clientSecret and serverName need server.tls.existingSecret: without a certificate there is no TLS" }}
{{- end }}
{{- if ne (empty $s.clientCA) (empty $s.clientSecret) }}
{{- fail "server.tls.clientCA and server.tls.clientSecret need each other: with mutual TLS the edge, the gateway and the supervisor must show a certificate, and without it nobody looks at one" }}
{{- end }}
{{- if and $v.envoy.tls.clientCA (not $v.envoy.tls.existingSecret) }}
{{- fail "envoy.tls.clientCA needs envoy.tls.existingSecret: without a certificate there is no TLS" }}
{{- end }}
{{- if and (ne $v.edge.mode "envoy") (or $v.envoy.tls.existingSecret $v.gateway.edgeTls.caSecret $v.gateway.edgeTls.clientSecret) }}
{{- fail (printf "envoy.tls and gateway.edgeTls with edge.mode %s: there is no Envoy" $v.edge.mode) }}
{{- end }}
{{- if and $v.gateway.edgeTls.clientSecret (not $v.envoy.tls.existingSecret) }}
{{- fail "gateway.edgeTls.clientSecret without envoy.tls.existingSecret: nobody would ask for it" }}
{{- end }}
{{- if and $v.gateway.enabled (eq $v.edge.mode "envoy") $v.envoy.tls.clientCA (not $v.gateway.edgeTls.clientSecret) }}
{{- fail "envoy.tls.clientCA lets in only who shows a certificate: name the gateway's in gateway.edgeTls.clientSecret" }}
{{- end }}
{{- if and $v.gateway.enabled $v.server.apiKeys.existingSecret (not $v.gateway.serverKey.existingSecret) }}
{{- fail "server.apiKeys lets in only who sends a key: name the gateway's own in gateway.serverKey.existingSecret" }}
{{- end }}
{{- if and $v.tests.enabled $v.server.apiKeys.existingSecret (not $v.gateway.serverKey.existingSecret) }}
{{- fail "server.apiKeys lets in only who sends a key: name one for helm test in gateway.serverKey.existingSecret, or disable tests" }}
{{- end }}
{{- if and (eq $v.edge.mode "gatewayApi") (not $v.edge.gatewayApi.parentRefs) }}
{{- fail "edge.mode gatewayApi needs edge.gatewayApi.parentRefs: a route of no gateway carries nothing" }}
{{- end }}
{{- if and (ne $v.edge.mode "gatewayApi") (or $v.edge.gatewayApi.parentRefs $v.edge.gatewayApi.hostnames) }}
{{- fail (printf "edge.gatewayApi with edge.mode %s: it would do nothing" $v.edge.mode) }}
{{- end }}
{{- $ports := list (int $v.server.ports.grpc) (int $v.server.ports.metrics) (int $v.server.ports.admin) }}
{{- if ne (len ($ports | uniq)) 3 }}
{{- fail (printf "server.ports must differ: grpc, metrics and admin are %v" $ports) }}
{{- end }}
{{- if eq (int $v.envoy.port) (int $v.envoy.statsPort) }}
{{- fail "envoy.port and envoy.statsPort must differ" }}
{{- end }}
{{- range $port := list (int $v.envoy.port) (int $v.envoy.statsPort) }}
{{- if eq $port 9901 }}
{{- fail "port 9901 of Envoy is its administration's, which only its own pod reaches" }}
{{- end }}
{{- end }}
{{- range $door := list "envoy" "gateway" }}
{{- $used := eq $door "envoy" | ternary (eq $v.edge.mode "envoy") $v.gateway.enabled }}
{{- if and $used (ne (index $v $door).service.type "ClusterIP") $v.networkPolicy.enabled (not $v.networkPolicy.clients) }}
{{- fail (printf "%s.service.type %s opens a way from outside, and networkPolicy.clients, empty, lets in pods of this namespace only: name who may come, such as {cidr: 203.0.113.0/24}" $door (index $v $door).service.type) }}
{{- end }}
{{- end }}
{{- if and $v.gateway.fetchPictures $v.networkPolicy.enabled (not $v.networkPolicy.outside) }}
{{- fail "gateway.fetchPictures needs networkPolicy.outside: pictures could not be reached" }}
{{- end }}
{{- if and $v.fetch.enabled $v.networkPolicy.enabled (not $v.networkPolicy.outside) }}
{{- fail "fetch.enabled needs networkPolicy.outside: the hubs could not be reached" }}
{{- end }}
{{- end }}
