"""What Prometheus and Grafana are told of Stream-Omni: recording rules, alerts, dashboards, from the metrics'
own names."""
