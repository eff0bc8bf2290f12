//! Generates code from the .proto files with protox (no protoc needed), and the closed list of calls from their descriptors.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use prost_types::FileDescriptorSet;

/// What agents serve.
const AGENT: [&str; 3] =
    ["coffer/agent/v1/node.proto", "coffer/agent/v1/operations.proto", "coffer/agent/v1/volumes.proto"];

/// What plugins serve.
const PLUGIN: [&str; 4] = [
    "coffer/plugin/v1/identity.proto",
    "coffer/plugin/v1/protectables.proto",
    "coffer/plugin/v1/protection.proto",
    "coffer/plugin/v1/resource.proto",
];

/// Messages with secrets: `src/redacted.rs` shows them without.
const SECRET: [&str; 2] = ["coffer.agent.v1.Repository", "coffer.agent.v1.S3Credentials"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=coffer");
    let out = env::var("OUT_DIR")?;
    let agent = compile(&AGENT)?;
    fs::write(Path::new(&out).join("descriptors.bin"), agent.encode_file_descriptor_set())?;
    fs::write(Path::new(&out).join("rpc.rs"), calls(&agent.file_descriptor_set())?)?;
    tonic_prost_build::configure().skip_debug(SECRET).compile_fds(agent.file_descriptor_set())?;
    let plugin = compile(&PLUGIN)?;
    fs::write(Path::new(&out).join("plugin_descriptors.bin"), plugin.encode_file_descriptor_set())?;
    tonic_prost_build::configure().compile_fds(plugin.file_descriptor_set())?;
    Ok(())
}

fn compile(files: &[&str]) -> Result<protox::Compiler, protox::Error> {
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_files(files)?;
    Ok(compiler)
}

/// An enum of all calls of the agent's services, with their paths.
fn calls(descriptors: &FileDescriptorSet) -> Result<String, std::fmt::Error> {
    let mut found = Vec::new();
    for file in descriptors.file.iter().filter(|file| file.package().starts_with("coffer.")) {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                found.push((format!("{}{}", service.name(), method.name()), path));
            }
        }
    }
    let mut text = String::from(
        "/// A call of Coffer's own services.\n#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]\npub enum Rpc {\n",
    );
    for (name, path) in &found {
        writeln!(text, "    /// `{path}`\n    {name},")?;
    }
    text.push_str("}\n\nimpl Rpc {\n    /// All calls.\n    pub const ALL: &[Rpc] = &[");
    for (name, _) in &found {
        write!(text, "Rpc::{name}, ")?;
    }
    text.push_str("];\n\n    /// The path of its HTTP/2 request.\n    pub fn path(self) -> &'static str {\n        match self {\n");
    for (name, path) in &found {
        writeln!(text, "            Rpc::{name} => \"{path}\",")?;
    }
    text.push_str("        }\n    }\n}\n");
    Ok(text)
}
