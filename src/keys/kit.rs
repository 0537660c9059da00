//! The recovery kit: what a person keeps on paper to come back from nothing.
//!
//! The words alone cannot find a grid, so the kit has friends' addresses beside them. It is text
//! for people; [`Kit::parse`] reads it again, and also the shorter form that its QR code holds:
//! the words on the first line, then one `ADDRESS:PORT#NODE` each.

use super::phrase::{PHRASE_TEXT_MAX, PhraseError, phrase_of, root_of_phrase};
use super::secret::Seed;
use super::{NodeId, PersonId};
use std::fmt::Write;
use std::net::SocketAddr;
use zeroize::Zeroizing;

/// Most places of friends that a kit names.
pub const KIT_FRIENDS_MAX: usize = 16;
/// Of these, how many the QR code names, so that it fits on a screen.
pub const KIT_QR_FRIENDS: usize = 2;
/// Stands alone on the line before the words.
const WORDS_HEAD: &str = "Words:";
/// Words on one line.
const PER_LINE: usize = 4;

/// Where a friend's node may be found.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct KitFriend {
    pub addr: SocketAddr,
    pub node: NodeId,
    /// What the person calls it; empty where the kit does not say.
    pub name: String,
}

/// Why an address is not one of a friend.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KitError {
    #[error("'{0}' is not ADDRESS:PORT#NODE, as in 192.0.2.7:7417#abc... (52 letters and digits)")]
    Friend(String),
    #[error("more than {KIT_FRIENDS_MAX} addresses of friends are named")]
    TooManyFriends,
    #[error("{0}")]
    Phrase(#[from] PhraseError),
}

impl std::str::FromStr for KitFriend {
    type Err = KitError;
    fn from_str(text: &str) -> Result<KitFriend, KitError> {
        let bad = || KitError::Friend(text.chars().take(128).collect());
        let (addr, node) = text.split_once('#').ok_or_else(bad)?;
        let (addr, node) = (addr.parse().map_err(|_| bad())?, node.parse::<NodeId>().map_err(|_| bad())?);
        node.check().map_err(|_| bad())?;
        Ok(KitFriend { addr, node, name: String::new() })
    }
}

impl KitFriend {
    fn place(&self) -> String {
        format!("{}#{}", self.addr, self.node)
    }
}

/// A kit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kit {
    pub root: Seed,
    /// The best place of each friend first.
    pub friends: Vec<KitFriend>,
}

impl Kit {
    /// The text for paper. `drives`: their names; `date`: of today, as people write it.
    pub fn text(&self, person: &PersonId, drives: &[String], date: &str) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(PHRASE_TEXT_MAX / 8));
        let words = phrase_of(&self.root);
        let words: Vec<&str> = words.split(' ').collect();
        let mut line = |text: &str| {
            out.push_str(text);
            out.push('\n');
        };
        line(&format!("kith recovery kit, {date}"));
        line("");
        line(WHAT_FOR);
        line(WORDS_HEAD);
        for (row, four) in words.chunks(PER_LINE).enumerate() {
            let mut text = Zeroizing::new(String::with_capacity(PER_LINE * 16));
            for (i, word) in four.iter().enumerate() {
                // A String takes whatever is written into it.
                let _ = write!(text, "{:>4}. {word:<9}", row * PER_LINE + i + 1);
            }
            line(text.trim_end());
        }
        line("");
        line(&format!("Person: {person}"));
        line(&format!("Drives: {}", if drives.is_empty() { "none yet".into() } else { drives.join(", ") }));
        match self.nodes() {
            0 => line("Friends: none yet. The words find nothing without: make a new kit when there are."),
            1 => line("Friends: one only. If that machine is off or gone, the words find nothing."),
            _ => line("Friends:"),
        }
        for friend in self.friends.iter().take(KIT_FRIENDS_MAX) {
            line(&format!("  {}  {}", friend.place(), friend.name));
        }
        line("");
        line("To come back, on a machine without kith's files: kith recover --from-phrase --kit FILE");
        line("(or without --kit: type the words; --friend ADDRESS:PORT#NODE gives an address).");
        out
    }

    /// How many friends it names: some may have two addresses.
    pub fn nodes(&self) -> usize {
        let named = self.friends.iter().take(KIT_FRIENDS_MAX);
        named.map(|friend| friend.node).collect::<std::collections::BTreeSet<_>>().len()
    }

    /// What the QR code holds: the words and some friends, one to a line.
    pub fn short(&self) -> Zeroizing<String> {
        let mut out = phrase_of(&self.root);
        out.reserve_exact((KIT_QR_FRIENDS + 1) * 128);
        for friend in self.friends.iter().take(KIT_QR_FRIENDS) {
            out.push('\n');
            out.push_str(&friend.place());
        }
        out
    }

    /// Read a kit: its whole text, its short form, or words alone.
    pub fn parse(text: &str) -> Result<Kit, KitError> {
        if text.len() > PHRASE_TEXT_MAX {
            return Err(PhraseError::TooLong.into());
        }
        let mut friends = Vec::new();
        for place in text.lines().filter_map(place_in) {
            friends.push(place.parse()?);
        }
        if friends.len() > KIT_FRIENDS_MAX {
            return Err(KitError::TooManyFriends);
        }
        Ok(Kit { root: root_of_phrase(&words_in(text))?, friends })
    }
}

/// A friend's place at the beginning of a line. (Names may have anything in them.)
fn place_in(line: &str) -> Option<&str> {
    line.split_whitespace().next().filter(|first| first.contains('#'))
}

/// The part of a kit's text that holds the words.
fn words_in(text: &str) -> Zeroizing<String> {
    let all = || text.lines().map(str::trim);
    let mut out = Zeroizing::new(String::with_capacity(text.len() + 1));
    let headed = all().any(|line| line == WORDS_HEAD);
    let after = all().skip_while(|line| headed && *line != WORDS_HEAD).skip(usize::from(headed));
    for line in after.take_while(|line| !headed || !line.is_empty()) {
        if place_in(line).is_none() {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

const WHAT_FOR: &str = "\
What it is for: when this machine is lost, stolen or broken, the words bring back who you are,
your drives and your files, from your friends' machines. Nothing else does; nobody can look them up.
How sensitive it is: whoever has the words is you: reads, changes and deletes all your drives, and
spends what friends lend you. Keep it on paper, where you keep a passport; two copies in two
places; no photo, no mail. Your friends cannot read any of it.
";
