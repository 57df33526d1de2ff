#!/usr/bin/env python3
"""Writes signatures.jsonl: requests signed by an independent implementation (Python's hmac and
hashlib, the openssl command), good and bad, with what verify() must say of each.

One JSON object a line: name, config (fields of EndpointConfig), request, now (Unix seconds), expect.
New keys at every run; the output is committed.   ./make_signatures.py > signatures.jsonl
"""
import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
import tempfile
import urllib.parse

NOW = 1798761600  # later than the certificates begin
folder = tempfile.mkdtemp()


def openssl(*arguments, data=b""):
    return subprocess.run(["openssl", *arguments], input=data, check=True, capture_output=True,
                          cwd=folder).stdout


def private_key(name, *options):
    openssl("genpkey", *options, "-out", name)
    return name


def public_pem(name):
    return openssl("pkey", "-in", name, "-pubout").decode()


def public_der(name):
    return base64.b64encode(openssl("pkey", "-in", name, "-pubout", "-outform", "DER")).decode()


def sign(name, digest, data):
    return base64.b64encode(openssl("dgst", "-" + digest, "-sign", name, data=data)).decode()


def certificate(name, out, days, *more):
    openssl("req", "-new", "-x509", "-key", name, "-subj", "/CN=sns.amazonaws.com", "-days", days,
            "-out", out, *more)
    with open(os.path.join(folder, out)) as file:
        return file.read()


def mac(key, data, digest=hashlib.sha256):
    key = key.encode() if isinstance(key, str) else key
    data = data.encode() if isinstance(data, str) else data
    return hmac.new(key, data, digest)


def b64(data):
    return base64.b64encode(data).decode()


def case(name, config, expect, body, headers=None, now=NOW, **request):
    request.update(headers=headers or {}, body=body)
    print(json.dumps({"name": name, "config": config, "request": request, "now": now,
                      "expect": expect}))


rsa = private_key("rsa.pem", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
rsa_other = private_key("rsa2.pem", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
ec = private_key("ec.pem", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
ec_other = private_key("ec2.pem", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")

# --- SNS ---------------------------------------------------------------------------------------
TOPIC = "arn:aws:sns:eu-west-1:111122223333:mail"
pem = certificate(rsa, "cert.pem", "36500")
pem_other = certificate(rsa_other, "cert2.pem", "36500")
sns = {"provider": "ses", "certificates": [pem], "topics": [TOPIC]}


def envelope(key=rsa, version="1", **fields):
    message = {"Type": "Notification", "MessageId": "m-1", "TopicArn": TOPIC,
               "Message": "{\"notificationType\":\"Send\"}\n \u00e9 \"q\"",
               "Timestamp": "2026-11-22T11:59:00.000Z", "SignatureVersion": version,
               "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/S-1.pem"}
    message.update(fields)
    names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn",
             "Type"]
    if message["Type"] == "Notification":
        names = [n for n in names if n not in ("SubscribeURL", "Token")]
    text = "".join("%s\n%s\n" % (n, message[n]) for n in names if message.get(n) is not None)
    message["Signature"] = sign(key, {"1": "sha1", "2": "sha256"}[version], text.encode())
    return message


case("sns 1", sns, "ok", json.dumps(envelope()))
case("sns 2", sns, "ok", json.dumps(envelope(version="2")))
case("sns with a subject", sns, "ok", json.dumps(envelope(Subject="Amazon SES \u2013 x")))
case("sns subject null", sns, "ok", json.dumps(envelope(Subject=None)))
case("sns escaped otherwise", sns, "ok", json.dumps(envelope(), ensure_ascii=False, indent=1))
case("sns confirmation", sns, "ok", json.dumps(envelope(
    Type="SubscriptionConfirmation", Token="t",
    SubscribeURL="https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&a=b")))
case("sns ended", sns, "ok", json.dumps(envelope(
    version="2", Type="UnsubscribeConfirmation", Token="t",
    SubscribeURL="https://sns.eu-west-1.amazonaws.com/?x")))
case("sns second pinned certificate", dict(sns, certificates=[pem_other, pem]), "ok",
     json.dumps(envelope()))
case("sns other key", sns, "bad", json.dumps(envelope(key=rsa_other)))
case("sns changed", sns, "bad", json.dumps(dict(envelope(), Message="{}")))
case("sns changed version", sns, "bad", json.dumps(dict(envelope(), SignatureVersion="2")))
case("sns version 3", sns, "bad", json.dumps(dict(envelope(), SignatureVersion="3")))
case("sns not base64", sns, "bad", json.dumps(dict(envelope(), Signature="***")))
case("sns topic of somebody else", sns, "not_ours", json.dumps(envelope(
    TopicArn="arn:aws:sns:eu-west-1:999999999999:mail")))
case("sns certificate expired", sns, "bad", json.dumps(envelope()), now=NOW + 101 * 366 * 86400)
case("sns old, window", dict(sns, replay_window_s=600), "stale",
     json.dumps(envelope(Timestamp="2026-12-31T23:00:00.000Z")))
case("sns raw delivery has no signature", sns, "missing", '{"eventType":"Bounce"}',
     {"x-amz-sns-rawdelivery": "true"})
case("sns lambda", sns, "ok", json.dumps({"Records": [
    {"Sns": envelope()}, {"Sns": envelope(version="2")}]}))
case("sns lambda, one bad", sns, "bad", json.dumps({"Records": [
    {"Sns": envelope()}, {"Sns": envelope(key=rsa_other)}]}))
case("sns no JSON", sns, "missing", "x")
case("sns basic only, other topic", {"provider": "ses", "basic_auth": "u:p", "topics": [TOPIC]},
     "not_ours", '{"eventType":"Bounce"}',
     {"authorization": "Basic " + b64(b"u:p"), "x-amz-sns-topic-arn": "arn:other"})

# --- SendGrid ----------------------------------------------------------------------------------
SG = "x-twilio-email-event-webhook-"
body = "[{\"email\":\"anna@far.example\",\"event\":\"delivered\"}]\r\n"


def sendgrid(key, stamp, data):
    return {SG + "signature": sign(key, "sha256", (stamp + data).encode()),
            SG + "timestamp": stamp}


for form in (public_der(ec), public_pem(ec)):
    case("sendgrid", {"provider": "sendgrid", "secrets": [form]}, "ok", body,
         sendgrid(ec, str(NOW), body))
sg = {"provider": "sendgrid", "secrets": [public_der(ec_other), public_der(ec)]}
case("sendgrid rotation", sg, "ok", body, sendgrid(ec, str(NOW), body))
case("sendgrid without its last bytes", sg, "bad", body.strip(), sendgrid(ec, str(NOW), body))
case("sendgrid other stamp", sg, "bad", body,
     dict(sendgrid(ec, str(NOW), body), **{SG + "timestamp": str(NOW + 1)}))
case("sendgrid no signature", sg, "missing", body, {SG + "timestamp": str(NOW)})
case("sendgrid window", dict(sg, replay_window_s=60), "stale", body,
     sendgrid(ec, str(NOW - 120), body))
case("sendgrid no DER", sg, "bad", body, {SG + "signature": "AAAA", SG + "timestamp": str(NOW)})

# --- Mailgun -----------------------------------------------------------------------------------
mg = {"provider": "mailgun", "secrets": ["old-key", "key-1"]}


def mailgun(key, stamp, signed, **fields):
    signature = {"timestamp": stamp, "token": signed,
                 "signature": mac(key, stamp + signed).hexdigest()}
    signature.update(fields)
    return json.dumps({"event-data": {"event": "opened"}, "signature": signature})


case("mailgun", mg, "ok", mailgun("key-1", str(NOW), "t" * 50))
case("mailgun number as stamp", mg, "ok",
     mailgun("key-1", str(NOW), "t2").replace('"%d"' % NOW, str(NOW)))
case("mailgun other key", mg, "bad", mailgun("key-2", str(NOW), "t3"))
case("mailgun other token", mg, "bad", mailgun("key-1", str(NOW), "t4", token="t5"))
case("mailgun two days old", mg, "stale", mailgun("key-1", str(NOW - 172800), "t6"))
case("mailgun unsigned", mg, "missing", '{"event-data":{}}')
case("mailgun form", mg, "ok", urllib.parse.urlencode(
    {"event": "bounced", "timestamp": str(NOW), "token": "t7",
     "signature": mac("key-1", str(NOW) + "t7").hexdigest()}))

# --- Mandrill ----------------------------------------------------------------------------------
URL = "https://u:p@mx.example/hook?x=1"
md = {"provider": "mandrill", "secrets": ["md-key"]}


def mandrill(key, fields, url=URL):
    text = url + "".join(k + fields[k] for k in sorted(fields))
    return {"x-mandrill-signature": b64(mac(key, text, hashlib.sha1).digest()),
            "content-type": "application/x-www-form-urlencoded"}


fields = {"mandrill_events": json.dumps([{"event": "spam"}]), "another": "a b+c&d"}
case("mandrill", md, "ok", urllib.parse.urlencode(fields), mandrill("md-key", fields), url=URL)
case("mandrill other URL", md, "bad", urllib.parse.urlencode(fields), mandrill("md-key", fields),
     url="https://mx.example/hook")
case("mandrill other key", md, "bad", urllib.parse.urlencode(fields), mandrill("k", fields),
     url=URL)
case("mandrill unsigned", md, "missing", urllib.parse.urlencode(fields), url=URL)
test = {"mandrill_events": "[]"}
case("mandrill test post", md, "ok", urllib.parse.urlencode(test), mandrill("test-webhook", test),
     url=URL)
case("mandrill HEAD", md, "ok", "", method="HEAD")

# --- Standard Webhooks -------------------------------------------------------------------------
raw = os.urandom(24)
rs = {"provider": "resend", "secrets": ["whsec_" + b64(os.urandom(24)), "whsec_" + b64(raw)]}
body = "{\"type\":\"email.opened\",\"x\":\"\u00e9\"}"


def standard(key, stamp, data, prefix="svix", lead=""):
    signature = b64(mac(key, "msg_1.%s.%s" % (stamp, data)).digest())
    return {prefix + "-id": "msg_1", prefix + "-timestamp": str(stamp),
            prefix + "-signature": lead + "v1," + signature}


case("resend", rs, "ok", body, standard(raw, NOW, body))
case("resend, the standard's names", rs, "ok", body, standard(raw, NOW, body, "webhook"))
case("resend, a list", rs, "ok", body, standard(raw, NOW, body, lead="v1a,xx v1,AAAA "))
case("resend 6 minutes old", rs, "stale", body, standard(raw, NOW - 360, body))
case("resend 6 minutes ahead", rs, "stale", body, standard(raw, NOW + 360, body))
case("resend changed", rs, "bad", body + " ", standard(raw, NOW, body))
case("resend other key", rs, "bad", body, standard(b"x", NOW, body))
case("resend unsigned", rs, "missing", body)

# --- hex HMAC of the body ----------------------------------------------------------------------
for provider, header in (("mailersend", "signature"), ("mailtrap", "mailtrap-signature"),
                         ("generic", "x-webhook-signature")):
    config = {"provider": provider, "secrets": ["s-1", "s-2"]}
    case(provider, config, "ok", body, {header: mac("s-2", body).hexdigest()})
    case(provider + " prefix", config, "ok", body, {header: "sha256=" + mac("s-1", body).hexdigest()})
    case(provider + " changed", config, "bad", body + "x", {header: mac("s-2", body).hexdigest()})
    case(provider + " unsigned", config, "missing", body)
case("generic standard", {"provider": "generic", "secrets": ["s-1"]}, "ok", body,
     standard("s-1", NOW, body, "webhook"))

# --- Postal ------------------------------------------------------------------------------------
pl = {"provider": "postal", "secrets": [public_pem(rsa)]}
case("postal 256", pl, "ok", body, {"x-postal-signature-256": sign(rsa, "sha256", body.encode())})
case("postal sha1", pl, "ok", body, {"x-postal-signature": sign(rsa, "sha1", body.encode())})
case("postal base64 key", dict(pl, secrets=[public_der(rsa)]), "ok", body,
     {"x-postal-signature": sign(rsa, "sha1", body.encode())})
case("postal, the stronger decides", pl, "bad", body,
     {"x-postal-signature": sign(rsa, "sha1", body.encode()),
      "x-postal-signature-256": sign(rsa_other, "sha256", body.encode())})
case("postal changed", pl, "bad", body + "x",
     {"x-postal-signature-256": sign(rsa, "sha256", body.encode())})
case("postal unsigned", pl, "missing", body)

# --- ZeptoMail ---------------------------------------------------------------------------------
zm = {"provider": "zeptomail", "secrets": ["zk"]}


def zeptomail(key, data, stamp=NOW * 1000):
    return {"producer-signature": "ts=%d;s=%s;s-algorithm=HmacSHA256" % (
        stamp, urllib.parse.quote(b64(mac(key, data).digest()), safe=""))}


case("zeptomail JSON", zm, "ok", body, zeptomail("zk", body))
case("zeptomail form", zm, "ok", "data=" + urllib.parse.quote_plus(body), zeptomail("zk", body))
case("zeptomail with the stamp", zm, "ok", body, zeptomail("zk", "%d%s" % (NOW * 1000, body)))
case("zeptomail old", zm, "stale", body, zeptomail("zk", body, (NOW - 90000) * 1000))
case("zeptomail other key", zm, "bad", body, zeptomail("zx", body))
case("zeptomail unsigned", zm, "missing", body)

# --- Unisender ---------------------------------------------------------------------------------
us = {"provider": "unisender", "secrets": ["api-key"]}


def unisender(key):
    text = '{"auth":"%s","events_by_user":[{"events":[]}]}'
    return text % hashlib.md5((text % key).encode()).hexdigest()


case("unisender", us, "ok", unisender("api-key"))
case("unisender other key", us, "bad", unisender("other"))
case("unisender changed", us, "bad", unisender("api-key").replace("[]", "[ ]"))
case("unisender unsigned", us, "missing", "{}")
case("unisender set-up", us, "ok", "", method="GET")

# --- passwords and networks --------------------------------------------------------------------
basic = {"provider": "postmark", "basic_auth": "user:p:w"}
case("basic", basic, "ok", "{}", {"authorization": "Basic " + b64(b"user:p:w")})
case("basic, scheme in small letters", basic, "ok", "{}",
     {"authorization": "basic  " + b64(b"user:p:w")})
case("basic wrong", basic, "bad", "{}", {"authorization": "Basic " + b64(b"user:p")})
case("basic none", basic, "missing", "{}")
case("basic with a bearer", basic, "missing", "{}", {"authorization": "Bearer x"})
bearer = {"provider": "cloudevents", "bearer": "tok"}
case("bearer", bearer, "ok", "{}", {"authorization": "Bearer tok"})
case("bearer in the query", bearer, "ok", "{}", target="/hook?access_token=tok")
case("bearer wrong", bearer, "bad", "{}", {"authorization": "Bearer toK"})
case("bearer none", bearer, "missing", "{}")
case("pre-flight comes before any key", bearer, "ok", "", method="OPTIONS")
custom = {"provider": "brevo", "auth_header": "X-Key", "auth_value": "v"}
case("header", custom, "ok", "{}", {"x-key": "v"})
case("header wrong", custom, "bad", "{}", {"x-key": "V"})
case("header none", custom, "missing", "{}")
nets = {"provider": "brevo", "networks": ["1.179.112.0/20", "2001:db8::/32", "192.0.2.9"]}
case("network", nets, "ok", "{}", remote_ip="1.179.127.255")
case("network single", nets, "ok", "{}", remote_ip="192.0.2.9")
case("network v6", nets, "ok", "{}", remote_ip="2001:db8:1::5")
case("network mapped", nets, "ok", "{}", remote_ip="::ffff:1.179.112.1")
case("network outside", nets, "refused", "{}", remote_ip="1.179.128.0")
case("network nonsense", nets, "refused", "{}", remote_ip="")
case("network and header", dict(nets, auth_header="x-key", auth_value="v"), "missing", "{}",
     remote_ip="192.0.2.9")
case("elastic GET wants a password, too", {"provider": "elasticemail", "basic_auth": "u:p"},
     "missing", "", method="GET", target="/hook?to=a%40b.example&status=Sent")
sys.stdout.flush()
