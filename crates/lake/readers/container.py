#!/usr/bin/env python3
"""Makes a container in Microsoft's emulator of Azure's store.

    container.py ENDPOINT NAME
"""

import base64
import hashlib
import hmac
import sys
from email.utils import formatdate
from urllib.request import Request, urlopen

# The account that every emulator has.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def main():
    endpoint, name = sys.argv[1:]
    date = formatdate(usegmt=True)
    headers = {"x-ms-date": date, "x-ms-version": "2021-12-02"}
    named = "\n".join(f"{header}:{value}" for header, value in headers.items())
    resource = f"/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    # A verb, eleven headers that are not sent, and what is.
    signed = "PUT" + "\n" * 12 + f"{named}\n{resource}"
    digest = hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
    headers["Content-Length"] = "0"
    urlopen(Request(f"{endpoint}/{ACCOUNT}/{name}?restype=container", method="PUT", headers=headers)).close()


if __name__ == "__main__":
    main()
