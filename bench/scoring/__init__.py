"""What scoring costs: latency, throughput, backlog and the window store, each next to the least that it could cost."""
