//! The keystore of a running node: in memory, and on disk after every change.

use super::api::{Outcome, Trouble};
use super::home::Home;
use crate::keys::{Argon2Cost, FileKey, Keystore, KeystoreError, Lock, Unlock, ct_eq};
use crate::store::{Damage, SealedFile, StoreError};
use crate::world::{Open, World};
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const KEYSTORE: &str = "keystore";
const FILE_KEY: &str = "keystore.key";

/// What opens the keystore of this node.
enum Opener {
    Passphrase(Zeroizing<String>),
    File(FileKey),
}

impl Opener {
    fn unlock(&self) -> Unlock<'_> {
        match self {
            Opener::Passphrase(words) => Unlock::Passphrase(words),
            Opener::File(key) => Unlock::FileKey(key),
        }
    }
}

/// A node's secrets.
pub struct Keyring {
    world: World,
    file: SealedFile,
    opener: Opener,
    inside: Mutex<Keystore>,
    /// A copy of the keystore that was found damaged at this start.
    mended: Option<Damage>,
    /// One writer at a time, so that the newest state is the one on disk.
    saving: tokio::sync::Mutex<()>,
}

fn trouble(dir: &Path, e: impl ToString) -> Trouble {
    Trouble::new(
        format!("the keys in {} cannot be used", dir.display()),
        e,
        "check the directory's owner and room; restore it from a backup if it is damaged",
    )
}

/// The keystore falls back to no older generation: a drive would vanish with its keys, and the
/// next change would overwrite them.
fn keystore_file(world: &World, home: &Home) -> SealedFile {
    SealedFile::twice(world, &home.state, KEYSTORE, None)
}

fn unread(dir: &Path, e: StoreError) -> Trouble {
    match e {
        StoreError::Damaged(damage) => Trouble::new(
            format!("the keys in {} cannot be used", dir.display()),
            damage,
            format!(
                "nothing was changed: copy {KEYSTORE}.0 and {KEYSTORE}.1 away, then put both back from a \
                 backup; where one of them is whole, moving the damaged one away goes on with it, \
                 without keys that came later"
            ),
        ),
        e => trouble(dir, e),
    }
}

fn refused(e: KeystoreError) -> Trouble {
    let fix = match e {
        KeystoreError::WrongPassphrase => "try again",
        KeystoreError::NeedsPassphrase => {
            "give it: kith daemon --passphrase-stdin (the first line of standard input)"
        }
        KeystoreError::NeedsFileKey => "start without --passphrase-stdin",
        _ => "restore the state directory from a backup",
    };
    Trouble::new("the keystore does not open", e, fix)
}

fn key_path(home: &Home) -> PathBuf {
    home.state.join(FILE_KEY)
}

fn read_file_key(world: &World, home: &Home) -> Outcome<FileKey> {
    let read = || -> std::io::Result<[u8; 32]> {
        let file = world.disk.open(&key_path(home), Open::Read)?;
        let mut bytes = [0; 32];
        match file.read_at(&mut bytes, 0)? {
            32 => Ok(bytes),
            n => Err(std::io::Error::other(format!("{FILE_KEY} holds {n} bytes of 32"))),
        }
    };
    read().map(FileKey::from_bytes).map_err(|e| trouble(&home.state, e))
}

fn make_file_key(world: &World, home: &Home) -> Outcome<FileKey> {
    let bytes: [u8; 32] = world.random();
    let write = || -> std::io::Result<()> {
        let file = world.disk.open(&key_path(home), Open::New)?;
        file.write_at(&bytes, 0)?;
        file.sync()?;
        world.disk.sync_dir(&home.state)
    };
    write().map_err(|e| trouble(&home.state, e))?;
    Ok(FileKey::from_bytes(bytes))
}

/// Whether a node has a keystore already.
pub async fn exists(world: &World, home: &Home) -> Outcome<bool> {
    let file = keystore_file(world, home);
    Ok(file.load().await.map_err(|e| unread(&home.state, e))?.is_some())
}

impl Keyring {
    /// Seal and store the keys of a new node.
    pub async fn create(
        world: &World,
        home: &Home,
        store: Keystore,
        passphrase: Option<&str>,
    ) -> Outcome<Keyring> {
        let opener = match passphrase {
            Some(words) => Opener::Passphrase(Zeroizing::new(words.to_string())),
            None => Opener::File(make_file_key(world, home)?),
        };
        let ring = Keyring::with(world, keystore_file(world, home), opener, store);
        ring.save().await?;
        Ok(ring)
    }

    /// Open the keys of this node.
    pub async fn open(world: &World, home: &Home, passphrase: Option<&str>) -> Outcome<Keyring> {
        let file = keystore_file(world, home);
        let stored = file.load_and_mend().await.map_err(|e| unread(&home.state, e))?;
        let stored = stored.ok_or_else(|| trouble(&home.state, "there is no keystore"))?;
        let bytes = stored.bytes;
        let opener = match (Keystore::lock(&bytes).map_err(refused)?, passphrase) {
            (Lock::FileKey, None) => Opener::File(read_file_key(world, home)?),
            (Lock::FileKey, Some(_)) => return Err(refused(KeystoreError::NeedsFileKey)),
            (Lock::Passphrase(_), Some(words)) => Opener::Passphrase(Zeroizing::new(words.to_string())),
            (Lock::Passphrase(_), None) => return Err(refused(KeystoreError::NeedsPassphrase)),
        };
        let store = Keystore::open(&bytes, opener.unlock()).map_err(refused)?;
        let mut ring = Keyring::with(world, file, opener, store);
        ring.mended = stored.damage;
        Ok(ring)
    }

    fn with(world: &World, file: SealedFile, opener: Opener, store: Keystore) -> Keyring {
        Keyring {
            world: world.clone(),
            file,
            mended: None,
            opener,
            inside: Mutex::new(store),
            saving: tokio::sync::Mutex::new(()),
        }
    }

    /// What a person should know of the keystore's two copies.
    pub fn problem(&self) -> Option<String> {
        if let Some(damage) = self.file.damage() {
            return Some(format!(
                "one of two copies of the keys is damaged and could not be mended: {damage}"
            ));
        }
        let mended = self.mended.as_ref()?;
        Some(format!(
            "one of two copies of the keys was damaged and is mended; the disk may be failing: {mended}"
        ))
    }

    /// Whether these words are the keystore's passphrase. One without needs none.
    pub fn confirm(&self, words: Option<&str>) -> bool {
        match &self.opener {
            Opener::File(_) => true,
            Opener::Passphrase(own) => words.is_some_and(|w| ct_eq(w.as_bytes(), own.as_bytes())),
        }
    }

    /// Look at the keys.
    pub fn read<T>(&self, look: impl FnOnce(&Keystore) -> T) -> T {
        look(&self.inside.lock())
    }

    /// Change the keys; on disk when this returns. Nothing is changed when it fails to be stored.
    pub async fn change<T>(&self, change: impl FnOnce(&mut Keystore) -> T) -> Outcome<T> {
        let before = self.read(Keystore::clone);
        let done = change(&mut self.inside.lock());
        match self.save().await {
            Ok(()) => Ok(done),
            Err(t) => {
                *self.inside.lock() = before;
                Err(t)
            }
        }
    }

    async fn save(&self) -> Outcome<()> {
        let _one_at_a_time = self.saving.lock().await;
        let store = self.read(Keystore::clone);
        let bytes =
            store.seal(self.opener.unlock(), Argon2Cost::DEFAULT, self.world.random()).map_err(refused)?;
        self.file.store(&bytes).await.map(|_| ()).map_err(|e| {
            Trouble::new("the changed keys could not be stored", e, "make room on the disk and try again")
        })
    }
}

async fn load(world: &World, home: &Home) -> Outcome<Vec<u8>> {
    match keystore_file(world, home).load().await.map_err(|e| unread(&home.state, e))? {
        Some(stored) => Ok(stored.bytes),
        None => Err(trouble(&home.state, "there is no keystore")),
    }
}

/// Whether the keystore of this node asks for a passphrase.
pub async fn needs_passphrase(world: &World, home: &Home) -> Outcome<bool> {
    Ok(matches!(Keystore::lock(&load(world, home).await?).map_err(refused)?, Lock::Passphrase(_)))
}

#[cfg(test)]
#[path = "keyring_tests.rs"]
mod tests;
