"""Nchan: Debian's nginx with its module, one worker process, own configuration and prefix."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench.machine import CannotMeasure, free_port, running
from bench.target import Speech, Target

MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
NGINX = "/usr/sbin/nginx"
# No stored messages: fan-out only, as the other servers here. The shared memory holds 10,000 subscribers with room to spare.
CONFIG = """
load_module {module};
user root;
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 19900; }}
http {{
    access_log off;
    nchan_shared_memory_size 1024m;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location ~ ^/room/(.+)$ {{
            nchan_pubsub websocket;
            nchan_channel_id $1;
            nchan_subscriber_first_message newest;
            nchan_store_messages off;
            nchan_websocket_ping_interval 25;
            {deflate}
        }}
    }}
}}
"""


def missing() -> str:
    """What to install."""
    there = MODULE.exists() and (shutil.which("nginx") or Path(NGINX).exists())
    return "" if there else "apt-get install nginx libnginx-mod-nchan"


@contextmanager
def start(folder: Path, core: int, rooms: list[str], *, deflate: bool = False) -> Iterator[Target]:
    """Members publish over the socket that they subscribe with."""
    if hint := missing():
        raise CannotMeasure(f"Nchan is not installed: {hint}")
    port = free_port()
    config = folder / "nginx.conf"
    compress = "nchan_deflate_message_for_websocket on;" if deflate else ""
    config.write_text(CONFIG.format(module=MODULE, folder=folder, port=port, deflate=compress))
    command = [shutil.which("nginx") or NGINX, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
    with running(command, core, folder / "nginx.log", port=port) as process:
        workers = [child.pid for child in psutil.Process(process.pid).children()]
        yield Target("nchan", [port], workers, Speech(path="/room/{room}"))
