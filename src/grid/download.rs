//! Reading ranges of a pack back from any k of its shares, hedged, proved, unsealed.

use super::get::GetError;
use super::ranges::{Ranges, join, subtract};
use super::{FetchError, Grid, PackRange};
use crate::content::{CatalogueRecord, Layout, ShareRanges, assemble};
use crate::keys::DriveId;
use crate::wire::GET_RANGES_MAX;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A friend that failed for the moment is asked again after this.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// What became of one Get.
struct Got {
    place: usize,
    ranges: Ranges,
    result: Result<Vec<(u64, Vec<u8>)>, GetError>,
}

impl Grid {
    /// Bytes of a pack from any k of its shares, proved, unsealed; one buffer per range.
    pub async fn fetch(
        self: &Arc<Self>,
        drive: &DriveId,
        record: &CatalogueRecord,
        ranges: &[PackRange],
        deadline: Duration,
    ) -> Result<Vec<Bytes>, FetchError> {
        let outside = |offset, len| FetchError::OutOfRange { pack: record.pack, offset, len };
        if self.access(drive).is_none() {
            return Err(FetchError::UnknownDrive(*drive));
        }
        let layout = Layout::new(record.k, record.len).map_err(|_| outside(0, 0))?;
        let mut wanted: BTreeMap<u16, Ranges> = BTreeMap::new();
        for r in ranges {
            let range = r.offset..r.offset.saturating_add(r.len.into());
            for (share, parts) in layout.wanted(range).map_err(|_| outside(r.offset, r.len))? {
                wanted.entry(share).or_default().extend(parts);
            }
        }
        let fetch = Fetch {
            grid: self.clone(),
            drive: *drive,
            record: Arc::new(record.clone()),
            layout,
            wanted: ranges.iter().map(|r| r.offset..r.offset + u64::from(r.len)).collect(),
            shares: BTreeMap::new(),
            asked: BTreeMap::new(),
            open: Vec::new(),
            tasks: JoinSet::new(),
            failed: BTreeMap::new(),
            start: Instant::now(),
            deadline: Instant::now() + deadline,
        };
        fetch.run(wanted).await
    }
}

/// A Get that is under way.
struct Open {
    place: usize,
    ranges: Ranges,
    hedge_at: Option<Instant>,
}

struct Fetch {
    grid: Arc<Grid>,
    drive: DriveId,
    record: Arc<CatalogueRecord>,
    layout: Layout,
    wanted: Ranges,
    shares: BTreeMap<u16, ShareRanges>,
    /// Per place, what was asked of it (and has come, or may still).
    asked: BTreeMap<usize, Ranges>,
    open: Vec<Open>,
    tasks: JoinSet<Got>,
    /// Places that failed: why, and when they may be asked again.
    failed: BTreeMap<usize, (String, Option<Instant>)>,
    start: Instant,
    deadline: Instant,
}

impl Fetch {
    async fn run(mut self, wanted: BTreeMap<u16, Ranges>) -> Result<Vec<Bytes>, FetchError> {
        for (share, ranges) in wanted {
            let ranges = join(ranges);
            match self.best_place(share) {
                Some(place) if self.online(place) => self.get(place, ranges),
                _ => self.rescue(&ranges),
            }
        }
        loop {
            if let Some(done) = self.assembled() {
                return Ok(done);
            }
            let now = Instant::now();
            if now >= self.deadline || (self.open.is_empty() && !self.retry_later()) {
                return Err(self.too_few());
            }
            let wake = self.next_wake();
            tokio::select! { biased;
                got = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    if let Some(Ok(got)) = got {
                        self.take(got);
                    }
                }
                () = tokio::time::sleep_until(wake) => self.hedge(),
            }
        }
    }

    /// The holder of a share to ask first. With k = 1 every share is the pack itself.
    fn best_place(&self, share: u16) -> Option<usize> {
        let fits = |p: &usize| self.record.k == 1 || self.record.shares[*p].number == share;
        (0..self.record.shares.len()).filter(fits).min_by_key(|p| self.rank(*p))
    }

    fn online(&self, place: usize) -> bool {
        let holder = self.record.shares[place].holder;
        self.grid.own(&holder).is_some() || self.grid.friends.online(&holder)
    }

    /// Sorts the better place first.
    fn rank(&self, place: usize) -> (bool, bool, bool, u64, Duration, usize) {
        let holder = &self.record.shares[place].holder;
        let own = self.grid.own(holder).is_some();
        let (wrong, streak) = self.grid.note(holder, |h| (h.wrong_bytes > 0, h.streak.min(8)));
        let rtt = self.grid.friends.rtt(holder).unwrap_or(Duration::MAX);
        (!self.online(place), wrong, !own, streak, rtt, place)
    }

    /// Ask a place for what was not asked of it yet.
    fn get(&mut self, place: usize, ranges: Ranges) {
        let asked = self.asked.entry(place).or_default();
        let ranges = subtract(&ranges, asked);
        if ranges.is_empty() {
            return;
        }
        *asked = join(asked.iter().cloned().chain(ranges.iter().cloned()).collect());
        let holder = self.record.shares[place].holder;
        let hedge = self.grid.note(&holder, |h| h.hedge_after());
        for part in ranges.chunks(GET_RANGES_MAX) {
            let part = part.to_vec();
            self.open.push(Open { place, ranges: part.clone(), hedge_at: Some(Instant::now() + hedge) });
            let (grid, drive, record) = (self.grid.clone(), self.drive, self.record.clone());
            let (layout, left) = (self.layout, self.deadline.saturating_duration_since(Instant::now()));
            self.tasks.spawn(async move {
                let result = grid.get_ranges(drive, &record, place, layout.share_len(), &part, left).await;
                Got { place, ranges: part, result }
            });
        }
    }

    /// Make sure that k shares are asked for these ranges, whatever becomes of those that
    /// fail or are late.
    fn rescue(&mut self, ranges: &Ranges) {
        let late: Vec<usize> = self.open.iter().filter(|o| o.hedge_at.is_none()).map(|o| o.place).collect();
        let mut places: Vec<usize> = (0..self.record.shares.len()).collect();
        places.retain(|p| !self.failed.contains_key(p) && !late.contains(p));
        let covered = |p: &usize| self.asked.get(p).is_some_and(|asked| subtract(ranges, asked).is_empty());
        places.sort_by_key(|p| (!self.online(*p), !covered(p), self.rank(*p)));
        let (mut numbers, mut chosen) = (std::collections::BTreeSet::new(), Vec::new());
        for place in places {
            if numbers.len() < usize::from(self.record.k) && numbers.insert(self.record.shares[place].number)
            {
                chosen.push(place);
            }
        }
        for place in chosen {
            self.get(place, ranges.clone());
        }
    }

    fn take(&mut self, got: Got) {
        self.open.retain(|o| !(o.place == got.place && o.ranges == got.ranges));
        match got.result {
            Ok(parts) => {
                let share = self.shares.entry(self.record.shares[got.place].number).or_default();
                for (offset, bytes) in parts {
                    share.insert(offset, bytes);
                }
            }
            Err(error) => {
                if matches!(error, GetError::Lost(_)) {
                    let place = &self.record.shares[got.place];
                    if let Some(access) = self.grid.access(&self.drive) {
                        access.share_lost(&self.record.pack, place);
                    }
                    self.grid.suspect(self.drive, self.record.pack);
                }
                let (why, again) = match error {
                    GetError::Later(why) => (why, Some(Instant::now() + RETRY_AFTER)),
                    GetError::Never(why) | GetError::Lost(why) => (why, None),
                };
                self.failed.insert(got.place, (why, again));
                self.asked.remove(&got.place);
                self.rescue(&got.ranges);
            }
        }
    }

    fn hedge(&mut self) {
        let now = Instant::now();
        let mut late = Vec::new();
        for open in &mut self.open {
            if open.hedge_at.is_some_and(|at| at <= now) {
                open.hedge_at = None;
                late.push(open.ranges.clone());
            }
        }
        let again: Vec<usize> = self
            .failed
            .iter()
            .filter(|(_, (_, at))| at.is_some_and(|at| at <= now))
            .map(|(p, _)| *p)
            .collect();
        for place in &again {
            self.failed.remove(place);
        }
        for ranges in late {
            self.rescue(&ranges);
        }
        if !again.is_empty() {
            for range in self.wanted.clone() {
                for (_, ranges) in self.layout.wanted(range).unwrap_or_default() {
                    self.rescue(&ranges);
                }
            }
        }
    }

    fn retry_later(&self) -> bool {
        self.failed.values().any(|(_, at)| at.is_some())
    }

    fn next_wake(&self) -> Instant {
        let hedges = self.open.iter().filter_map(|o| o.hedge_at);
        let retries = self.failed.values().filter_map(|(_, at)| *at);
        hedges.chain(retries).min().map_or(self.deadline, |at| at.min(self.deadline))
    }

    /// All ranges, once the shares at hand give them.
    fn assembled(&self) -> Option<Vec<Bytes>> {
        let mut out = Vec::with_capacity(self.wanted.len());
        for range in &self.wanted {
            match assemble(self.layout, range.clone(), &self.shares) {
                Ok(bytes) => out.push(Bytes::from(bytes)),
                Err(_) => return None,
            }
        }
        Some(out)
    }

    fn too_few(&self) -> FetchError {
        let missing = self.record.shares.iter().enumerate().filter_map(|(place, share)| {
            let name = self.grid.roster.name_of(&share.holder);
            match self.failed.get(&place) {
                Some((why, _)) => Some(format!("{name} ({why})")),
                None if self.open.iter().any(|o| o.place == place) => Some(format!("{name} (no answer)")),
                None if !self.shares.contains_key(&share.number) => Some(name),
                None => None,
            }
        });
        FetchError::TooFew {
            pack: self.record.pack,
            k: self.record.k,
            have: self.shares.len(),
            waited: self.start.elapsed(),
            missing: missing.collect(),
        }
    }
}
