"""What the response says of the file: its name, its type, and whether it is a web page instead."""
