"""The real trove-api and task manager in one process. Only Nova, Cinder, Glance, Swift and the guest agent are stand-ins: those of Trove's own
tests, with what broke in them since mended."""
import os
import sys
import types

import eventlet

eventlet.monkey_patch()

# Trove's own imports a test framework that Debian does not have.
_util = types.ModuleType("trove.tests.util")
_util.unquote_user_host = lambda host: tuple(host.rsplit("@", 1))
sys.modules["trove.tests.util"] = _util

from trove.common.context import TroveContext  # noqa: E402
from trove.tests.fakes import guestagent, nova, swift  # noqa: E402

# How long a backup takes, seconds.
BACKUP_SECONDS = float(os.environ.get("TROVE_BACKUP_SECONDS", "1"))

# The stand-ins read an attribute that oslo.context dropped.
TroveContext.tenant = property(lambda self: self.project_id)

# They report a state of Trove where Nova has one of its own, and do not know newer arguments.
_schedule = nova.FakeServer.schedule_status
nova.FakeServer.schedule_status = lambda self, status, after: _schedule(self, "ACTIVE" if status == "HEALTHY" else status, after)
_create = nova.FakeServers.create
nova.FakeServers.create = lambda self, *args, **named: _create(self, *args, **{k: v for k, v in named.items() if k != "meta"})
_list = nova.FakeServers.list
nova.FakeServers.list = lambda self, **_: _list(self)


def nova_client(context, region_name=None, **_):
    return nova.fake_create_nova_client(context)


def cinder_client(context, region_name=None):
    return nova.fake_create_cinder_client(context)


class _Images:
    def get(self, image):
        return {"id": image}

    def list(self, **_):
        return []


class _Glance:
    images = _Images()


def glance_client(context, region_name=None):
    return _Glance()


class _Swift(swift.FakeSwiftConnection):
    def get_container(self, container, **_):
        return None, []


def swift_client(context, region_name=None):
    return _Swift()


class Guest(guestagent.FakeGuest):
    def prepare(self, *args, **named):
        named.pop("ds_version", None)
        return super().prepare(*args, **named)

    def create_backup(self, backup_info):
        from trove.backup.models import Backup
        from trove.backup.state import BackupState

        backup = Backup.get_by_id(context=None, backup_id=backup_info["id"])
        backup.state = BackupState.BUILDING
        backup.save()

        def finish():
            done = Backup.get_by_id(context=None, backup_id=backup_info["id"])
            done.state = BackupState.FAILED if "GUEST_ERROR" in done.name else BackupState.COMPLETED
            done.location = f"http://127.0.0.1/v1/AUTH_x/database_backups/{done.id}.xbstream.gz.enc"
            done.checksum = "fake-md5-sum"
            done.size = 0.14
            done.save()

        eventlet.spawn_after(BACKUP_SECONDS, finish)


def guest_client(context, id, manager=None):
    if id not in guestagent.DB:
        guestagent.DB[id] = Guest(id)
    return guestagent.DB[id]


def main():
    from trove.cmd import common
    from trove.common import cfg, notification, utils, wsgi
    from trove.common.rpc import service as rpc_service
    from trove.common.rpc import version as rpc_version
    from trove.datastore import models as datastores
    from trove.db import get_db_api
    from trove.instance import models as instances

    cfg.parse_args(sys.argv)
    get_db_api().db_sync(cfg.CONF)
    conf = common.initialize()
    try:
        datastores.Datastore.load("mysql")
    except Exception:
        store, version = utils.generate_uuid(), utils.generate_uuid()
        datastores.DBDatastore.create(id=store, name="mysql", default_version_id=version)
        datastores.DBDatastoreVersion.create(
            id=version, datastore_id=store, name="8.0", manager="mysql", image_id="c00000c0-00c0-0c00-00c0-000c000000cc",
            packages="", active=1, version="8.0.31",
        )
    notification.DBaaSAPINotification.register_notify_callback(instances.persist_instance_fault)
    cfg.set_api_config_defaults()
    manager = rpc_service.RpcService(
        key=None, topic=conf.taskmanager_queue, rpc_api_version=rpc_version.RPC_API_VERSION, manager="trove.taskmanager.manager.Manager"
    )
    manager.start()
    wsgi.launch("trove", conf.bind_port, conf.api_paste_config, host=str(conf.bind_host), workers=1).wait()


if __name__ == "__main__":
    sys.modules["launcher"] = sys.modules["__main__"]
    main()
