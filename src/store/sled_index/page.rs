//! A page: the records whose keys lie between its own key and that of the page after it. Pure.
//!
//! ```text
//! per record, in the order of their keys:
//!   shared u8: bytes that its key has in common with the one before,
//!   the rest of its key, value length u32, value
//! ```

use crate::world::{BLINDED_LEN, Blinded};
use std::iter::Peekable;
use std::ops::Range;

/// A page takes records until it is this long. sled keeps up to sixteen pages in one of its own,
/// which it reads and rewrites whole.
const FILL: usize = 1024;

/// An opened page.
pub(super) struct Page {
    bytes: Vec<u8>,
    records: Vec<(Blinded, Range<u32>)>,
}

impl Page {
    /// None: these bytes are no page.
    pub(super) fn parse(bytes: Vec<u8>) -> Option<Page> {
        let mut records: Vec<(Blinded, Range<u32>)> = Vec::new();
        let (mut rest, mut key) = (bytes.as_slice(), [0; BLINDED_LEN]);
        while let Some((&shared, after)) = rest.split_first() {
            let (own, after) = after.split_at_checked(BLINDED_LEN.checked_sub(shared.into())?)?;
            key[usize::from(shared)..].copy_from_slice(own);
            let (len, after) = after.split_first_chunk::<4>()?;
            let (value, after) = after.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            let end = u32::try_from(bytes.len() - after.len()).ok()?;
            if records.last().is_some_and(|(last, _)| *last >= key) {
                return None;
            }
            records.push((key, end - value.len() as u32..end));
            rest = after;
        }
        Some(Page { bytes, records })
    }

    fn value(&self, at: &Range<u32>) -> &[u8] {
        self.bytes.get(at.start as usize..at.end as usize).unwrap_or(&[])
    }

    pub(super) fn get(&self, key: &Blinded) -> Option<&[u8]> {
        let found = self.records.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
        self.records.get(found).map(|(_, at)| self.value(at))
    }

    /// Its records from a key on.
    pub(super) fn from(&self, key: &Blinded) -> impl Iterator<Item = (&Blinded, &[u8])> {
        let first = self.records.partition_point(|(k, _)| k < key);
        self.records.iter().skip(first).map(|(k, at)| (k, self.value(at)))
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity() + self.records.capacity() * size_of::<(Blinded, Range<u32>)>()
    }
}

/// A page to be: its key, and its bytes.
pub(super) type Built = (Blinded, Vec<u8>);

/// What becomes of a page when records are written (None: removed) between its key and the next
/// page's: no page, one, or more. Without an old one it is new.
pub(super) fn rewritten<'a>(
    key: Blinded,
    old: Option<&'a Page>,
    writes: impl Iterator<Item = (&'a Blinded, Option<&'a [u8]>)>,
) -> Vec<Built> {
    let mut out: Vec<Built> = Vec::new();
    let mut last = [0; BLINDED_LEN];
    for (record, value) in merged(old, writes.peekable()) {
        match out.last() {
            // The first begins where the old one did.
            None => out.push((key, Vec::new())),
            Some((_, bytes)) if bytes.len() >= FILL => out.push((*record, Vec::new())),
            Some(_) => {}
        }
        let Some((_, bytes)) = out.last_mut() else { break };
        let common = || last.iter().zip(record).take_while(|(a, b)| a == b).count();
        let shared = if bytes.is_empty() { 0 } else { common() };
        bytes.push(shared as u8);
        bytes.extend_from_slice(&record[shared..]);
        bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        bytes.extend_from_slice(value);
        last = *record;
    }
    out
}

/// Old and new records in order; where a key is written, what was there does not count.
fn merged<'a>(
    old: Option<&'a Page>,
    mut writes: Peekable<impl Iterator<Item = (&'a Blinded, Option<&'a [u8]>)>>,
) -> impl Iterator<Item = (&'a Blinded, &'a [u8])> {
    let mut stays = old.into_iter().flat_map(|page| page.from(&[0; BLINDED_LEN])).peekable();
    std::iter::from_fn(move || {
        loop {
            let before = stays.peek().map(|(k, _)| *k);
            match writes.peek() {
                Some((key, _)) if before.is_none_or(|b| *key <= b) => {
                    if before == Some(*key) {
                        stays.next();
                    }
                    if let Some((key, Some(value))) = writes.next() {
                        return Some((key, value));
                    }
                }
                _ => return stays.next(),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Dice, seeds};
    use std::collections::BTreeMap;

    fn key(n: u64) -> Blinded {
        let mut key = [7; BLINDED_LEN];
        key[BLINDED_LEN - 8..].copy_from_slice(&n.to_be_bytes());
        key
    }

    /// Pages kept as an index keeps them, against an ordered map.
    #[test]
    fn pages_hold_what_was_written() {
        for seed in seeds(20) {
            let mut dice = Dice(seed);
            let mut model: BTreeMap<Blinded, Vec<u8>> = BTreeMap::new();
            let mut pages: BTreeMap<Blinded, Vec<u8>> = BTreeMap::new();
            for _ in 0..60 {
                let write = |dice: &mut Dice| {
                    let len = if dice.below(20) == 0 { 5000 } else { dice.below(200) };
                    (key(dice.below(300)), (dice.below(3) > 0).then(|| dice.bytes(len as usize)))
                };
                let writes: BTreeMap<_, _> = (0..dice.below(40)).map(|_| write(&mut dice)).collect();
                for (k, v) in &writes {
                    // One at a time, into the page it belongs to.
                    let (at, old) = match pages.range(..=*k).next_back() {
                        Some((at, bytes)) => (*at, Some(Page::parse(bytes.clone()).unwrap())),
                        None => ([0; BLINDED_LEN], None),
                    };
                    pages.remove(&at);
                    pages.extend(rewritten(at, old.as_ref(), [(k, v.as_deref())].into_iter()));
                    match v {
                        Some(v) => model.insert(*k, v.clone()),
                        None => model.remove(k),
                    };
                }
                let parsed: Vec<_> = pages.values().map(|b| Page::parse(b.clone()).unwrap()).collect();
                let all = parsed.iter().flat_map(|p| p.from(&[0; BLINDED_LEN]));
                assert!(all.eq(model.iter().map(|(k, v)| (k, v.as_slice()))), "seed {seed}");
            }
        }
    }

    #[test]
    fn bytes_that_are_no_page_are_refused() {
        let value = [5; 40];
        let all: Vec<Blinded> = (0..5).map(key).collect();
        let built = rewritten(key(0), None, all.iter().map(|k| (k, Some(&value[..]))));
        let bytes = &built[0].1;
        let whole = Page::parse(bytes.clone()).unwrap();
        assert_eq!(whole.get(&key(3)), Some(&value[..]));
        assert_eq!(whole.get(&key(9)), None);
        for end in 1..bytes.len() {
            let cut = Page::parse(bytes[..end].to_vec()).map_or(0, |p| p.records.len());
            assert!(cut < 5);
        }
        let twice = [bytes.as_slice(), bytes].concat();
        assert!(Page::parse(twice).is_none(), "keys that do not rise");
    }
}
