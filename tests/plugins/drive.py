"""Drives `coffer` with plugins on real resources: `drive.py DIRECTORY-OF-PROGRAMS`.

Prints a line for each thing that was shown, and ends with status 1 at the first that is not so."""
import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FILES = "Example::Directory"
DATABASE = "PostgreSQL::Database"


def must(holds, what, detail=""):
    if not holds:
        raise SystemExit(f"FAILED: {what} {detail}")
    print(f"ok      {what}", flush=True)


class World:
    def __init__(self, programs, root):
        self.programs, self.root = programs, root
        self.plugins = {}
        (root / "plugins").mkdir()
        self.env = {
            **os.environ, "COFFER_REPO": f"file://{root}/repo", "COFFER_PLUGIN_DIR": str(root / "plugins"), "COFFER_STATE_DIR": str(root / "state"),
            "COFFER_KEY_FILE": str(root / "recovery.key"),
        }

    def start(self, name, words, **env):
        path = self.root / f"plugins/{name}.sock"
        self.plugins[name] = subprocess.Popen([str(word) for word in words], env={**os.environ, **env})
        deadline = time.monotonic() + 60
        while not path.exists():
            if self.plugins[name].poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"FAILED: plugin {name} does not start")
            time.sleep(0.05)
        return path

    def stop(self, name, how=signal.SIGTERM):
        plugin = self.plugins.pop(name, None)
        if plugin:
            plugin.send_signal(how)
            plugin.wait()

    def process(self, *words):
        env = dict(self.env)
        if words[0] == "init":
            env.pop("COFFER_KEY_FILE")
        command = [str(self.programs / "coffer"), *words, "--json"]
        return subprocess.Popen(command, env=env, cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *words, ends=0):
        process = self.process(*words)
        out, errors = process.communicate()
        if process.returncode != ends:
            raise SystemExit(f"FAILED: coffer {' '.join(words)} ends with {process.returncode}, not {ends}: {out} {errors}")
        return json.loads(out)

    def file(self, place, /, **options):
        path = self.root / place
        path.write_text(json.dumps(options))
        return str(path)


def files(world):
    root, copies = world.root / "data", world.root / "copies"
    (root / "shop").mkdir(parents=True)
    copies.mkdir()
    (root / "shop/a").write_text("first")
    words = [world.programs / "examples/files", root, copies, world.root / "plugins/files.sock"]
    world.start("files", words)
    checked = world.run("plugin", "check", f"unix:{world.root}/plugins/files.sock", "--resource", f"{FILES}/shop",
                        "--restore-options", world.file("again.json", name="again"))
    must(all(rule["problem"] is None for rule in checked["rules"]), f"the example keeps all {len(checked['rules'])} rules")
    shutil.rmtree(root / "again")
    plan = ["backup", "--plan", "files", "--resource", f"{FILES}/shop"]
    first = world.run(*plan)
    must(first["state"] == "available" and first["volumes"] == [], "a point of a resource alone")
    (root / "shop/a").write_text("second")
    second = world.run(*plan)
    must(second["type"] == "incremental" and len(list(copies.iterdir())) == 2, "the next one is incremental, with a copy of its own")
    world.run("restore", first["point"], "--resource", f"{FILES}/shop={world.file('old.json', name='old')}")
    must((root / "old/a").read_text() == "first", "the first point is restored as it was")
    world.run("restore", first["point"], "--resource", f"{FILES}/shop={world.file('bad.json', nome='x')}", ends=2)
    world.run("restore", first["point"], "--resource", f"{FILES}/other", ends=4)
    must(True, "wrong options (2) and a resource that is not in the point (4) are refused")
    must(world.run("verify")["problems"] == [], "verify finds all there")
    artefact = copies / second["resources"][0]["artefact"]
    artefact.rename(copies / "away")
    problems = world.run("verify", ends=5)["problems"]
    must([problem["kind"] for problem in problems] == ["resource"], "verify finds an artefact that is gone (5)")
    (copies / "away").rename(artefact)
    world.stop("files")
    notices = world.run("verify")["notices"]
    must(any("was not checked" in notice for notice in notices), "without its plugin a resource is not checked, and verify says so")
    world.run("forget", first["point"])
    left = world.run("prune", ends=3)
    must((left["artefacts_deleted"], left["artefacts_left"]) == (0, 1), "prune without the plugin deletes nothing and says what is left (3)")
    world.start("files", words)
    pruned = world.run("prune")
    must((pruned["artefacts_deleted"], len(list(copies.iterdir()))) == (1, 1), "the next prune deletes it, and no other")
    world.run(*plan[:-1], f"{FILES}/nothing", ends=4)
    must(len(list(copies.iterdir())) == 1, "a resource that is not there makes no point (4)")
    killed(world, plan, copies)
    world.stop("files")


def killed(world, plan, copies):
    for milliseconds in range(20, 400, 20):
        process = world.process(*plan)
        time.sleep(milliseconds / 1000)
        process.kill()
        process.communicate()
    world.run(*plan)
    shown = [world.run("show", row["point"]) for row in world.run("points", "--plan", "files")]
    known = {resource["artefact"] for point in shown for resource in point["resources"]}
    there = {path.name for path in copies.iterdir()}
    must(there == known, "after 19 kills of the program at any moment every copy belongs to a point, and every point has its copy", f"{there ^ known}")


class Postgres:
    """A server of its own; it refuses to be root."""

    def __init__(self, root):
        self.bin = Path(sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1])
        self.data = root / "pg"
        self.data.mkdir()
        self.who = []
        if os.getuid() == 0:
            self.who = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
            os.chown(self.data, 65534, 65534)
            root.chmod(0o711)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])
        self.command("initdb", "-D", self.data / "d", "-U", "postgres", "-A", "trust", "-E", "UTF8")
        server = [*self.who, self.bin / "postgres", "-D", self.data / "d", "-p", self.port, "-h", "127.0.0.1", "-k", self.data]
        self.server = subprocess.Popen([str(word) for word in server], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
        self.env = {"PGHOST": "127.0.0.1", "PGPORT": self.port, "PGUSER": "postgres", "PATH": f"{self.bin}:{os.environ['PATH']}"}
        for _ in range(600):
            if subprocess.run([str(self.bin / "pg_isready"), "-q"], env={**os.environ, **self.env}).returncode == 0:
                return
            time.sleep(0.1)
        raise SystemExit("FAILED: PostgreSQL does not start")

    def command(self, program, *words):
        subprocess.run([str(word) for word in [*self.who, self.bin / program, *words]], check=True, stdout=subprocess.DEVNULL, cwd="/")

    def sql(self, database, text):
        done = subprocess.run([str(self.bin / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text], env={**os.environ, **self.env, "PGDATABASE": database},
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"FAILED: {text}: {done.stderr}")
        return done.stdout.strip()

    def stop(self):
        self.server.send_signal(signal.SIGINT)
        self.server.wait()


FILL = """create table orders (id bigserial primary key, what text not null, at timestamptz not null default now());
insert into orders (what) select 'order ' || n || repeat(' x', 40) from generate_series(1, 20000) n;
create index on orders (what); create view large as select * from orders where id > 100; create table odd ("a b" text, e'\\u00fc' text) ;"""
SUM = "select count(*) || ' ' || md5(string_agg(id || what, ',' order by id)) from orders"


def postgres(world):
    server = Postgres(world.root)
    try:
        server.sql("postgres", "create database shop")
        server.sql("shop", FILL.replace("e'\\u00fc'", '"ü"'))
        world.start("postgres", [world.programs / "coffer-plugin-postgres", "--socket", world.root / "plugins/postgres.sock"], **server.env)
        checked = world.run("plugin", "check", f"unix:{world.root}/plugins/postgres.sock", "--resource", f"{DATABASE}/shop",
                            "--restore-options", world.file("trial.json", database="trial"))
        broken = [rule for rule in checked["rules"] if rule["problem"]]
        must(not broken, f"the plugin for PostgreSQL keeps all {len(checked['rules'])} rules", broken)
        must(server.sql("trial", SUM) == server.sql("shop", SUM), "what the suite restored is what was there")
        listed = {row["id"] for row in world.run("resources", "list", "--below", "PostgreSQL::Server/server")}
        must(listed == {"postgres", "shop", "trial"}, "databases are found below their server")
        disk = world.root / "disk.img"
        disk.write_bytes(os.urandom(300_000))
        plan = ["backup", "--plan", "shop", "--resource", f"{DATABASE}/shop", f"disk={disk}"]
        before = server.sql("shop", SUM)
        first = world.run(*plan)
        names = [volume["name"] for volume in first["volumes"]]
        must(names == ["disk", f"{DATABASE}/shop"], "the dump is a volume of the point, beside the device", names)
        dump = next(volume for volume in first["volumes"] if volume["name"] != "disk")
        must(dump["stored"] < dump["size"], f"it is compressed ({dump['size']} bytes, {dump['stored']} stored)")
        secret = b"order 12345 x x"
        objects = [path.read_bytes() for path in (world.root / "repo").rglob("*") if path.is_file()]
        must(not any(secret in content for content in objects), "and encrypted: no row can be read in the repository")
        must(not any(path.is_file() and path.suffix != ".lock" for path in (world.root / "state").rglob("*")), "nothing of it stays outside of the repository")
        server.sql("shop", "delete from orders where id % 3 = 0")
        second = world.run(*plan)
        must(second["type"] == "incremental", "the next point is incremental")
        done = world.run("restore", first["point"], "--resource", f"{DATABASE}/shop={world.file('back.json', database='back')}")
        must(done["resources"][0]["restored"]["id"] == "back" and server.sql("back", SUM) == before, "the first point's rows are back in a new database")
        done = world.run("restore", "--plan", "shop", "--pick", "latest", "--resource", f"{DATABASE}/shop={world.file('new.json', database='new')}")
        must(server.sql("new", SUM) == server.sql("shop", SUM) != before, "and the newest point's in another")
        world.run("restore", first["point"], "--resource", f"{DATABASE}/shop={world.file('back.json', database='back')}", ends=1)
        must(server.sql("back", SUM) == before, "a database that is there is not touched (1)")
        world.run("restore", first["point"], "--volume", "disk=disk.again")
        must((world.root / "disk.again").read_bytes() == disk.read_bytes(), "the device beside it is restored as ever")
        must(world.run("verify", "--read-data")["problems"] == [], "verify reads all of it")
        world.stop("postgres", signal.SIGKILL)
        failed = world.run(*plan, ends=2)
        must("start" in failed["error"]["message"], "without the plugin no point is made, and the message says what to do (2)", failed)
    finally:
        world.stop("postgres")
        server.stop()


def main():
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="coffer-plugins-") as directory:
        world = World(Path(sys.argv[1]).resolve(), Path(directory))
        try:
            world.run("init", "--key-out", "recovery.key")
            files(world)
            postgres(world)
        finally:
            for name in list(world.plugins):
                world.stop(name, signal.SIGKILL)
    print(f"all shown after {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
