"""The description of the API behind /openapi.json: its operations, their responses, and the schemas of both."""
