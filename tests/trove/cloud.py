"""Sets a cloud of Keystone and Trove up in a directory and starts it: `cloud.py DIRECTORY PACKAGES`. Prints one line of JSON when it answers, and
ends what it started when its standard input ends. Everything listens on loopback, on ports that were free."""
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

# Debian's packages hold modules that only Debian's own interpreter loads.
PYTHON = "/usr/bin/python3"
HERE = Path(__file__).resolve().parent
KEYSTONE = """[DEFAULT]
log_file={lab}/keystone.log
use_stderr=false
[database]
connection=sqlite:////{lab}/keystone.db
[fernet_tokens]
key_repository={lab}/fernet
[credential]
key_repository={lab}/credential
[token]
provider=fernet
expiration={token_seconds}
"""
TROVE = """[DEFAULT]
transport_url=fake:/
control_exchange=trove
report_interval=0
bind_host=127.0.0.1
bind_port={trove}
trove_api_workers=1
api_paste_config={lab}/api-paste.ini
log_file={lab}/trove.log
trove_dns_support=False
trove_volume_support=True
remote_nova_client=launcher.nova_client
remote_cinder_client=launcher.cinder_client
remote_glance_client=launcher.glance_client
remote_swift_client=launcher.swift_client
remote_guest_client=launcher.guest_client
remote_neutron_client=trove.tests.fakes.neutron.fake_create_neutron_client
max_backups_per_tenant={backups_max}
max_instances_per_tenant=50
max_volumes_per_tenant=200
max_ram_per_tenant=-1
http_get_rate=100000
http_post_rate=100000
http_put_rate=100000
http_delete_rate=100000
usage_sleep_time=1
admin_roles=admin
enable_secure_rpc_messaging=False
[database]
connection=sqlite:////{lab}/trove.db
[keystone_authtoken]
auth_type=password
auth_url=http://127.0.0.1:{keystone}/v3
www_authenticate_uri=http://127.0.0.1:{keystone}/v3
username=trove
password=trovepw
project_name=service
user_domain_id=default
project_domain_id=default
[service_credentials]
auth_url=http://127.0.0.1:{keystone}/v3
username=trove
password=trovepw
project_name=service
region_name=RegionOne
[mysql]
volume_support=True
device_path=/dev/vdb
[oslo_concurrency]
lock_path={lab}
"""
PIPELINE = "http_proxy_to_wsgi faultwrapper authtoken authorization contextwrapper ratelimit extensions troveapp"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Cloud:
    def __init__(self, lab, packages):
        self.lab, self.packages = lab, packages
        self.ports = {"keystone": free_port(), "trove": free_port()}
        self.processes = {}
        self.env = {
            **os.environ, "PYTHONPATH": f"{HERE}:{packages}/usr/lib/python3/dist-packages", "PYTHONWARNINGS": "ignore",
            "OS_KEYSTONE_CONFIG_FILES": f"{lab}/keystone.conf", "HOME": str(lab),
        }
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            self.env.pop(name, None)
        urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({})))
        self.token = None

    @property
    def auth(self):
        return f"http://127.0.0.1:{self.ports['keystone']}/v3"

    def write(self):
        values = {
            "lab": str(self.lab).lstrip("/"), **self.ports, "token_seconds": os.environ.get("KEYSTONE_TOKEN_SECONDS", "3600"),
            "backups_max": os.environ.get("TROVE_BACKUPS_MAX", "20"),
        }
        for name, template in (("keystone.conf", KEYSTONE), ("trove.conf", TROVE)):
            text = template.format(**values).replace(f"={values['lab']}/", f"=/{values['lab']}/").replace(f"lock_path={values['lab']}", f"lock_path=/{values['lab']}")
            (self.lab / name).write_text(text)
        paste = (self.packages / "usr/share/trove-common/api-paste.ini").read_text().splitlines()
        paste = [f"pipeline = {PIPELINE}" if line.startswith("pipeline =") and "troveapp" in line else line for line in paste]
        (self.lab / "api-paste.ini").write_text("\n".join(paste) + "\n")
        (self.lab / "fernet").mkdir(mode=0o700, exist_ok=True)
        (self.lab / "credential").mkdir(mode=0o700, exist_ok=True)

    def manage(self, *words):
        import getpass

        command = [PYTHON, str(self.packages / "usr/bin/keystone-manage"), "--config-file", str(self.lab / "keystone.conf"), *words]
        if words[0].endswith("_setup"):
            command += ["--keystone-user", getpass.getuser(), "--keystone-group", getpass.getuser()]
        subprocess.run(command, env=self.env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start(self, name):
        log = open(self.lab / f"{name}.out", "ab")
        if name == "keystone":
            words = [str(self.packages / "usr/bin/keystone-wsgi-public"), "--host", "127.0.0.1", "--port", str(self.ports[name]),
                     "--", "--config-file", str(self.lab / "keystone.conf")]
        else:
            words = [str(HERE / "launcher.py"), "--config-file", str(self.lab / "trove.conf")]
        self.processes[name] = subprocess.Popen([PYTHON, *words], env=self.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.wait_for(name)

    def wait_for(self, name):
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            if self.processes[name].poll() is not None:
                raise SystemExit(f"{name} ended: {(self.lab / f'{name}.out').read_text(errors='replace')[-2000:]}")
            try:
                with socket.create_connection(("127.0.0.1", self.ports[name]), 1):
                    return
            except OSError:
                time.sleep(0.2)
        raise SystemExit(f"{name} does not answer")

    def stop(self):
        for process in self.processes.values():
            process.kill()
            process.wait()

    def kill(self, name):
        self.processes[name].kill()
        self.processes[name].wait()

    def call(self, method, path, body=None, tries=6):
        """A call of Keystone by its administrator. Under SQLite it answers 500 now and then, so it is tried again."""
        for attempt in range(tries):
            try:
                headers = {"Content-Type": "application/json"}
                if self.token:
                    headers["X-Auth-Token"] = self.token
                data = json.dumps(body).encode() if body is not None else None
                request = urllib.request.Request(self.auth + path, data, headers, method=method)
                with urllib.request.urlopen(request, timeout=60) as answer:
                    text = answer.read()
                    self.subject = answer.headers.get("X-Subject-Token")
                    return json.loads(text) if text else {}
            except urllib.error.HTTPError as error:
                if error.code == 409 and method in ("PUT", "POST"):
                    return {}
                if error.code < 500 or attempt == tries - 1:
                    raise
                time.sleep(0.5)

    def login(self):
        user = {"name": "admin", "password": "adminpw", "domain": {"id": "default"}}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        self.token = None
        self.call("POST", "/auth/tokens", {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}})
        self.token = self.subject

    def named(self, kind, name, **more):
        self.call("POST", f"/{kind}s", {kind: {"name": name, **more}})
        return self.call("GET", f"/{kind}s?name={name}")[f"{kind}s"][0]["id"]

    def populate(self):
        self.login()
        roles = {role["name"]: role["id"] for role in self.call("GET", "/roles")["roles"]}
        projects = {}
        for project, user, password, role in (
            ("service", "trove", "trovepw", "admin"), ("team-a", "alice", "alicepw", "member"), ("team-b", "bob", "bobpw", "member"),
        ):
            projects[project] = self.named("project", project, domain_id="default")
            person = self.named("user", user, password=password, domain_id="default")
            self.call("PUT", f"/projects/{projects[project]}/users/{person}/roles/{roles[role]}")
        service = self.named("service", "trove", type="database")
        url = f"http://127.0.0.1:{self.ports['trove']}/v1.0/%(project_id)s"
        for interface in ("public", "internal"):
            self.call("POST", "/endpoints", {"endpoint": {"interface": interface, "service_id": service, "url": url, "region_id": "RegionOne"}})
        return projects


def main():
    lab, packages = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    cloud = Cloud(lab, packages)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    cloud.write()
    try:
        for words in (("db_sync",), ("fernet_setup",), ("credential_setup",),
                      ("bootstrap", "--bootstrap-password", "adminpw", "--bootstrap-region-id", "RegionOne",
                       "--bootstrap-public-url", cloud.auth, "--bootstrap-internal-url", cloud.auth, "--bootstrap-admin-url", cloud.auth)):
            cloud.manage(*words)
        cloud.start("keystone")
        projects = cloud.populate()
        cloud.start("trove")
        print(json.dumps({"auth_url": cloud.auth, "projects": projects, "trove": f"http://127.0.0.1:{cloud.ports['trove']}"}), flush=True)
        for line in sys.stdin:
            if line.strip() == "kill trove":
                cloud.kill("trove")
            elif line.strip() == "start trove":
                cloud.start("trove")
            print("done", flush=True)
    finally:
        cloud.stop()


if __name__ == "__main__":
    main()
