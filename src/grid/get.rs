//! One Get: ranges of a share from one friend, proved and unsealed.

use super::ranges::Ranges;
use super::{Grid, friends};
use crate::content::{CatalogueRecord, Leaf, ProofDecoder, ProofError, SharePlace};
use crate::keys::DriveId;
use crate::net::Priority;
use crate::wire::{DATA_MAX, LEAF_BULK, LEAF_SMALL, Reason, Request, Response};
use std::time::Duration;
use tokio::time::Instant;

/// Reads up to this many bytes are proved in leaves of 1 KiB.
const SMALL_READ: u64 = 32 << 10;
/// Why a Get brought nothing.
pub(super) enum GetError {
    /// Trying again may help.
    Later(String),
    /// Trying again does not help.
    Never(String),
    /// Nor here: by its own signed word it does not have the share, or it gave wrong bytes.
    Lost(String),
}

impl Grid {
    /// One Get: proved and unsealed bytes by their offset in the share.
    pub(super) async fn get_ranges(
        &self,
        drive: DriveId,
        record: &CatalogueRecord,
        place: usize,
        share_len: u64,
        ranges: &Ranges,
        deadline: Duration,
    ) -> Result<Vec<(u64, Vec<u8>)>, GetError> {
        let start = Instant::now();
        let place = &record.shares[place];
        let access = self.access(&drive).ok_or_else(|| GetError::Never("the drive was closed".into()))?;
        let never = |e: String| GetError::Never(e);
        let token = access.read_token(place.seal_epoch, &place.holder).map_err(never)?;
        let total: u64 = ranges.iter().map(|r| r.end - r.start).sum();
        let leaf = if total <= SMALL_READ { LEAF_SMALL } else { LEAF_BULK };
        let nonce = self.world.random();
        let request = Request::Get {
            share: place.id,
            account: place.minter,
            token,
            ranges: ranges
                .iter()
                .map(|r| crate::wire::Range { offset: r.start, len: (r.end - r.start) as u32 })
                .collect(),
            leaf,
            nonce,
        };
        let reading = self.read_proof(place, share_len, ranges, leaf, request, deadline);
        let mut parts = match tokio::time::timeout(deadline, reading).await {
            Ok(parts) => parts?,
            Err(_) => return Err(GetError::Never("no answer in time".into())),
        };
        self.note(&place.holder, |h| h.read(start.elapsed()));
        self.roster.statements().count(&place.holder, |c| c.bytes_read = c.bytes_read.saturating_add(total));
        let (pack, place) = (record.pack, place.clone());
        let unsealed = self.world.blocking(move || {
            for (offset, bytes) in &mut parts {
                access.unseal(&pack, &place, *offset, bytes)?;
            }
            Ok(parts)
        });
        unsealed.await.map_err(|e| GetError::Never(e.to_string()))?.map_err(never)
    }

    async fn read_proof(
        &self,
        place: &SharePlace,
        share_len: u64,
        ranges: &Ranges,
        leaf: u8,
        request: Request,
        deadline: Duration,
    ) -> Result<Vec<(u64, Vec<u8>)>, GetError> {
        let asked = match &request {
            Request::Get { nonce, .. } => *nonce,
            _ => return Err(GetError::Never("no read".into())),
        };
        let leaf = Leaf::new(leaf).ok_or_else(|| GetError::Never("leaf".into()))?;
        let bad = |e: ProofError| GetError::Never(e.to_string());
        let mut decoder = ProofDecoder::new(place.id, share_len, ranges, leaf).map_err(bad)?;
        let answer = match self.own(&place.holder) {
            Some(holder) => Ok(friends::ask_own(holder, request, Vec::new()).await),
            None => {
                let answer = self
                    .friends
                    .download(place.holder, request, DATA_MAX, Priority::Interactive, deadline)
                    .await;
                self.saw(&place.holder, answer.as_ref().err());
                answer
            }
        };
        let (response, mut body) = answer.map_err(|e| GetError::Later(e.to_string()))?;
        match response {
            Response::Data { nonce, .. } if nonce == asked => {}
            Response::Data { .. } => return Err(self.other_question(place)),
            Response::Refusal { refusal } => {
                let said = self.said(&place.holder, &refusal).map_err(GetError::Never)?;
                return Err(match said.reason {
                    Reason::Busy => GetError::Later(said.detail),
                    _ => {
                        self.note(&place.holder, |h| {
                            h.errors += 1;
                            h.last_error = Some(format!(
                                "did not give a share that it promised to keep: {}",
                                said.detail
                            ));
                        });
                        match said.reason {
                            Reason::NotFound => GetError::Lost(said.detail),
                            _ => GetError::Never(said.detail),
                        }
                    }
                });
            }
            _ => return Err(GetError::Never("it answered something else".into())),
        }
        let mut parts: Vec<(u64, Vec<u8>)> =
            ranges.iter().map(|r| (r.start, Vec::with_capacity((r.end - r.start) as usize))).collect();
        let mut sink = |offset: u64, bytes: &[u8]| {
            let part = parts.iter_mut().find(|(start, have)| start + have.len() as u64 == offset);
            if let Some((_, have)) = part {
                have.extend_from_slice(bytes);
            }
        };
        while let Some(bytes) = body.chunk().await.map_err(|e| GetError::Later(e.to_string()))? {
            decoder.push(&bytes, &mut sink).map_err(|e| self.lied(place, e))?;
        }
        decoder.finish().map_err(|e| self.lied(place, e))?;
        Ok(parts)
    }

    /// An answer that does not carry the nonce of its request proves nothing of today.
    fn other_question(&self, place: &SharePlace) -> GetError {
        let why = "answered another question than it was asked";
        self.note(&place.holder, |h| h.bad(why.into()));
        GetError::Never(why.into())
    }

    /// A friend served bytes that do not fit their share: it is named, and not believed.
    fn lied(&self, place: &SharePlace, e: ProofError) -> GetError {
        let name = self.roster.name_of(&place.holder);
        tracing::warn!(friend = %name, share = %place.id.short(), "served wrong bytes: {e}");
        self.note(&place.holder, |h| {
            h.wrong_bytes += 1;
            h.bad(format!("served wrong bytes: {e}"));
        });
        GetError::Lost("served wrong bytes".into())
    }
}
