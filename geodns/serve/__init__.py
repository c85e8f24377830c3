"""From a packet to a reply: the pipeline, the transports around it, and the processes."""
