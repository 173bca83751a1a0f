"""Names of metrics that other programs export; the tests look them up on the pages of real ones, where those
can run."""

from __future__ import annotations

# Triton's own page. The GPU's are there where there is one
CPU_UTILIZATION = "nv_cpu_utilization"
CPU_MEMORY_USED_BYTES = "nv_cpu_memory_used_bytes"
CPU_MEMORY_TOTAL_BYTES = "nv_cpu_memory_total_bytes"
GPU_UTILIZATION = "nv_gpu_utilization"
GPU_MEMORY_USED_BYTES = "nv_gpu_memory_used_bytes"
GPU_MEMORY_TOTAL_BYTES = "nv_gpu_memory_total_bytes"
GPU_POWER_WATTS = "nv_gpu_power_usage"

# Envoy's /stats/prometheus
ENVOY_REQUESTS = "envoy_cluster_upstream_rq_xx"  # by envoy_response_code_class
ENVOY_ACTIVE = "envoy_cluster_upstream_rq_active"
ENVOY_CONNECTIONS = "envoy_cluster_upstream_cx_active"
ENVOY_OVERFLOWS = "envoy_cluster_upstream_rq_active_overflow"
ENVOY_RETRIES = "envoy_cluster_upstream_rq_retry"
ENVOY_RESETS = "envoy_cluster_upstream_rq_rx_reset"
ENVOY_CONNECT_FAILURES = "envoy_cluster_upstream_cx_connect_fail"
ENVOY_HEALTHY = "envoy_cluster_membership_healthy"
ENVOY_MEMBERS = "envoy_cluster_membership_total"
ENVOY_EJECTED = "envoy_cluster_outlier_detection_ejections_active"
ENVOY_REQUEST_MILLISECONDS = "envoy_cluster_upstream_rq_time"  # a histogram

# kube-state-metrics
HPA_DESIRED = "kube_horizontalpodautoscaler_status_desired_replicas"
HPA_MAXIMUM = "kube_horizontalpodautoscaler_spec_max_replicas"
HPA_CONDITION = "kube_horizontalpodautoscaler_status_condition"

OF_GPU = (GPU_UTILIZATION, GPU_MEMORY_USED_BYTES, GPU_MEMORY_TOTAL_BYTES, GPU_POWER_WATTS)
OF_KUBERNETES = (HPA_DESIRED, HPA_MAXIMUM, HPA_CONDITION)
