"""Where repositories lie during a bench: in a local directory, or on an S3 server that the bench starts.

The server is MinIO over TLS on loopback with a certificate of its own. Its CPU is not counted for anybody; it shares the
machine's processors, so wall times to it say little.
"""

import os
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

import repository

HERE = os.path.dirname(os.path.abspath(__file__))
MINIO = os.path.join(HERE, "..", "target", "tools", "bin", "minio")
BUCKET = "bench"
ACCESS, SECRET = "benchadmin", "benchsecret"
READY_S = 30


class Local:
    """A directory in the run's own folder."""

    name = "local repository"

    def coffer(self, run):
        return f"file://{run.repo}"

    allowed = coffer

    def restic(self, run):
        return run.repo

    restic_options = ()

    def kopia(self, run):
        return ["filesystem", "--path", run.repo]

    def env(self):
        return {}

    def size(self, run):
        return repository.size(run.repo)

    def files(self, run):
        return repository.files(run.repo)

    def delete(self, run):
        shutil.rmtree(run.repo, ignore_errors=True)

    def stop(self):
        pass


class Minio:
    """A prefix of a bucket for every run. Borg and rustic stay local: they do not speak S3 here."""

    name = "S3 repository (MinIO over TLS on this machine)"

    def __init__(self, folder):
        if not os.path.exists(MINIO):
            raise SystemExit("MinIO is not installed: scripts/setup-servers.sh builds it")
        self.data = os.path.join(folder, "minio")
        certificates = os.path.join(folder, "certificates")
        os.makedirs(os.path.join(self.data, BUCKET))
        self.ca = make_certificates(certificates)
        self.port = free_port()
        self._log = open(os.path.join(folder, "minio.log"), "wb")
        self._server = subprocess.Popen(
            [MINIO, "server", "--quiet", "--address", f"127.0.0.1:{self.port}", "--certs-dir", certificates, self.data],
            env={**os.environ, "MINIO_ROOT_USER": ACCESS, "MINIO_ROOT_PASSWORD": SECRET, "MINIO_BROWSER": "off",
                 "MINIO_UPDATE": "off", "MINIO_CALLHOME_ENABLE": "off"},
            stdout=self._log, stderr=self._log,
        )  # fmt: skip
        try:
            self._await()
        except BaseException:
            self.stop()
            raise

    @property
    def endpoint(self):
        return f"https://localhost:{self.port}"

    def coffer(self, run):
        return f"s3://{BUCKET}/{self._prefix(run)}?endpoint={self.endpoint}&region=us-east-1&ca={self.ca}"

    def allowed(self, _run):
        """What the settings of an agent allow: this server."""
        return f"s3://?endpoint={self.endpoint}"

    def restic(self, run):
        return f"s3:{self.endpoint}/{BUCKET}/{self._prefix(run)}"

    @property
    def restic_options(self):
        return ("--cacert", self.ca)

    def env(self):
        return {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}

    def kopia(self, run):
        return ["s3", "--bucket", BUCKET, "--prefix", f"{self._prefix(run)}/", "--endpoint", f"localhost:{self.port}",
                "--region", "us-east-1", "--root-ca-pem-path", self.ca]  # fmt: skip

    def rclone(self, name):
        """A target for rclone, and the environment that lets it get there; rclone cannot use AWS_CA_BUNDLE."""
        env = {"RCLONE_CONFIG_BENCH_TYPE": "s3", "RCLONE_CONFIG_BENCH_PROVIDER": "Minio", "RCLONE_CONFIG_BENCH_ENV_AUTH": "true",
               "RCLONE_CONFIG_BENCH_ENDPOINT": self.endpoint, "RCLONE_CA_CERT": self.ca, "RCLONE_CONFIG": "/dev/null",
               "AWS_CA_BUNDLE": ""}  # fmt: skip
        return f"bench:{BUCKET}/{name}", {**self.env(), **env}

    def size(self, run):
        """Bytes of the server's files for the run: a little more than the objects'."""
        return repository.size(os.path.join(self.data, BUCKET, self._prefix(run))) + repository.size(run.repo)

    def files(self, run):
        return repository.files(os.path.join(self.data, BUCKET, self._prefix(run))) + repository.files(run.repo)

    def delete(self, run):
        """Removes a run's objects from the disk; the server is not asked."""
        shutil.rmtree(os.path.join(self.data, BUCKET, self._prefix(run)), ignore_errors=True)

    def stop(self):
        self._server.terminate()
        self._server.wait()
        self._log.close()
        shutil.rmtree(self.data, ignore_errors=True)

    def _prefix(self, run):
        return os.path.basename(run.folder)

    def _await(self):
        trust = ssl.create_default_context(cafile=self.ca)
        deadline = time.monotonic() + READY_S
        while True:
            try:
                urllib.request.urlopen(f"{self.endpoint}/minio/health/ready", context=trust, timeout=5).close()
                return
            except (urllib.error.URLError, ConnectionError) as error:
                if time.monotonic() > deadline or self._server.poll() is not None:
                    raise SystemExit(f"MinIO did not start: {error}; see {self._log.name}") from error
                time.sleep(0.1)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_certificates(folder):
    """Makes an authority and a certificate for localhost as MinIO wants them; returns the authority's file."""
    os.makedirs(folder)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    with open(os.path.join(folder, "names"), "w", encoding="ascii") as names:
        names.write("subjectAltName=DNS:localhost,IP:127.0.0.1")
    for command in (
        ["req", "-x509", *key, "-days", "30", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=bench CA",
         "-addext", "basicConstraints=critical,CA:TRUE"],
        ["req", *key, "-keyout", "private.key", "-out", "server.csr", "-subj", "/CN=localhost"],
        ["x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
         "-out", "public.crt", "-extfile", "names"],
    ):  # fmt: skip
        subprocess.run(["openssl", *command], cwd=folder, check=True, stderr=subprocess.DEVNULL)
    return os.path.join(folder, "ca.crt")


STORES = {"local": lambda folder: Local(), "s3": Minio}
