//! What `kith init` was told; a JSON file that people may edit while the daemon is stopped.

use super::api::{Outcome, Trouble};
use super::home::Home;
use crate::content::Coding;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Settings of a node.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub schema: u32,
    /// The name friends see.
    pub label: String,
    /// Bytes lent to friends in all.
    pub lends: u64,
    /// Bytes one friend may use unless its ticket says otherwise.
    pub grant: u64,
    /// The home, rack or site; a random name when nobody gave one.
    pub household: String,
    pub listen: SocketAddr,
    /// Fixed coding for new packs in place of the table by households; for measurements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coding: Option<(u8, u8)>,
}

impl Config {
    pub fn load(home: &Home) -> Outcome<Config> {
        let path = home.config();
        let text = std::fs::read_to_string(&path).map_err(|e| {
            Trouble::new(
                "this machine is not a node yet",
                format!("{}: {e}", path.display()),
                "make it one with 'kith init', or look around with 'kith demo'",
            )
        })?;
        serde_json::from_str(&text).map_err(|e| {
            Trouble::new(
                format!("the settings in {} are not understood", path.display()),
                e,
                "mend the file by hand",
            )
        })
    }

    pub fn store(&self, home: &Home) -> Outcome<()> {
        let path = home.config();
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| Trouble::new("settings not written", e, "report this as a bug"))?;
        std::fs::write(&path, text + "\n").map_err(|e| {
            Trouble::new(
                format!("cannot write {}", path.display()),
                e,
                "check the directory's owner and room",
            )
        })
    }

    pub fn coding(&self) -> Option<Coding> {
        self.coding.filter(|(k, n)| (1..=*n).contains(k)).map(|(k, n)| Coding { k, n })
    }
}
