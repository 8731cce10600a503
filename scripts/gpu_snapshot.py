"""A snapshot of the allocator that the program wrote when memory ran out, read by torch's own tools."""
import pickle

BLOCK = {"address": 4096, "size": 1024, "requested_size": 1000, "state": "active_allocated", "frames": []}
SEGMENT = {"device": 0, "address": 4096, "total_size": 1024, "allocated_size": 1024, "active_size": 1024,
           "requested_size": 1000, "stream": 0, "segment_type": "small", "segment_pool_id": (0, 0),
           "is_expandable": False, "frames": [], "blocks": [BLOCK]}
ENTRIES = [{"action": "segment_alloc", "addr": 4096, "size": 1024, "stream": 0, "frames": [], "time_us": 1},
           {"action": "alloc", "addr": 4096, "size": 1024, "stream": 0, "frames": [], "time_us": 2},
           {"action": "oom", "device_free": 0, "size": 2048, "stream": 0, "frames": [], "time_us": 3}]
# To try the reading where there is no GPU.
MADE_UP = {"segments": [SEGMENT], "device_traces": [ENTRIES], "allocator_settings": {}, "external_annotations": []}


def read(path):
    """What is in it, in words, and checks: what must be, and whether it is."""
    from torch.cuda import _memory_viz
    with open(path, "rb") as file:
        snapshot = pickle.load(file)
    segments, traces = snapshot["segments"], snapshot["device_traces"]
    allocated = sum(segment["allocated_size"] for segment in segments)
    filled = all(sum(block["size"] for block in segment["blocks"]) == segment["total_size"] for segment in segments)
    actions = {entry["action"] for trace in traces for entry in trace}
    checks = [("it has segments", segments),
              ("something is allocated", allocated > 0),
              ("blocks fill their segments", filled),
              ("it has a history of allocations", "alloc" in actions),
              ("the history has the failure", "oom" in actions),
              ("torch sums it up", _memory_viz.segsum(snapshot)),
              ("torch draws it", "<script" in _memory_viz.trace_plot(snapshot))]
    entries, size = sum(map(len, traces)), path.stat().st_size
    return f"{len(segments)} segments, {allocated} bytes allocated, {entries} entries, {size} bytes", checks
