"""`python -m tests.browser.nginx FOLDER UPSTREAM`: nginx in front of a site, with TLS.

It keeps what says that shared caches may; the port is one that the system chose.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

CONFIGURATION = """
daemon off;
worker_processes 1;
{user}
pid {folder}/pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache keys_zone=pages:1m;
    server {{
        listen {address} ssl http2;
        ssl_certificate {folder}/certificate.pem;
        ssl_certificate_key {folder}/key.pem;
        location / {{
            proxy_pass {upstream};
            proxy_cache pages;
            proxy_cache_lock on;
            add_header X-Cache $upstream_cache_status always;
            proxy_set_header Host $http_host;
            {forwarded}
        }}
        location = /renamed {{  # the site is called by the name of the upstream
            proxy_pass {upstream};
            {forwarded}
        }}
    }}
}}
"""
FORWARDED = """
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
"""


def main(folder: Path, upstream: str) -> None:
    """Become nginx, which inherits a listening socket as in its own upgrades."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    listener.set_inheritable(True)
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    _certify(folder)
    path = folder / "nginx.conf"
    path.write_text(
        CONFIGURATION.format(
            folder=folder,
            upstream=upstream,
            address=address,
            forwarded=FORWARDED.strip(),
            user="user root;" if os.geteuid() == 0 else "",
        )
    )
    print(f"https://{address}", flush=True)
    os.environ["NGINX"] = f"{listener.fileno()};"
    os.execlp("nginx", "nginx", "-c", str(path), "-p", str(folder))


def _certify(folder: Path) -> None:
    asked = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    said = ["-subj", "/CN=mbuzz", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", f"{folder}/key.pem", "-out", f"{folder}/certificate.pem"]
    command = ["openssl", *asked.split(), *said, *files]
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
