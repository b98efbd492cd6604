"""How gunicorn runs either service."""

import os

bind = "0.0.0.0:8000"
workers = int(os.environ.get("WORKERS", "1"))
threads = int(os.environ.get("THREADS", "16"))
preload_app = True           # a missing variable ends the process with its message
keepalive = 30               # longer than the load balancer keeps a connection (4 s)
graceful_timeout = 10
worker_tmp_dir = "/dev/shm"
control_socket_disable = True
