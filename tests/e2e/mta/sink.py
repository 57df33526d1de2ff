#!/usr/bin/env python3
"""The whole Internet of a private network namespace: DNS on 127.0.0.1:53 and SMTP on port 25 of every address.

usage: sink.py OUT.jsonl     writes what was answered to whom, one object a line; OUT.jsonl.ready when it listens.
A recipient's local part ends in r<N>: N chooses the reply below; r0 and anything else is accepted.
"""
import json, re, socketserver, struct, sys, threading

# N: (stage, how many times, reply); "\n" between the lines of a reply.
REPLIES = {
    1: ("rcpt", 99, "550 5.1.1 <{rcpt}>: there is no mailbox of that name here"),
    2: ("rcpt", 99, "552-5.2.2 The mailbox of {rcpt} is over its quota.\n552-5.2.2 Write again\n552 5.2.2 next month"),
    3: ("rcpt", 1, "450 4.7.1 Greylisted, please come back in a moment"),
    4: ("eod", 99, "554 5.7.1 Message rejected as spam by content scanning"),
    5: ("rcpt", 99, "451 4.3.2 The disk of this server is full, try again later"),
    6: ("rcpt", 99, "550 5.1.1 Empf\u00e4nger unbekannt"),
    7: ("rcpt", 1, "421 4.7.0 Too many connections from your address"),
    8: ("rcpt", 99, "550 5.1.1 status=sent (250 ok) => someone@else.example R=x T=y: unbalanced )"),
}
out, lock, tries = None, threading.Lock(), {}


def tell(**what):
    with lock:
        out.write(json.dumps(what) + "\n")


class Smtp(socketserver.StreamRequestHandler):
    def say(self, text):
        lines = text.split("\n")
        self.wfile.write("".join(line + "\r\n" for line in lines).encode())

    def reply(self, stage, rcpt):
        found = re.search(r"r(\d+)@", rcpt)
        which, times, text = REPLIES.get(int(found.group(1)) if found else 0, ("", 0, ""))
        if which != stage:
            return None
        with lock:
            tries[rcpt] = tries.get(rcpt, 0) + 1
            if tries[rcpt] > times:
                return None
        return text.format(rcpt=rcpt)

    def refuse(self, stage, rcpts, text):
        for rcpt in rcpts:
            tell(rcpt=rcpt, stage=stage, code=int(text[:3]), text=text)
        self.say(text)

    def handle(self):
        host = self.server.server_address[0]
        if self.connection.getsockname()[0] == "198.18.0.2":  # closed.example
            return self.say("554 5.7.1 No service for your address")
        self.say("220 sink.example ESMTP")
        rcpts = []
        for raw in self.rfile:
            line = raw.decode("utf-8", "replace").strip()
            word = line[:4].upper()
            if word in ("EHLO", "HELO"):
                self.say("250-sink.example\n250-PIPELINING\n250 8BITMIME" if word == "EHLO" else "250 sink.example")
            elif word == "MAIL":
                rcpts = []
                self.say("250 2.1.0 Ok")
            elif word == "RCPT":
                rcpt = line[line.index("<") + 1:line.rindex(">")]
                text = self.reply("rcpt", rcpt)
                if text:
                    self.refuse("rcpt", [rcpt], text)
                else:
                    rcpts.append(rcpt)
                    self.say("250 2.1.5 Ok")
            elif word == "DATA":
                if not rcpts:
                    self.say("503 5.5.1 No recipients")
                    continue
                self.say("354 Go on")
                for body in self.rfile:
                    if body.rstrip(b"\r\n") == b".":
                        break
                text = next(filter(None, (self.reply("eod", rcpt) for rcpt in rcpts)), None)
                self.refuse("eod", rcpts, text or "250 2.0.0 Ok: queued as 4F00B4")
            elif word == "QUIT":
                return self.say("221 2.0.0 Bye")
            else:
                self.say("250 2.0.0 Ok")


class Dns(socketserver.BaseRequestHandler):
    """MX of NAME is mx.NAME at 198.18.0.1; nx.example does not exist; closed.example refuses to talk."""

    def handle(self):
        query, sock = self.request
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
            at += query[at] + 1
        name, kind = ".".join(labels).lower(), struct.unpack(">H", query[at + 1:at + 3])[0]
        data = b""
        if kind == 1:
            data = bytes([198, 18, 0, 2 if "closed." in name else 1])
        elif kind == 15:
            data = struct.pack(">H", 10) + b"\x02mx\xc0\x0c"
        missing = name == "nx.example" or name.endswith(".nx.example")
        answer = struct.pack(">HHIH", 0xC00C, kind, 1, 0)[:0]
        if data and not missing:
            answer = b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data
        head = query[:2] + struct.pack(">HHHHH", 0x8580 | (3 if missing else 0), 1, 1 if answer else 0, 0, 0)
        sock.sendto(head + query[12:at + 5] + answer, self.client_address)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 128


def main():
    global out
    out = open(sys.argv[1], "a", buffering=1)
    servers = [Server((ip, 25), Smtp) for ip in ("198.18.0.1", "198.18.0.2")]
    servers.append(socketserver.ThreadingUDPServer(("127.0.0.1", 53), Dns))
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    open(sys.argv[1] + ".ready", "w").close()
    for thread in threads:
        thread.join()


main()
