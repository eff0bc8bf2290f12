//! From objects back to blocks: maps, trailers, packs.

pub(crate) mod block_states;
pub(crate) mod extents;
pub(crate) mod fetch;
pub(crate) mod frame_run;
mod map_opener;
pub(crate) mod map_page;
pub(crate) mod musts;
pub(crate) mod reread;
pub(crate) mod reusable_pack;
pub(crate) mod volume_map;
