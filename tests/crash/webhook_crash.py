#!/usr/bin/env python3
"""SIGKILL under webhook load: every event answered 2xx is in the store once, none twice.

Writers post events with a recipient of their own each, tell many again (as providers do when no answer came, and at
random), while the daemon is killed at random moments. In the end every recipient whose event was acknowledged must
have exactly one bounce, and nobody more than one. --kills N, --seed S; 1,000 kills take about half an hour.
"""
import argparse, http.client, json, os, random, shutil, signal, socket, subprocess, sys, tempfile, threading, time

WRITERS = 4


class Writer(threading.Thread):
    """Posts until told to stop; knows which of its events were acknowledged."""

    def __init__(self, number, port, seed):
        super().__init__(daemon=True)
        self.number, self.port, self.random = number, port, random.Random(seed * 100 + number)
        self.next, self.acked, self.open, self.again, self.stop = 0, set(), [], 0, False

    def event(self, n):
        return {"kind": "bounced", "id": f"w{self.number}-{n}", "recipient": f"w{self.number}-{n}@example.com",
                "diagnostic": "550 5.1.1 The email account that you tried to reach does not exist", "smtp_code": 550,
                "time": "2026-11-20T10:00:00Z", "message_id": f"<w{self.number}-{n}@esp.example>"}

    def choose(self):
        if self.open:  # not answered: told again, as a provider would
            return self.open.pop()
        if self.acked and self.random.random() < 0.1:
            self.again += 1
            return [self.random.randrange(self.next)]
        size = self.random.choice((1, 1, 1, 20))
        first, self.next = self.next, self.next + size
        return list(range(first, first + size))

    def run(self):
        connection = None
        while not self.stop or self.open:
            events = self.choose()
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
                body = json.dumps([self.event(n) for n in events])
                connection.request("POST", "/hooks/own", body, {"Content-Type": "application/json", "Authorization": "Bearer x"})
                answer = connection.getresponse()
                answer.read()
                if answer.status // 100 != 2:
                    raise OSError(f"status {answer.status}")
                self.acked.update(events)
            except (OSError, http.client.HTTPException):
                self.open.append(events)
                if connection is not None:
                    connection.close()
                connection = None
                time.sleep(0.01)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--bounced", required=True)
    p.add_argument("--loggen", help="not used")
    p.add_argument("--kills", type=int, default=10)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    rng = random.Random(a.seed)
    folder = tempfile.mkdtemp(prefix="bounced-webhook-crash-")
    data, config = os.path.join(folder, "data"), os.path.join(folder, "b.toml")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with open(config, "w") as f:
        f.write(f'data_dir = "{data}"\nstate_memory = "64MiB"\ncut_interval = "200ms"\n[http]\nlisten = "127.0.0.1:{port}"\n'
                '[[webhook]]\nprovider = "generic"\npath = "/hooks/own"\nbearer = "x"\n')

    def start():
        return subprocess.Popen([a.bounced, "run", "--config", config], stdout=subprocess.DEVNULL,
                                stderr=open(os.path.join(folder, "log"), "a"))

    def acked():
        return sum(len(w.acked) for w in writers)

    writers = [Writer(n, port, a.seed) for n in range(WRITERS)]
    process = start()
    for w in writers:
        w.start()
    for kill in range(a.kills):
        before, end = acked(), time.time() + 60
        while acked() == before and time.time() < end:  # it works again
            time.sleep(0.005)
        if acked() == before:
            sys.exit(f"FAILED: no answer within a minute after kill {kill}; see {folder}/log")
        time.sleep(rng.choice((0, 0.02, 0.1, 0.3, 0.5)) * rng.random())
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = start()
    for w in writers:
        w.stop = True
    for w in writers:
        w.join(timeout=60)
        if w.is_alive():
            sys.exit(f"FAILED: a writer gets no answer; see {folder}/log")
    process.send_signal(signal.SIGTERM)
    if process.wait(timeout=120) != 0:
        sys.exit(f"FAILED: it ends with {process.returncode}; see {folder}/log")
    out = subprocess.run([a.bounced, "list", "--block", "any", "--format", "ndjson", "--data", data], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    stored = {e["address"]: e["totals"]["bounced"] for e in map(json.loads, out.splitlines())}
    expected = {f"w{w.number}-{n}@example.com" for w in writers for n in w.acked}
    lost = expected - stored.keys()
    twice = {address for address, n in stored.items() if n != 1}
    if lost or twice:
        sys.exit(f"FAILED: {len(lost)} of {len(expected)} acknowledged events lost ({sorted(lost)[:5]}), {len(twice)} counted "
                 f"more than once ({sorted(twice)[:5]}); see {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    print(f"{a.kills} kills, {len(expected)} events acknowledged, {sum(w.again for w in writers)} told again on purpose: "
          "0 lost, 0 counted twice")


if __name__ == "__main__":
    main()
