#!/usr/bin/env python3
"""Sends mails: inject.py FILE, one object a line: {"port":..,"sender":..,"rcpts":[..],"id":..}."""
import json, smtplib, sys

for line in open(sys.argv[1]):
    mail = json.loads(line)
    with smtplib.SMTP("127.0.0.1", mail["port"], local_hostname="app.esp.example") as smtp:
        smtp.sendmail(mail["sender"], mail["rcpts"],
                      f"From: <{mail['sender']}>\r\nSubject: hello\r\nMessage-ID: <{mail['id']}>\r\n\r\nHello.\r\n")
