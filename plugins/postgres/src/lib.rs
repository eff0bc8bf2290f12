//! Plugin for PostgreSQL: databases of one server, as logical dumps. `pg_dump` writes the data of the artefact, `psql` reads them.
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod programs;

use coffer_plugin_sdk::{
    DataStream, Failure, Job, Listing, NO_OPTIONS, Page, Plugin, PluginArtefact, Reason, ResourceRef,
    SchemaTexts, TypeInfo, async_trait, unknown_type, v1,
};
use serde_json::{Value, json};

use crate::programs::Server;

const SERVER: &str = "PostgreSQL::Server";
const DATABASE: &str = "PostgreSQL::Database";

const PROTECT: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "schema_only": {"type": "boolean", "description": "Definitions without rows.", "default": false},
    "owners": {"type": "boolean", "description": "Whether objects keep their owners and rights; these roles must be there at restore.", "default": true}
  },
  "additionalProperties": false
}"#;
const RESTORE: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "database": {"type": "string", "description": "Name of the new database.", "minLength": 1, "maxLength": 63, "pattern": "^[^\\x00-\\x1f]+$"}
  },
  "required": ["database"],
  "additionalProperties": false
}"#;

/// Lists databases with what people want to know of them.
const LIST: &str = "select coalesce(json_agg(json_build_object('name', datname, 'bytes', pg_database_size(oid), \
    'note', coalesce(shobj_description(oid, 'pg_database'), '')) order by datname), '[]') \
    from pg_database where datallowconn and not datistemplate;";

/// Protects the databases of one server.
pub struct Postgres {
    server: Server,
}

impl Postgres {
    /// The server that libpq's environment variables (`PGHOST`, `PGPORT`, `PGUSER`, …) name.
    pub fn from_environment() -> Self {
        Postgres { server: Server::default() }
    }

    async fn databases(&self) -> Result<Vec<Value>, Failure> {
        let text = self.server.query("postgres", LIST, &[]).await?;
        let rows: Result<Vec<Value>, _> = serde_json::from_str(text.trim());
        rows.map_err(|error| Failure::new(Reason::Bug, format!("psql's list of databases: {error}")))
    }

    async fn database(&self, name: &str) -> Result<Option<Value>, Failure> {
        Ok(self.databases().await?.into_iter().find(|row| row["name"] == name))
    }
}

fn resource(row: &Value) -> v1::Resource {
    let name = row["name"].as_str().unwrap_or_default();
    v1::Resource {
        r#ref: Some(v1::ResourceRef { r#type: DATABASE.into(), id: name.into() }),
        name: name.into(),
        status: "open".into(),
        parent: Some(v1::ResourceRef { r#type: SERVER.into(), id: "server".into() }),
        details: [("bytes".to_owned(), row["bytes"].to_string())].into(),
        ..Default::default()
    }
}

fn server() -> v1::Resource {
    let reference = v1::ResourceRef { r#type: SERVER.into(), id: "server".into() };
    v1::Resource {
        r#ref: Some(reference),
        name: "PostgreSQL".into(),
        status: "there".into(),
        ..Default::default()
    }
}

/// Names that are no ids of resources; they cannot be protected, so a list without them is not whole.
fn listing(rows: &[Value], page: &Page) -> Listing {
    let is_id = |row: &&Value| {
        row["name"]
            .as_str()
            .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '))
    };
    let after = |row: &&Value| row["name"].as_str().is_some_and(|name| name > page.token.as_str());
    let mut rest: Vec<&Value> = rows.iter().filter(is_id).filter(after).collect();
    rest.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    let more = rest.len() > page.size;
    rest.truncate(page.size);
    let last = rest.last().and_then(|row| row["name"].as_str()).unwrap_or_default();
    Listing {
        next: if more { last.to_owned() } else { String::new() },
        resources: rest.into_iter().map(resource).collect(),
        missing: rows
            .iter()
            .filter(|row| !is_id(row))
            .map(|row| format!("database {}: its name is not ASCII", row["name"]))
            .collect(),
    }
}

#[async_trait]
impl Plugin for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn capabilities(&self) -> v1::GetCapabilitiesResponse {
        v1::GetCapabilitiesResponse { data: true, incremental: false }
    }

    fn types(&self) -> Vec<TypeInfo> {
        vec![
            TypeInfo { name: SERVER, parents: &[], display_name: "PostgreSQL server", protectable: false },
            TypeInfo {
                name: DATABASE,
                parents: &[SERVER],
                display_name: "PostgreSQL database",
                protectable: true,
            },
        ]
    }

    fn schemas(&self, kind: &str, version: Option<&str>) -> Option<SchemaTexts> {
        let is_known = kind == DATABASE && matches!(version, None | Some("1"));
        let texts = SchemaTexts {
            version: "1",
            protect: PROTECT,
            restore: RESTORE,
            verify: NO_OPTIONS,
            delete: NO_OPTIONS,
        };
        is_known.then_some(texts)
    }

    async fn probe(&self) -> Result<(), Failure> {
        self.databases().await.map(drop)
    }

    async fn list(&self, kind: &str, page: &Page) -> Result<Listing, Failure> {
        match kind {
            SERVER => Ok(Listing { resources: vec![server()], ..Listing::default() }),
            DATABASE => Ok(listing(&self.databases().await?, page)),
            other => Err(unknown_type(other)),
        }
    }

    async fn show(&self, reference: &ResourceRef) -> Result<v1::Resource, Failure> {
        let id = reference.id.as_ref();
        let found = match reference.kind.as_ref() {
            SERVER => (id == "server").then(server),
            _ => self.database(id).await?.as_ref().map(resource),
        };
        found.ok_or_else(|| Failure::not_found(reference))
    }

    async fn dependents(&self, parent: &ResourceRef, page: &Page) -> Result<Listing, Failure> {
        match parent.kind.as_ref() {
            SERVER => Ok(listing(&self.databases().await?, page)),
            _ => Ok(Listing::default()),
        }
    }

    async fn protect(&self, job: &Job, _base: Option<&PluginArtefact>) -> Result<PluginArtefact, Failure> {
        let database = job.reference.id.as_ref();
        self.database(database).await?.ok_or_else(|| Failure::not_found(&job.reference))?;
        let schema_only = job.options["schema_only"] == true;
        job.progress(format!("dumps {database}")).await;
        let bytes = self.server.dump(database, schema_only, job.options["owners"] == true, job).await?;
        let id = job.key.parse().map_err(|_| Failure::new(Reason::Invalid, "the key is no id"))?;
        let details = json!({ "database": database, "bytes": bytes, "schema_only": schema_only });
        Ok(PluginArtefact { id, details: details.to_string(), has_data: true })
    }

    /// The database's comment tells whose work it is, and whether it is finished: what a killed restore left is made anew.
    async fn restore(
        &self,
        job: &Job,
        _artefact: &PluginArtefact,
        _protect_options: &str,
        data: &mut DataStream,
    ) -> Result<v1::Resource, Failure> {
        let name = job.text("database").unwrap_or_default();
        let (done, begun) =
            (format!("coffer restore {}", job.key), format!("coffer restore {} is not finished", job.key));
        let variables = [("name", name), ("done", done.as_str()), ("begun", begun.as_str())];
        match self.database(name).await? {
            Some(found) if found["note"] == done.as_str() => return Ok(resource(&found)),
            Some(found) if found["note"] == begun.as_str() => {
                self.server.query("postgres", "drop database :\"name\" with (force);", &variables).await?;
            }
            Some(_) => {
                let text =
                    format!("a database named {name} is there already; choose another name, or drop it");
                return Err(Failure::new(Reason::NotReady, text));
            }
            None => {}
        }
        let create =
            "create database :\"name\" template template0;\ncomment on database :\"name\" is :'begun';";
        self.server.query("postgres", create, &variables).await?;
        job.progress(format!("loads {name}")).await;
        self.server.load(name, data).await?;
        self.server.query("postgres", "comment on database :\"name\" is :'done';", &variables).await?;
        let made = self.database(name).await?;
        made.as_ref().map(resource).ok_or_else(|| Failure::not_found(name))
    }

    /// The data are the repository's: it checks them itself.
    async fn verify(&self, _job: &Job, _artefact: &PluginArtefact) -> Result<(), Failure> {
        Ok(())
    }

    /// Nothing is outside of the repository.
    async fn delete(&self, _job: &Job, _artefact: Option<&PluginArtefact>) -> Result<(), Failure> {
        Ok(())
    }
}
