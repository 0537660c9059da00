//! A person's root as 24 words, for paper: BIP-39, English.
//!
//! 256 bits and 8 bits of their SHA-256 are 24 numbers of 11 bits, each a word of the list of
//! 2,048. The seed is the 256 bits themselves: no passphrase goes into it.

use super::secret::Seed;
use bip39::{Language, Mnemonic};
use zeroize::Zeroizing;

/// Words of a phrase.
pub const PHRASE_WORDS: usize = 24;
/// Longest text that is looked at for a phrase, in bytes (a whole kit is shorter).
pub const PHRASE_TEXT_MAX: usize = 64 << 10;

/// Why a text is not a phrase. Says places, never words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PhraseError {
    /// Another number of words.
    #[error("there are {0} words, not {PHRASE_WORDS}")]
    Count(usize),
    /// The word at this place, from 1, is not in the list.
    #[error("word {0} is not in the list of words: it is mistyped")]
    Unknown(usize),
    /// All words are in the list, and do not belong together.
    #[error("the words do not fit together: one is another than on the paper, or two are swapped")]
    Checksum,
    /// Longer than any kit.
    #[error("the text is longer than {PHRASE_TEXT_MAX} bytes: it is no recovery kit")]
    TooLong,
}

/// The 24 words of a root, with blanks between them.
pub fn phrase_of(root: &Seed) -> Zeroizing<String> {
    let mnemonic =
        Mnemonic::from_entropy_in(Language::English, root.expose()).expect("32 bytes are a length of BIP-39");
    let mut out = Zeroizing::new(String::with_capacity(PHRASE_WORDS * 9));
    for word in mnemonic.words() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// The root that 24 words name. Case, line breaks, and the numbers before the words do not matter.
pub fn root_of_phrase(text: &str) -> Result<Seed, PhraseError> {
    if text.len() > PHRASE_TEXT_MAX {
        return Err(PhraseError::TooLong);
    }
    let words: Vec<Zeroizing<String>> = words(text).collect();
    if words.len() != PHRASE_WORDS {
        return Err(PhraseError::Count(words.len()));
    }
    if let Some(at) = words.iter().position(|word| Language::English.find_word(word).is_none()) {
        return Err(PhraseError::Unknown(at + 1));
    }
    // Words of the list have at most eight letters.
    let mut joined = Zeroizing::new(String::with_capacity(PHRASE_WORDS * 9));
    for word in &words {
        joined.push_str(word);
        joined.push(' ');
    }
    let mnemonic = Mnemonic::parse_in_normalized(Language::English, joined.trim_end())
        .map_err(|_| PhraseError::Checksum)?;
    let (entropy, len) = mnemonic.to_entropy_array();
    let entropy = Zeroizing::new(entropy);
    match entropy.first_chunk::<32>() {
        Some(bytes) if len == 32 => Ok(Seed::from_bytes(*bytes)),
        _ => Err(PhraseError::Count(words.len())),
    }
}

/// How many words of a phrase a text has so far: to know when whoever types is done.
pub fn phrase_words(text: &str) -> usize {
    words(text).count()
}

/// Words in lower case; `3.` and `3)` are numbers before one, not words.
fn words(text: &str) -> impl Iterator<Item = Zeroizing<String>> + '_ {
    let parts = text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '.' | ')'));
    let words = parts.filter(|part| !part.is_empty() && !part.chars().all(|c| c.is_ascii_digit()));
    words.map(|word| Zeroizing::new(word.to_lowercase()))
}
