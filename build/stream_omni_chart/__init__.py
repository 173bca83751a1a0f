"""Makes what follows from the chart's values.yaml: the schema that Helm checks values against, and their reference."""
