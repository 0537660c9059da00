//! Where a node lives on this machine.
//!
//! By default the XDG places of the user; `--home DIR` (or `KITH_HOME`) puts everything of
//! one node below one directory, which is how several nodes share a machine.

use crate::world::Places;
use std::path::{Path, PathBuf};

/// The directories and files of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// Keys, journal, entries: must never be lost, so never in a cache directory.
    pub state: PathBuf,
    /// What can be fetched again.
    pub cache: PathBuf,
    /// The control socket and nothing else.
    pub runtime: PathBuf,
}

impl Home {
    /// Everything below one directory.
    pub fn below(dir: &Path) -> Home {
        Home { state: dir.join("state"), cache: dir.join("cache"), runtime: dir.join("run") }
    }

    /// From `--home`, else `KITH_HOME`, else XDG, else `~`. None when there is no home at all.
    pub fn find(option: Option<&Path>) -> Option<Home> {
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        if let Some(dir) = option.map(Path::to_path_buf).or_else(|| set("KITH_HOME")) {
            return Some(Home::below(&std::path::absolute(&dir).unwrap_or(dir)));
        }
        let home = set("HOME");
        let xdg = |name: &str, below: &str| {
            // The specification wants relative values ignored.
            set(name).filter(|p| p.is_absolute()).or_else(|| home.as_ref().map(|h| h.join(below)))
        };
        let state = xdg("XDG_DATA_HOME", ".local/share")?.join("kith");
        let runtime = set("XDG_RUNTIME_DIR").map(|d| d.join("kith")).unwrap_or_else(|| state.join("run"));
        Some(Home { cache: xdg("XDG_CACHE_HOME", ".cache")?.join("kith"), state, runtime })
    }

    pub fn socket(&self) -> PathBuf {
        self.runtime.join("control.sock")
    }
    /// Settings: what `kith init` was told, editable by hand.
    pub fn config(&self) -> PathBuf {
        self.state.join("config.json")
    }
    pub fn log(&self) -> PathBuf {
        self.state.join("kith.log")
    }
    /// Held locked by the running daemon.
    pub fn lock(&self) -> PathBuf {
        self.state.join("lock")
    }
    pub fn places(&self) -> Places {
        Places { state: self.state.clone(), cache: self.cache.clone(), lent: self.state.join("lent") }
    }
}
