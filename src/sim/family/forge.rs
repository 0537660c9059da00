//! Entries and records that nobody had the right to write.

use super::{Family, READER};
use crate::holder::RecordFile;
use crate::keys::{
    AdminChange, AdminLog, AdminRecord, DriveId, DriveKeys, EntryHash, PersonId, Seed, Signed, SigningKey,
    WriterKey, decode_canonical, encode,
};
use crate::tree::{Attrs, Change, Checked, Draft, Header, Kind, Operation, ROOT, Vector, seal_entry};
use crate::wire::{ENTRY_MAX, Head};

/// The name that no tree may ever show.
pub const FORGED: &str = "forged";
/// The first byte of an entry's encoding, and of its record in a holder's file.
const ENTRY: u8 = 1;

/// What an attacker has.
pub struct Loot {
    pub drive: DriveId,
    pub keys: DriveKeys,
    pub admin: Vec<Signed>,
    pub heads: Vec<Head>,
    /// The last entry of some log, as its writer made it.
    pub real: Vec<u8>,
    /// Of keys that nobody knows.
    pub seed: Seed,
}

/// A sound first entry of a log whose writer nobody enrolled, sealed with the drive's keys.
pub fn entry(loot: &Loot) -> Option<Vec<u8>> {
    entry_with(&loot.keys, &loot.seed)
}

fn entry_with(keys: &DriveKeys, seed: &Seed) -> Option<Vec<u8>> {
    let writer = WriterKey::new(seed, [0; 16]);
    let time = 0;
    let attrs = Attrs { mode: 0o755, uid: 0, gid: 0, atime: time, mtime: time, ctime: time, btime: time };
    let change = Change::Create { parent: ROOT, name: FORGED.into(), kind: Kind::Dir, attrs };
    let draft = Draft {
        log: writer.log(),
        seq: 1,
        previous: EntryHash([0; 32]),
        lamport: 1,
        vector: Vector::default(),
        label: FORGED.into(),
        operations: vec![Operation { n: 1, time, utc_offset_min: 0, change }],
    };
    seal_entry(keys, &writer, &draft, &[]).ok().map(|(bytes, _)| bytes)
}

/// The entry that would come next in a writer's log, all of it right but the signature.
pub fn in_its_name(loot: &Loot) -> Option<Vec<u8>> {
    let checked = Checked::parse(&loot.real, &loot.drive).ok()?;
    let (_, body) = loot.real.split_first()?;
    type Parts = (Signed, Vec<u8>, Vec<u8>, Vec<u8>);
    let (_, vector, operations, catalogue): Parts = decode_canonical(body, ENTRY_MAX).ok()?;
    let header = Header {
        seq: checked.header.seq + 1,
        previous: checked.hash,
        lamport: checked.header.lamport + 1,
        ..checked.header
    };
    let signed = Signed::record(&SigningKey::from_seed(&loot.seed), &header);
    Some([&[ENTRY][..], &encode(&(signed, vector, operations, catalogue))].concat())
}

/// A writer's entry with one bit changed.
pub fn altered(loot: &Loot, bit: usize) -> Vec<u8> {
    let mut bytes = loot.real.clone();
    let bit = bit % (bytes.len() * 8).max(1);
    if let Some(byte) = bytes.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
    bytes
}

/// The next record of the drive's admin log, as if the attacker were an admin.
pub fn admin_record(loot: &Loot, person: PersonId) -> Option<Signed> {
    let head = AdminLog::load(&loot.drive, &loot.admin).ok()?.head();
    let change = AdminChange::RemoveMember { person };
    let record = AdminRecord { drive: loot.drive, seq: head.len, previous: head.hash, change };
    Some(Signed::record(&SigningKey::from_seed(&loot.seed), &record))
}

impl Family {
    /// A friend without power turns liar: on its disk, among the drive's logs, is an entry of
    /// nobody's, which it will hand out as if it had been let in.
    pub(super) fn corrupt(&mut self, i: usize) {
        let Some(keys) = self.reader_keys.clone() else { return };
        let machine = self.homes.village.machine(i);
        let path = super::home().places().lent.join("logs").join(self.drive.to_string());
        let there = self.homes.village.disk(i).paths().contains(&path);
        let Some(person) = self.persons.get(i).copied() else { return };
        if i <= READER || !there || self.liars.contains(&i) {
            return;
        }
        let Some(entry) = entry_with(&keys, &Seed::from_bytes(self.secret())) else { return };
        let record = [&[ENTRY][..], &person.0, &entry].concat();
        let written = RecordFile::open(&machine.world, &path, |_, _| {})
            .and_then(|(file, _)| file.append_all_blocking([record]));
        if written.is_ok() {
            self.liars.insert(i);
            self.count("fault: a friend hands out forged entries");
        }
    }
}
