//! From objects back to blocks: maps, trailers, packs.

pub(crate) mod fetch;
pub(crate) mod volume_map;
