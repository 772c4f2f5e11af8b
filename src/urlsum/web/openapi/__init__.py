"""The description of the API behind /openapi.json: its operations and its schemas."""
