//! A whole plugin: directories below one root, each protected as a copy of its files. `files ROOT COPIES SOCKET` serves it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use coffer_plugin_sdk::{
    DataStream, Failure, Job, Listing, NO_OPTIONS, Page, Plugin, PluginArtefact, Reason, ResourceRef,
    SchemaTexts, TypeInfo, async_trait, serve, v1,
};

const KIND: &str = "Example::Directory";
const PROTECT: &str =
    r#"{"type":"object","properties":{"label":{"type":"string","default":""}},"additionalProperties":false}"#;
const RESTORE: &str = r#"{"type":"object","properties":{"name":{"type":"string","pattern":"^[a-z0-9-]{1,64}$"}},"required":["name"],"additionalProperties":false}"#;

pub(crate) struct Files {
    pub(crate) root: PathBuf,
    pub(crate) copies: PathBuf,
}

impl Files {
    /// A name, and never a path: nothing outside of `root` can be named.
    fn named(&self, name: &str) -> Result<PathBuf, Failure> {
        match name {
            "" | "." | ".." => Err(Failure::not_found(name)),
            _ if name.contains(['/', '\0']) => Err(Failure::not_found(name)),
            _ => Ok(self.root.join(name)),
        }
    }

    fn copy_of(&self, key: &str) -> PathBuf {
        self.copies.join(key.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-"))
    }
}

fn resource(name: &str) -> v1::Resource {
    let reference = v1::ResourceRef { r#type: KIND.into(), id: name.into() };
    v1::Resource { r#ref: Some(reference), name: name.into(), status: "there".into(), ..Default::default() }
}

fn failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let text = format!("{what} {}", path.display());
    move |error| Failure::new(Reason::Failed, format!("{text}: {error}"))
}

/// Copies the files right in `from`; whole or not at all.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let part = to.with_extension("part");
    let _nothing_left = fs::remove_dir_all(&part);
    fs::create_dir_all(&part)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), part.join(entry.file_name()))?;
        }
    }
    fs::rename(part, to)
}

#[async_trait]
impl Plugin for Files {
    fn name(&self) -> &'static str {
        "files"
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn types(&self) -> Vec<TypeInfo> {
        vec![TypeInfo { name: KIND, parents: &[], display_name: "Directory", protectable: true }]
    }

    fn schemas(&self, _kind: &str, version: Option<&str>) -> Option<SchemaTexts> {
        matches!(version, None | Some("1")).then_some(SchemaTexts {
            version: "1",
            protect: PROTECT,
            restore: RESTORE,
            verify: NO_OPTIONS,
            delete: NO_OPTIONS,
        })
    }

    async fn list(&self, _kind: &str, _page: &Page) -> Result<Listing, Failure> {
        let entries = fs::read_dir(&self.root).map_err(failed("list", &self.root))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(Listing { resources: names.map(|name| resource(&name)).collect(), ..Listing::default() })
    }

    async fn show(&self, reference: &ResourceRef) -> Result<v1::Resource, Failure> {
        let name = reference.id.as_ref();
        if self.named(name)?.is_dir() { Ok(resource(name)) } else { Err(Failure::not_found(reference)) }
    }

    async fn protect(&self, job: &Job, _base: Option<&PluginArtefact>) -> Result<PluginArtefact, Failure> {
        self.show(&job.reference).await?;
        let (from, to) = (self.named(job.reference.id.as_ref())?, self.copy_of(&job.key));
        if !to.exists() {
            copy(&from, &to).map_err(failed("copy to", &to))?;
        }
        let id = job.key.parse().map_err(|_| Failure::new(Reason::Invalid, "the key is no id"))?;
        Ok(PluginArtefact { id, details: "{}".into(), has_data: false })
    }

    async fn restore(
        &self,
        job: &Job,
        artefact: &PluginArtefact,
        _options: &str,
        _data: &mut DataStream,
    ) -> Result<v1::Resource, Failure> {
        let name = job.text("name").unwrap_or_default();
        let (from, to) = (self.copy_of(artefact.id.as_ref()), self.named(name)?);
        copy(&from, &to).map_err(failed("copy to", &to))?;
        Ok(resource(name))
    }

    async fn verify(&self, job: &Job, artefact: &PluginArtefact) -> Result<(), Failure> {
        if self.copy_of(artefact.id.as_ref()).is_dir() {
            Ok(())
        } else {
            Err(Failure::not_found(format!("the copy of {}", job.reference)))
        }
    }

    async fn delete(&self, job: &Job, _artefact: Option<&PluginArtefact>) -> Result<(), Failure> {
        let copy = self.copy_of(&job.key);
        match fs::remove_dir_all(&copy) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &copy)(error)),
            _ => Ok(()),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [root, copies, socket] = words.try_into().map_err(|_| "usage: files ROOT COPIES SOCKET")?;
    Ok(serve(Files { root, copies }, &socket).await?)
}
