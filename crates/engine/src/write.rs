//! From encoded blocks to objects: parts, packs and the map.

pub(crate) mod compression_policy;
pub(crate) mod line_speed;
pub(crate) mod map_writer;
pub(crate) mod object_writer;
pub(crate) mod pack_writer;
pub(crate) mod taken_table;
pub(crate) mod uploader;
