//! Packs: header, trailer and footer, and on demand every frame held against its trailer entry.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use coffer_format::{
    BlockHasher, Damaged, DamagedOrdinals, FOOTER_LEN, Footer, FrameOpener, Id, PACK_HEADER_LEN, PackHeader,
    PackInfo, TrailerEntry, decompress_within, is_zero, object_key,
};

use super::report::VerifyReport;
use super::volume_check::VolumeCheck;
use crate::EngineError;
use crate::backup::read_damaged;
use crate::read::block_states::{TRAILER_PAGE, Trailers};
use crate::read::fetch::PackReader;
use crate::read::map_page::get_range;
use crate::read::volume_map::VolumeMap;
use crate::records;
use crate::resources::RANGE_BYTES;

/// One pack to check.
pub(super) struct PackTask {
    pub(super) lineage: u16,
    pub(super) number: u32,
    pub(super) point: Id,
    pub(super) key: String,
    pub(super) listed_len: Option<u64>,
    pub(super) read_data: bool,
}

/// What all threads that check packs of one map share.
pub(super) struct PackCheck<'a> {
    pub(super) volume: &'a VolumeCheck<'a>,
    pub(super) map: &'a VolumeMap,
    pub(super) reader: Option<PackReader<'a>>,
    pub(super) trailers: Trailers,
    pub(super) hasher: BlockHasher,
}

impl PackCheck<'_> {
    /// Takes tasks until none is left; problems go to `found`.
    pub(super) fn work(
        &self,
        tasks: &[PackTask],
        next: &AtomicUsize,
        found: &Mutex<(VerifyReport, Option<EngineError>)>,
    ) {
        while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let checked = self.pack(task);
            let Ok(mut found) = found.lock() else { return };
            found.0.packs += 1;
            match checked {
                Ok(bytes) => found.0.bytes_read += bytes,
                Err(error @ (EngineError::Object { .. } | EngineError::Damaged { .. })) => {
                    found.0.problem("pack", task.key.clone(), &error, self.volume.points.iter().copied());
                    if let Err(error) = self.note_damage(task, &error) {
                        found.0.notice(format!("damage of {} could not be noted: {error}", task.key));
                    }
                }
                Err(error) => {
                    found.1.get_or_insert(error);
                    next.store(usize::MAX / 2, Ordering::Relaxed);
                }
            }
        }
    }

    fn pack(&self, task: &PackTask) -> Result<u64, EngineError> {
        self.volume.repository.environment().cancel.check()?;
        let info = self.map.pack(task.lineage, task.number)?;
        if task.listed_len != Some(info.object_len) {
            let have = task.listed_len.map_or("missing".to_owned(), |len| format!("{len} bytes long"));
            let detail = format!("the object is {have}, the pack table says {} bytes", info.object_len);
            return Err(self.volume.damaged(&task.key, 0, &detail));
        }
        let header = self.map.rereads.reread_damage(|| self.header(task, &info))?;
        self.map.rereads.reread_damage(|| self.footer(task, &info, &header))?;
        let pages = info.frames.div_ceil(TRAILER_PAGE);
        let mut at =
            PackPosition { offset: PACK_HEADER_LEN as u64, ordinal: 0, next_block: info.first_block };
        for page in 0..pages {
            let entries = self.map.trailer_page(&self.trailers, task.lineage, task.number, &info, page)?;
            let start = PackPosition { ..at };
            self.positions(task, &entries, &mut at)?;
            if task.read_data {
                self.frames(task, &entries, start)?;
            }
        }
        if at.offset != info.trailer_offset {
            return Err(self.volume.damaged(
                &task.key,
                at.offset,
                "the frames do not end where the trailer begins",
            ));
        }
        Ok(if task.read_data {
            info.object_len
        } else {
            info.object_len - info.trailer_offset + PACK_HEADER_LEN as u64
        })
    }

    fn header(&self, task: &PackTask, info: &PackInfo) -> Result<[u8; PACK_HEADER_LEN], EngineError> {
        let mut bytes = [0; PACK_HEADER_LEN];
        get_range(self.volume.repository.store().as_ref(), &self.map.volume, &task.key, 0, &mut bytes)?;
        let header = PackHeader::decode(&bytes).map_err(EngineError::object(&task.key))?;
        let fits = header.suite == self.map.suite()
            && header.block_size == self.map.block_size()
            && header.number == task.number
            && header.origin == self.map.repository()
            && header.context == self.map.pack_context(task.lineage, task.number)?
            && header.sealed_key == info.sealed_key;
        if fits {
            Ok(bytes)
        } else {
            Err(self.volume.damaged(&task.key, 0, "the header belongs to another pack"))
        }
    }

    fn footer(
        &self,
        task: &PackTask,
        info: &PackInfo,
        header: &[u8; PACK_HEADER_LEN],
    ) -> Result<(), EngineError> {
        let offset = info.object_len.saturating_sub(FOOTER_LEN as u64);
        let mut bytes = [0; FOOTER_LEN];
        get_range(self.volume.repository.store().as_ref(), &self.map.volume, &task.key, offset, &mut bytes)?;
        let cipher = self.map.trailer_cipher(task.lineage, task.number)?;
        let footer = Footer::decode(&cipher, info.object_len, header, &bytes)
            .map_err(EngineError::object(&task.key))?;
        if footer.frames == info.frames && footer.trailer_offset == info.trailer_offset {
            return Ok(());
        }
        Err(self.volume.damaged(&task.key, offset, "footer and pack table do not agree"))
    }

    fn positions(
        &self,
        task: &PackTask,
        entries: &[TrailerEntry],
        at: &mut PackPosition,
    ) -> Result<(), EngineError> {
        for entry in entries {
            if entry.block < at.next_block {
                return Err(self.volume.damaged(&task.key, at.offset, "blocks do not ascend in the trailer"));
            }
            at.next_block = entry.block + 1;
            at.offset += u64::from(entry.frame_len());
            at.ordinal += 1;
        }
        Ok(())
    }

    /// Reads and opens the frames of one trailer page, and holds each against its entry.
    fn frames(
        &self,
        task: &PackTask,
        entries: &[TrailerEntry],
        mut at: PackPosition,
    ) -> Result<(), EngineError> {
        let Some(reader) = &self.reader else { return Ok(()) };
        let opener = reader.opener(task.lineage, task.number)?;
        let cancel = &self.volume.repository.environment().cancel;
        let alloc = |len| self.volume.resources.alloc(len, cancel);
        let mut buffer = alloc(usize::try_from(RANGE_BYTES).unwrap_or(usize::MAX))?;
        let mut block_buffer = alloc(self.map.block_size().bytes() as usize)?;
        let mut rest = entries;
        while !rest.is_empty() {
            cancel.check()?;
            let (count, len) = fill(rest, buffer.len());
            let (batch, later) = rest.split_at(count);
            at = self.map.rereads.reread_damage(|| {
                let (bytes, mut at, store) = (&mut buffer[..len], at, self.volume.repository.store());
                get_range(store.as_ref(), &self.map.volume, &task.key, at.offset, bytes)?;
                self.batch(task, &opener, batch, bytes, &mut block_buffer, &mut at)?;
                Ok(at)
            })?;
            rest = later;
        }
        Ok(())
    }

    fn batch(
        &self,
        task: &PackTask,
        opener: &FrameOpener,
        batch: &[TrailerEntry],
        mut bytes: &mut [u8],
        block_buffer: &mut [u8],
        at: &mut PackPosition,
    ) -> Result<(), EngineError> {
        for entry in batch {
            let wrong = |detail: String| {
                self.volume.damaged(&task.key, at.offset, &format!("block {}: {detail}", entry.block))
            };
            let (frame, later) = std::mem::take(&mut bytes).split_at_mut(entry.frame_len() as usize);
            let (codec, stored_len) = entry.stored().map_err(|error| wrong(error.to_string()))?;
            let header = opener.peek(frame).map_err(|error| wrong(error.to_string()))?;
            let tag_fits = frame.ends_with(&entry.tag);
            if (header.codec, header.stored_len) != (codec, stored_len)
                || header.ordinal != at.ordinal
                || !tag_fits
            {
                return Err(wrong("the frame is not the one that the trailer describes".into()));
            }
            let (codec, stored) =
                opener.open_in_place(at.ordinal, frame).map_err(|error| wrong(error.to_string()))?;
            // The volume's last block was shorter when an earlier point wrote it; the hash tells whether all is there.
            let len =
                decompress_within(codec, stored, block_buffer).map_err(|error| wrong(error.to_string()))?;
            let plain = &block_buffer[..len];
            if is_zero(plain) || self.hasher.hash(plain) != entry.hash {
                return Err(wrong("the content is not what was hashed".into()));
            }
            at.offset += u64::from(entry.frame_len());
            at.ordinal += 1;
            bytes = later;
        }
        Ok(())
    }

    fn note_damage(&self, task: &PackTask, error: &EngineError) -> Result<(), EngineError> {
        let environment = self.volume.repository.environment();
        let run = environment.new_id()?;
        let team = &self.volume.record.team;
        let note = Damaged {
            format: 1,
            repository: self.volume.repository.id(),
            team: team.clone(),
            point: task.point,
            volume: self.volume.record.name.clone(),
            pack: task.number,
            run,
            ordinals: DamagedOrdinals::All,
            time: environment.clock.now(),
            detail: error.to_string(),
        };
        let prefix =
            object_key::damaged_pack_prefix(team, &task.point, &self.volume.record.name, task.number);
        if read_damaged(self.volume.repository, &prefix, |_, _| true)?.is_empty() {
            records::put(self.volume.repository, &note.key(), &note)?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct PackPosition {
    offset: u64,
    ordinal: u32,
    next_block: u32,
}

/// How many frames fit into a buffer, and their length; at least one.
fn fill(entries: &[TrailerEntry], room: usize) -> (usize, usize) {
    let mut len = 0;
    let mut count = 0;
    for entry in entries {
        let frame = entry.frame_len() as usize;
        if count > 0 && len + frame > room {
            break;
        }
        len += frame;
        count += 1;
    }
    (count, len)
}
