"""What the outside may know of the running server: figures and health, over HTTP."""
