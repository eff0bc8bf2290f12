"""Drives `coffer` and the plugin for Trove against a real Keystone and a real Trove: `drive.py COFFER PLUGIN PACKAGES`.

Prints a line for each thing that was shown, and ends with status 1 at the first that is not so."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
TYPE = "OS::Trove::Instance"
urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({})))


def must(holds, what, detail=""):
    if not holds:
        raise SystemExit(f"FAILED: {what} {detail}")
    print(f"ok      {what}", flush=True)


class User:
    """A user of the cloud, past the plugin: what the tests believe."""

    def __init__(self, cloud, name, password, project):
        self.cloud = cloud
        user = {"name": name, "password": password, "domain": {"id": "default"}}
        scope = {"project": {"name": project, "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        request = urllib.request.Request(cloud["auth_url"] + "/auth/tokens", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            self.token = answer.headers["X-Subject-Token"]
        self.base = f"{cloud['trove']}/v1.0/{cloud['projects'][project]}"

    def call(self, method, path, body=None):
        headers = {"Content-Type": "application/json", "X-Auth-Token": self.token}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.base + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
                return json.loads(text) if text else {}
        except urllib.error.HTTPError as error:
            return {"status": error.code, "said": error.read().decode(errors="replace")}

    def instance(self, name):
        made = self.call("POST", "/instances", {"instance": {"name": name, "flavorRef": 1, "volume": {"size": 2}, "datastore": {"type": "mysql", "version": "8.0"}}})
        must("instance" in made, f"instance {name} is made in the cloud itself", made)
        instance = made["instance"]["id"]
        self.wait(instance)
        return instance

    def wait(self, instance):
        for _ in range(600):
            status = self.call("GET", f"/instances/{instance}").get("instance", {}).get("status")
            if status == "ACTIVE":
                return
            time.sleep(0.2)
        raise SystemExit(f"FAILED: instance {instance} stays {status}")

    def backups(self):
        return self.call("GET", "/backups")["backups"]

    def instances(self):
        return self.call("GET", "/instances")["instances"]


class World:
    def __init__(self, coffer, plugin, packages, root):
        self.coffer, self.plugin_program, self.root = coffer, plugin, root
        (root / "cloud").mkdir()
        (root / "plugins").mkdir()
        command = [sys.executable, str(HERE / "cloud.py"), str(root / "cloud"), packages]
        self.cloud_process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.cloud_process.stdout.readline()
        must(line.startswith("{"), "a real Keystone and a real Trove answer", line)
        self.cloud = json.loads(line)
        self.alice, self.bob = (User(self.cloud, *who) for who in (("alice", "alicepw", "team-a"), ("bob", "bobpw", "team-b")))
        self.plugin = None

    def tell_cloud(self, line):
        self.cloud_process.stdin.write(line + "\n")
        self.cloud_process.stdin.flush()
        self.cloud_process.stdout.readline()

    def start_plugin(self):
        socket = self.root / "plugins/trove.sock"
        env = {**os.environ, **self.openstack()}
        log = open(self.root / "plugin.log", "ab")
        self.plugin = subprocess.Popen([self.plugin_program, "--socket", str(socket)], env=env, stderr=log, stdout=log)
        for _ in range(300):
            if socket.exists() and self.plugin.poll() is None:
                return
            time.sleep(0.1)
        raise SystemExit(f"FAILED: the plugin does not start: {(self.root / 'plugin.log').read_text()}")

    def openstack(self):
        return {
            "OS_AUTH_URL": self.cloud["auth_url"], "OS_USERNAME": "alice", "OS_PASSWORD": "alicepw", "OS_PROJECT_NAME": "team-a",
            "OS_REGION_NAME": "RegionOne", "TROVE_POLL_MILLISECONDS": "200",
        }

    def kill_plugin(self):
        self.plugin.kill()
        self.plugin.wait()

    def words(self, *words):
        env = {
            **os.environ, "COFFER_REPO": f"file://{self.root}/repo", "COFFER_PLUGIN_DIR": str(self.root / "plugins"),
            "COFFER_STATE_DIR": str(self.root / "state"), "COFFER_KEY_FILE": str(self.root / "recovery.key"),
        }
        if words[0] == "init":
            env.pop("COFFER_KEY_FILE")
        return {"args": [self.coffer, *words, "--json"], "env": env, "cwd": self.root}

    def run(self, *words, ends=0):
        done = subprocess.run(**self.words(*words), capture_output=True, text=True)
        if done.returncode != ends:
            raise SystemExit(f"FAILED: coffer {' '.join(words)} ends with {done.returncode}, not {ends}: {done.stdout} {done.stderr}")
        return json.loads(done.stdout)

    def options(self, place, /, **options):
        path = self.root / f"{place}.json"
        path.write_text(json.dumps(options))
        return str(path)

    def backup(self, instance, *more, name="nightly", ends=0):
        options = self.options(f"protect-{name}", backup_name=name, description="by the tests")
        return self.run("backup", "--plan", "shop", "--resource", f"{TYPE}/{instance}={options}", *more, ends=ends)

    def stop(self):
        if self.plugin and self.plugin.poll() is None:
            self.plugin.terminate()
            self.plugin.wait()
        self.cloud_process.stdin.close()
        self.cloud_process.wait(timeout=60)


def discovery(world, instance, foreign):
    types = {row["type"]: row for row in world.run("resources", "types")}
    must(types[TYPE]["parents"] == ["OS::Keystone::Project"], "types are found with their parents")
    listed = {row["id"] for row in world.run("resources", "list", TYPE)}
    must(instance in listed and foreign not in listed, "instances of the own project are listed, others' are not")
    project = world.cloud["projects"]["team-a"]
    below = world.run("resources", "list", "--below", f"OS::Keystone::Project/{project}")
    must({row["id"] for row in below} == listed, "all instances are dependents of the project")
    must(world.run("resources", "show", f"{TYPE}/{instance}")[0]["status"] == "ACTIVE", "an instance is shown with its state")
    world.run("resources", "show", f"{TYPE}/{foreign}", ends=4)
    must(True, "another tenant's instance is not there (show: status 4)")
    before = len(world.bob.backups())
    world.backup(foreign, ends=4)
    must(len(world.bob.backups()) == before, "another tenant's instance cannot be protected (backup: status 4), and nothing was made")


def options_are_checked(world, instance):
    bad = world.options("bad", backup_name="x")
    world.run("backup", "--plan", "shop", "--resource", f"{TYPE}/{instance}={bad}", ends=2)
    must(world.alice.backups() == [], "options without `description` are refused before anything is made (status 2)")
    bad = world.options("bad", backup_name="x", description="y", colour="red")
    world.run("backup", "--plan", "shop", "--resource", f"{TYPE}/{instance}={bad}", ends=2)
    must(world.alice.backups() == [], "an option that no schema names is refused (status 2)")


def chain(world, instance):
    points = [world.backup(instance) for _ in range(3)]
    must([point["type"] for point in points] == ["full", "incremental", "incremental"], "a full point and two incremental ones")
    made = [point["resources"][0]["artefact"] for point in points]
    backups = {backup["id"]: backup for backup in world.alice.backups()}
    must(set(made) == set(backups) and len(backups) == 3, "each made exactly one backup in Trove")
    parents = [backups[name]["parent_id"] for name in made]
    must(parents == [None, made[0], made[1]], "Trove has a full, an incremental, and an incremental of the incremental")
    world.run("verify")
    must(True, "verify asks Trove for all of them")
    return points, made


def failed(world, instance):
    # A failed resource and nothing else makes no point.
    world.backup(instance, name="GUEST_ERROR", ends=1)
    left = [backup for backup in world.alice.backups() if "GUEST_ERROR" in backup["name"]]
    must(left == [], "a backup that fails in Trove makes no point, and is deleted again", left)
    image = world.root / "disk.img"
    image.write_bytes(os.urandom(100_000))
    point = world.backup(instance, str(image), name="GUEST_ERROR", ends=3)
    must(point["state"] == "partial" and point["resources"][0]["state"] == "failed", "beside a volume it makes a partial point that says why")
    return point["point"]


def restored(world, point, instance):
    before = {row["id"] for row in world.alice.instances()}
    options = world.options("restore", restore_name="orders-again", restore_description="for the auditors")
    done = world.run("restore", point, "--resource", f"{TYPE}/{instance}={options}")
    new = {row["id"] for row in world.alice.instances()} - before
    row = done["resources"][0]
    must(new == {row["restored"]["id"]} and row["restored"]["name"] == "orders-again", "a new instance is made from a backup")
    must(row["restored"]["status"] == "ACTIVE" and row["description"] == "for the auditors", "it is ACTIVE, and its description is in Coffer's record")
    again = world.run("restore", point, "--resource", f"{TYPE}/{instance}={options}", ends=1)
    must("orders-again" in json.dumps(again), "a second one of the same name is refused, and names the first")
    done = world.run("restore", point, "--resource", f"{TYPE}/{instance}", "--idempotency-key", "once")
    name = done["resources"][0]["restored"]["name"]
    must(name == "nightly-once", "without a name it is <backup_name>-<id>", name)
    count = len(world.alice.instances())
    world.run("restore", point, "--resource", f"{TYPE}/{instance}", "--idempotency-key", "once")
    must(len(world.alice.instances()) == count, "the same restore with the same key makes nothing twice")


def deletion(world, points, made):
    world.run("forget", points[0]["point"])
    pruned = world.run("prune", ends=3)
    must(pruned["artefacts_left"] == 1 and made[0] in {b["id"] for b in world.alice.backups()}, "a backup on which kept ones build stays, and prune says so (status 3)")
    world.run("forget", points[1]["point"])
    world.run("prune", ends=3)
    kept = {backup["id"] for backup in world.alice.backups()}
    must({made[0], made[1], made[2]} <= kept, "so does the middle of the chain")
    return points[2]


def example(world, instance):
    """Runs the example of docs/plugins.md as it stands."""
    text = (HERE.parent.parent / "docs/plugins.md").read_text()
    script = text.split("### Example: ", 1)[1].split("```sh\n", 1)[1].split("```", 1)[0]
    place = world.root / "example"
    place.mkdir()
    (place / "volume.img").write_bytes(os.urandom(200_000))
    programs = place / "bin"
    programs.mkdir()
    (programs / "coffer").symlink_to(world.coffer)
    (programs / "coffer-plugin-trove").symlink_to(world.plugin_program)
    env = {**os.environ, **world.openstack(), "INSTANCE": instance, "VOLUME": str(place / "volume.img"), "PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-meuo", "pipefail", "-c", script], env=env, cwd=place, capture_output=True, text=True)
    must(done.returncode == 0, "the example of docs/plugins.md runs as it stands", done.stdout + done.stderr)
    must((place / "restored.img").read_bytes() == (place / "volume.img").read_bytes(), "its volume is restored")
    names = [row["name"] for row in world.alice.instances()]
    must(names.count("orders-restored") == 1, "its instance is restored, once", names)


def kill_caller(world, instance):
    for step, seconds in enumerate((0.3, 0.8, 1.2, 1.6, 2.2, 3.0)):
        options = world.options("protect-killed", backup_name=f"killed{step}", description="by the tests")
        words = ["backup", "--plan", "shop", "--resource", f"{TYPE}/{instance}={options}"]
        process = subprocess.Popen(**world.words(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        world.alice.wait(instance)
        world.run(*words)
        made = [backup for backup in world.alice.backups() if backup["name"].startswith(f"killed{step}-")]
        known = artefacts(world)
        must(all(backup["id"] in known for backup in made) and 1 <= len(made) <= 2, f"caller killed after {seconds} s, then run again: every backup in Trove is in a point")


def artefacts(world):
    shown = [world.run("show", row["point"]) for row in world.run("points")]
    return {resource["artefact"] for point in shown for resource in point["resources"]}


def kill_plugin(world, instance):
    for step, seconds in enumerate((0.4, 1.0, 1.6)):
        options = world.options("protect-plugin", backup_name=f"plugin{step}", description="by the tests")
        words = ["backup", "--plan", "shop", "--resource", f"{TYPE}/{instance}={options}"]
        process = subprocess.Popen(**world.words(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(seconds)
        world.kill_plugin()
        process.wait(timeout=120)
        world.start_plugin()
        world.alice.wait(instance)
        world.run(*words)
        made = [backup["id"] for backup in world.alice.backups() if backup["name"].startswith(f"plugin{step}-")]
        must(1 <= len(made) <= 2 and set(made) <= artefacts(world), f"plugin killed after {seconds} s ends the run (status {process.returncode}); the next one leaves no orphan")


def kill_trove(world, instance):
    options = world.options("protect-trove", backup_name="left", description="by the tests")
    words = ["backup", "--plan", "shop", "--resource-timeout", "12", "--resource", f"{TYPE}/{instance}={options}"]
    process = subprocess.Popen(**world.words(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(200):
        if any(backup["name"].startswith("left-") for backup in world.alice.backups()):
            break
        time.sleep(0.05)
    world.tell_cloud("kill trove")
    world.tell_cloud("start trove")
    out, _ = process.communicate(timeout=180)
    must(process.returncode != 0, f"a backup that a killed Trove left behind ends as failed at its deadline (status {process.returncode})", out)
    left = [backup for backup in world.alice.backups() if backup["name"].startswith("left-")]
    must(len(left) == 1 and left[0]["status"] in ("NEW", "BUILDING"), f"Trove itself keeps it as {left[0]['status']}: it is written down, and tried again by every later run")


def main():
    coffer, plugin, packages = (str(Path(word).resolve()) for word in sys.argv[1:4])
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="coffer-trove-") as directory:
        world = World(coffer, plugin, packages, Path(directory))
        try:
            instance, foreign = world.alice.instance("orders"), world.bob.instance("foreign")
            world.start_plugin()
            world.run("init", "--key-out", "recovery.key")
            check = subprocess.run([coffer, "plugin", "check", f"unix:{directory}/plugins/trove.sock"], capture_output=True, text=True)
            must(check.returncode == 0, f"the plugin keeps all {check.stdout.count('ok ')} rules that change nothing", check.stdout + check.stderr)
            options = world.options("trial", backup_name="trial", description="by the tests")
            check = subprocess.run([coffer, "plugin", "check", f"unix:{directory}/plugins/trove.sock", "--resource", f"{TYPE}/{instance}", "--options", options], capture_output=True, text=True)
            must(check.returncode == 0, f"and all {check.stdout.count('ok ')} rules with a resource", check.stdout + check.stderr)
            discovery(world, instance, foreign)
            options_are_checked(world, instance)
            points, made = chain(world, instance)
            failed(world, instance)
            restored(world, points[2]["point"], instance)
            deletion(world, points, made)
            example(world, instance)
            kill_caller(world, instance)
            kill_plugin(world, instance)
            kill_trove(world, instance)
        finally:
            world.stop()
    print(f"all shown after {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
