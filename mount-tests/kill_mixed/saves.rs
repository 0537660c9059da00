//! Saves as editors do them: a new file, synced, renamed over the old one, and the directory
//! synced. Whole, and never older than the last that was synced.

use super::lab::bytes;
use super::load::{Dice, Killed, Load, sync};
use std::fs::File;
use std::io::Write;
use std::path::Path;

const DOCUMENTS: u64 = 8;

#[derive(Default)]
pub struct Saves {
    /// The last version of each document that was synced.
    synced: Vec<u64>,
}

/// Version `v` of a document.
fn text(document: u64, v: u64) -> Vec<u8> {
    let len = [10, 5000, 70_000, 400_000][(v % 4) as usize];
    let mut out = format!("{document} {v}\n").into_bytes();
    out.extend(bytes(document << 32 | v, len));
    out
}

impl Saves {
    fn save(&mut self, dir: &Path, document: u64) -> Result<(), String> {
        let v = self.synced[document as usize] + 1;
        let (new, name) = (dir.join(format!(".{document}.new")), dir.join(document.to_string()));
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(&text(document, v))?;
            file.sync_all()?;
            std::fs::rename(&new, &name)
        };
        write().map_err(|e: std::io::Error| format!("{}: {e}", name.display()))?;
        sync(dir)?;
        self.synced[document as usize] = v;
        Ok(())
    }
}

impl Load for Saves {
    fn name(&self) -> String {
        "saves".into()
    }

    fn begin(&mut self, _dir: &Path) -> Result<(), String> {
        self.synced = vec![0; DOCUMENTS as usize];
        Ok(())
    }

    fn work(&mut self, dir: &Path, killed: &Killed, dice: &mut Dice) -> Result<(), String> {
        while !killed.is() {
            let done = self.save(dir, dice.roll(DOCUMENTS));
            if killed.is() {
                break;
            }
            done?;
        }
        Ok(())
    }

    fn check(&mut self, dir: &Path) -> Result<String, String> {
        for (document, synced) in (0..).zip(&mut self.synced) {
            let found = match std::fs::read(dir.join(document.to_string())) {
                Ok(found) => found,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound && *synced == 0 => continue,
                Err(e) => return Err(format!("document {document}: {e}")),
            };
            // The one under way may have come to be, too.
            let is = (*synced..=*synced + 1).find(|v| *v > 0 && found == text(document, *v));
            *synced = is.ok_or_else(|| {
                let head = String::from_utf8_lossy(&found[..found.len().min(20)]).into_owned();
                format!("document {document}: version {synced} was synced, found {head:?}, {}", found.len())
            })?;
        }
        Ok(format!("{} saves", self.synced.iter().sum::<u64>()))
    }
}
