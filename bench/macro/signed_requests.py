#!/usr/bin/env python3
"""Signed webhook requests for bench/macro/webhooks: FOLDER/hmac.lines and ecdsa.lines, keys beside them.

A line is a signature (and for ECDSA its time stamp), tabs, and the body: one event each, all different.
HMAC: MailerSend's scheme (hex HMAC-SHA256 of the body). ECDSA: SendGrid's (P-256 over time stamp and body).
ECDSA by libcrypto through ctypes: the openssl command takes 5 ms a signature.
"""
import base64
import ctypes
import ctypes.util
import hashlib
import hmac
import pathlib
import subprocess
import sys
import time


class Signer:
    def __init__(self, pem: bytes) -> None:
        self.lib = lib = ctypes.CDLL(ctypes.util.find_library("crypto") or "libcrypto.so.3")
        for name in ("BIO_new_mem_buf", "PEM_read_bio_PrivateKey", "EVP_MD_CTX_new", "EVP_sha256"):
            getattr(lib, name).restype = ctypes.c_void_p
        bio = ctypes.c_void_p(lib.BIO_new_mem_buf(pem, len(pem)))
        self.key = ctypes.c_void_p(lib.PEM_read_bio_PrivateKey(bio, None, None, None))
        if not self.key:
            sys.exit("signed_requests: libcrypto does not take the key")

    def sign(self, data: bytes) -> bytes:
        lib, out, size = self.lib, ctypes.create_string_buffer(80), ctypes.c_size_t(80)
        context = ctypes.c_void_p(lib.EVP_MD_CTX_new())
        lib.EVP_DigestSignInit(context, None, ctypes.c_void_p(lib.EVP_sha256()), None, self.key)
        if lib.EVP_DigestSign(context, out, ctypes.byref(size), data, ctypes.c_size_t(len(data))) != 1:
            sys.exit("signed_requests: libcrypto does not sign")
        lib.EVP_MD_CTX_free(context)
        return out.raw[:size.value]


def main() -> None:
    folder, count = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    secret = "a secret of the benchmark"
    (folder / "hmac.secret").write_text(secret)
    pem = subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"], check=True, capture_output=True).stdout
    public = subprocess.run(["openssl", "ec", "-pubout"], input=pem, check=True, capture_output=True).stdout
    (folder / "ecdsa.pub").write_bytes(public)
    signer, stamp = Signer(pem), int(time.time())
    with open(folder / "hmac.lines", "w") as lines:
        for n in range(count):
            body = (f'{{"type":"activity.delivered","created_at":"2026-11-20T10:00:00.000000Z","data":{{"id":"e{n}","type":"delivered",'
                    f'"created_at":"2026-11-20T10:00:00.{n % 1000000:06d}Z","email":{{"id":"m{n}","message":{{"id":"x{n}"}},'
                    f'"recipient":{{"email":"user{n}@example{n % 97}.com"}}}}}}}}')
            lines.write(hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest() + "\t\t" + body + "\n")
    with open(folder / "ecdsa.lines", "w") as lines:
        for n in range(count):
            body = (f'[{{"email":"user{n}@example{n % 97}.com","timestamp":1795000000,"event":"delivered","sg_event_id":"e{n}",'
                    f'"sg_message_id":"m{n}.filter1","smtp-id":"<{n}@esp.example>","response":"250 OK"}}]')
            signature = base64.b64encode(signer.sign(str(stamp).encode() + body.encode())).decode()
            lines.write(f"{signature}\t{stamp}\t{body}\n")


main()
