"""The OpenAI-compatible gateway: HTTP in front, gRPC to a served Stream-Omni behind. Needs the extra ``gateway``."""
