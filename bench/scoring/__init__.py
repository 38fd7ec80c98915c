"""What scoring costs: latency, throughput, backlog and the window store, each beside the least that it could cost."""
