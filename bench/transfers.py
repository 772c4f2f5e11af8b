"""One large file over different kinds of network."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.files import MIB, random_file
from bench.measure import Command, interleaved, say
from bench.origin_nginx import Nginx
from bench.wan import ORIGIN, Wan
from bench.workspace import PYTHON, ROOT, Case, Row, Workspace, absolute, against, curl, rclone, urlsum

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.files import Sample

PACE_BYTES_PER_SECOND = 20_000_000
PACED_CONNECTIONS = 8
# 20 s of one connection, 2.5 s of eight: the climb to them shows.
CLIMB_BYTES = 384 * MIB
# With loss, one connection reaches 2 to 4 MB/s: 2 GiB would take a quarter of an hour per run.
LOSSY_BYTES = 256 * MIB
LOSS_PPM = 200
# The lower bound for hashing with libcrypto or coreutils: a local file, no network.
FLOOR = "md5sum of a local copy"


def unthrottled(workspace: Workspace, *, secure: bool, wall: float, cpu: float) -> list[Row]:
    """Measure with nginx on loopback: only the two processes limit the speed."""
    big = workspace.big
    with Nginx(workspace.folder / "nginx", workspace.files) as nginx:
        url, ca_file = nginx.url(big.name, secure=secure), nginx.ca_file if secure else None
        results = interleaved(
            [
                curl(url, big.md5, ca_file=ca_file),
                urlsum(url, big.md5, ca_file=ca_file),
                rclone(nginx.url("", secure=secure), big.name, big.md5, ca_file=ca_file),
                Command(FLOOR, f"md5sum {workspace.files / big.name}", big.md5),
            ],
            workspace.rounds,
        )
    return [
        *absolute(results),
        against(results, "curl | md5sum", "wall", wall),
        against(results, "curl | md5sum", "cpu", cpu),
        against(results, "rclone hashsum --download", "wall", 1.0),
        against(results, "curl | md5sum", "wall", None, ours=FLOOR),
    ]


def http(workspace: Workspace) -> list[Row]:
    """Measure plain HTTP."""
    return unthrottled(workspace, secure=False, wall=0.77, cpu=0.66)


def https(workspace: Workspace) -> list[Row]:
    """Measure TLS 1.3."""
    return unthrottled(workspace, secure=True, wall=0.66, cpu=0.80)


def one_cpu(workspace: Workspace) -> list[Row]:
    """Measure with each client pinned to one CPU, and nginx to the other."""
    big = workspace.big
    with Nginx(workspace.folder / "nginx", workspace.files, prefix=["taskset", "-c", "0"], workers="1") as nginx:
        url = nginx.url(big.name, secure=True)
        clients = [curl(url, big.md5, ca_file=nginx.ca_file), urlsum(url, big.md5, ca_file=nginx.ca_file)]
        results = interleaved([replace(each, prefix=["taskset", "-c", "1"]) for each in clients], workspace.rounds)
    return [*absolute(results), against(results, "curl | md5sum", "wall", 0.85)]


@contextmanager
def paced_origin(workspace: Workspace, rate: int = PACE_BYTES_PER_SECOND) -> Iterator[str]:
    """Run ``bench.paced`` on a free port; yield its base URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([PYTHON, "-m", "bench.paced", str(workspace.files), str(port), str(rate)], cwd=ROOT)
    try:
        _await("127.0.0.1", port)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.kill()
        process.wait()


def climb(workspace: Workspace) -> list[Row]:
    """Measure a file that ends soon after all connections are used, with every connection paced to 20 MB/s."""
    sample = random_file(workspace.files, CLIMB_BYTES)
    with paced_origin(workspace) as base:
        url = base + sample.name
        results = interleaved([curl(url, sample.md5), urlsum(url, sample.md5)], workspace.rounds, warm=False)
    return [*absolute(results), against(results, "curl | md5sum", "wall", 0.15)]


def paced(workspace: Workspace) -> list[Row]:
    """Measure with every connection paced to 20 MB/s."""
    big = workspace.big
    with paced_origin(workspace) as base:
        url = base + big.name
        target = workspace.folder / "aria2"
        fetch = f"aria2c -q -x{PACED_CONNECTIONS} -s{PACED_CONNECTIONS} --file-allocation=none -d {target} -o got {url}"
        aria2 = Command("aria2c -x8, then md5sum", f"{fetch} && md5sum {target}/got; rm -rf {target}", big.md5)
        results = interleaved(
            [curl(url, big.md5), urlsum(url, big.md5, "--connections", str(PACED_CONNECTIONS)), aria2],
            workspace.rounds,
            warm=False,  # 2 min each, limited by the origin alone
        )
    return [
        *absolute(results),
        against(results, "curl | md5sum", "wall", 0.145),
        against(results, "aria2c -x8, then md5sum", "wall", 1.0),
    ]


def far(workspace: Workspace, sample: Sample, *, loss_ppm: int, bound: float) -> list[Row]:
    """Measure over a round trip of 80 ms and 1 Gbit/s."""
    with (
        Wan(workspace.folder, loss_ppm=loss_ppm) as path,
        Nginx(workspace.folder / "nginx", workspace.files, host=ORIGIN, prefix=path.at_origin) as nginx,
    ):
        url = nginx.url(sample.name)
        trip = _round_trip(url, path.at_client)
        clients = [curl(url, sample.md5), urlsum(url, sample.md5)]
        results = interleaved([replace(each, prefix=path.at_client) for each in clients], workspace.rounds, warm=False)
    say(path.report)
    return [
        Row("round trip, as curl connects", f"{trip * 1000:.1f} ms"),
        *absolute(results),
        against(results, "curl | md5sum", "wall", bound),
    ]


def wan(workspace: Workspace) -> list[Row]:
    """Measure without random loss; only a full queue drops packets."""
    return far(workspace, workspace.big, loss_ppm=0, bound=0.55)


def lossy(workspace: Workspace) -> list[Row]:
    """Measure with one packet in 5,000 lost."""
    return far(workspace, random_file(workspace.files, LOSSY_BYTES), loss_ppm=LOSS_PPM, bound=0.25)


def _round_trip(url: str, prefix: Sequence[str]) -> float:
    command = [*prefix, "curl", "-s", "-r", "0-0", "-o", os.devnull, "-w", "%{time_connect}", url]
    return min(float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(3))


def _await(host: str, port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection((host, port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"nothing listens on {host}:{port}")


CASES = [
    Case(
        "http",
        "Unthrottled HTTP",
        "2 GiB from nginx on loopback.",
        "MD5 itself: one dependency chain, for 2 GiB 2.5 to 3.6 s by the machine (case md5), and 7 % more for bytes "
        "that another core received. md5sum of a local copy, the last line, is what is left with no network at all. "
        "Starting Python with its libraries takes 0.1 to 0.2 s.",
        ["nginx", "curl", "md5sum", "rclone"],
        5,
        http,
    ),
    Case(
        "https",
        "Unthrottled HTTPS",
        "The same over TLS 1.3.",
        "In wall time MD5, as above. Of 4.4 s of CPU on an Intel Xeon MD5 has 2.8, the kernel 0.75 (half of it the "
        "sender's own work, which loopback does on the receiver's time), AES-GCM 0.4, OpenSSL's copies 0.2, Python "
        "0.3 with its start. OpenSSL 3.1 and newer decrypts with VAES in half the time; Debian 12 has 3.0.",
        ["nginx", "curl", "md5sum", "rclone"],
        5,
        https,
    ),
    Case(
        "paced",
        "20 MB/s per connection",
        "2 GiB from an origin that paces each connection with SO_MAX_PACING_RATE.",
        "The origin: eight connections have 160 MB/s together, so 0.125 is the least there can be.",
        ["curl", "md5sum", "aria2c"],
        3,
        paced,
    ),
    Case(
        "climb",
        "384 MiB at 20 MB/s per connection",
        "From the same origin.",
        "0.125 is the least there can be. Each number of connections is measured for 50 ms, which together costs "
        "0.12 s of all eight, 0.006; starting Python costs 0.15 s, 0.007; each of 150 requests for parts some 2 ms of "
        "its connection.",
        ["curl", "md5sum"],
        5,
        climb,
    ),
    Case(
        "wan",
        "80 ms round trip, 1 Gbit/s",
        "2 GiB from nginx through bench/wan.c: 40 ms each way, a drop-tail queue of 10 MB, "
        "CUBIC, the machine's TCP buffers, an MTU of 1500.",
        "At first slow start, then the line: at 119 MB/s 2 GiB take 18 s. A single connection is held to some 34 MB/s "
        "by the sender's buffer (tcp_wmem, 4 MB).",
        ["nginx", "curl", "md5sum", "ip", "cc"],
        3,
        wan,
        root=True,
    ),
    Case(
        "lossy",
        "80 ms round trip, 1 Gbit/s, 200 ppm loss",
        "256 MiB (scaled down from 2 GiB) through the same path, one packet in 5,000 lost at random.",
        "CUBIC's answer to loss: each connection has 2 to 4 MB/s, so the number of connections decides.",
        ["nginx", "curl", "md5sum", "ip", "cc"],
        3,
        lossy,
        root=True,
    ),
    Case(
        "cpu",
        "One vCPU, HTTPS",
        "2 GiB over TLS 1.3; the client is pinned to one CPU, nginx to the other one.",
        "That one CPU: MD5 and receiving add up, and there is nothing to overlap. What is saved against curl is the "
        "pipe and the copies around it; receiving through the same OpenSSL and kernel costs the same.",
        ["nginx", "curl", "md5sum", "taskset"],
        5,
        one_cpu,
    ),
]
