"""How fast the shipped models are on this machine: `audiogen bench`, a measure a file.

A real-time factor is compute time by audio time. Latencies are wall-clock seconds of the call that gives a chunk.
"""
