"""baseplate.py's own serialize_v2_event, alone (`serialize`) or with its EventQueue (`put`), whose kernel queue a
second process empties. Arguments: the task's JSON, the engine, and the IDL of examples/thrift."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import posix_ipc
from baseplate.lib.events import EventQueue, EventQueueFullError, serialize_v2_event

task, engine, idl = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
generated = tempfile.mkdtemp(dir=task["directory"])
subprocess.run(["thrift", "--gen", "py", "-out", generated, idl], check=True)
sys.path.insert(0, generated)
from event.ttypes import ActionInfo, Event, Geo, Request, User  # noqa: E402 (generated just now)

# The same 15 fields as in serialize.ts.
event = Event(
    source="web",
    action="view",
    noun="page",
    client_timestamp=1_790_000_000_000,
    uuid="8b9c1c8e-3f53-4c6f-9d0e-0a3c8f1b2d4e",
    user=User(id="t2_abc123", logged_in=True),
    request=Request(user_agent="Mozilla/5.0", domain="example.com", port=443),
    geo=Geo(country_code="DE", lat=52.5),
    action_info=ActionInfo(type="link", success=True),
    is_debug=False,
)


def start_reader(queue):
    pid = os.fork()
    while pid == 0:
        queue.get()
    return pid


def put_all(queue, count):
    for _ in range(count):
        while True:
            try:
                queue.put(event)
                break
            except EventQueueFullError:
                time.sleep(0.001)


def work(count):
    if engine == "put":
        put_all(events, count)
    else:
        for _ in range(count):
            serialize_v2_event(event)


if engine == "put":
    # Made before, and smaller: 10,000 messages of 100 KiB are more than a process may have, by default.
    name = f"bench-{os.getpid()}"
    posix_ipc.MessageQueue(f"/events-{name}", posix_ipc.O_CREAT, max_messages=1_000, max_message_size=512)
    events = EventQueue(name, serialize_v2_event)
    reader = start_reader(events.queue)
try:
    work(int(task["events"] / 10))
    started_at = time.perf_counter()
    work(int(task["events"]))
    print(json.dumps({"perS": task["events"] / (time.perf_counter() - started_at)}))
finally:
    if engine == "put":
        os.kill(reader, signal.SIGKILL)
        events.queue.unlink()
