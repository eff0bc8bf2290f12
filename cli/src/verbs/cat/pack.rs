//! `coffer cat pack`: the header always; footer and block index with a key of the team. Blocks are never printed.

use clap::Args;
use coffer_engine::{EngineError, Repository};
use coffer_format::{
    Codec, DataObject, FOOTER_LEN, Footer, Id, MetadataCipher, ObjectContext, PACK_HEADER_LEN, PackHeader,
    PlanId, TrailerEntry, decode_trailer_page, object_key, trailer_page_range,
};
use serde_json::{Value, json};

use super::object::{damaged, metadata_secrets, object_len, read_range};
use super::options::CatOptions;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  coffer cat pack --repo file:///srv/backup --key writer.key t/default/data/host/default/web/CHAIN/POINT/vdb/p00000000";

/// Options of `cat pack`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct PackArguments {
    #[command(flatten)]
    options: CatOptions,

    /// Object key
    #[arg(value_name = "KEY")]
    object: String,

    /// Most blocks that are printed
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

pub(super) fn run(session: &Session, arguments: &PackArguments) -> Result<ExitStatus, CliError> {
    let key = &arguments.object;
    let (plan, chain) = parse(key)?;
    let repository = session.open(&arguments.options.repository, &arguments.options.key)?;
    let length = object_len(&repository, key)?;
    let header_bytes = read_range(&repository, key, 0, PACK_HEADER_LEN)?;
    let header = PackHeader::decode(&header_bytes).map_err(|source| damaged(key, source))?;
    let mut document = json!({
        "key": key, "length": length, "footer": null, "blocks": [],
        "header": {
            "suite": header.suite.number(), "block_size": header.block_size.bytes(), "number": header.number,
            "origin": header.origin, "context": header.context,
        },
    });
    match metadata_secrets(&repository, &plan, chain)? {
        None => document["notice"] = json!("footer and block index need a key of the team"),
        Some(secrets) => {
            let context = ObjectContext::new(&header.origin, key);
            let cipher = MetadataCipher::new(header.suite, &secrets, &context);
            let pack = Pack { repository: &repository, key, cipher, length };
            let footer = pack.footer(&header_bytes)?;
            document["footer"] = json!({
                "frames": footer.frames, "pages": footer.pages(), "trailer_offset": footer.trailer_offset,
            });
            document["blocks"] = pack.blocks(&footer, arguments.limit)?;
        }
    }
    session.output.show_json(&document)?;
    Ok(ExitStatus::Done)
}

fn parse(key: &str) -> Result<(PlanId, Id), CliError> {
    match object_key::parse_data(key) {
        Ok((plan, chain, DataObject::Pack { .. })) => Ok((plan, chain)),
        _ => Err(CliError::Usage(format!(
            "`{key}` is no pack's key; write t/TEAM/data/CLUSTER/NAMESPACE/PLAN/CHAIN/POINT/VOLUME/p00000000"
        ))),
    }
}

struct Pack<'a> {
    repository: &'a Repository,
    key: &'a str,
    cipher: MetadataCipher,
    length: u64,
}

impl Pack<'_> {
    fn footer(&self, header: &[u8]) -> Result<Footer, EngineError> {
        let offset = self.length.saturating_sub(FOOTER_LEN as u64);
        let bytes = read_range(self.repository, self.key, offset, FOOTER_LEN)?;
        let header =
            header.first_chunk().ok_or_else(|| EngineError::Bug("a header of another length".into()))?;
        Footer::decode(&self.cipher, self.length, header, &bytes).map_err(|source| damaged(self.key, source))
    }

    fn blocks(&self, footer: &Footer, limit: usize) -> Result<Value, EngineError> {
        let mut blocks = Vec::new();
        for page in 0..footer.pages() {
            if blocks.len() >= limit {
                break;
            }
            let (offset, len) = trailer_page_range(footer.trailer_offset, footer.frames, page);
            // A page has at most 1,024 entries, so this is at most 56 KiB and a tag.
            let stored = read_range(self.repository, self.key, offset, usize::try_from(len).unwrap_or(0))?;
            let entries = decode_trailer_page(&self.cipher, offset, &stored);
            let entries = entries.map_err(|source| damaged(self.key, source))?;
            for entry in entries.iter().take(limit - blocks.len()) {
                blocks.push(self.describe(entry)?);
            }
        }
        Ok(Value::Array(blocks))
    }

    fn describe(&self, entry: &TrailerEntry) -> Result<Value, EngineError> {
        let (codec, stored) = entry.stored().map_err(|source| damaged(self.key, source))?;
        let codec = match codec {
            Codec::Raw => "raw",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        };
        Ok(json!({ "block": entry.block, "codec": codec, "stored": stored }))
    }
}
