//! Room in memory, bounded for all and for each: no one account can take what others need too.

use crate::keys::PersonId;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Units of something, so many for all and so many for each person.
pub(super) struct Turns {
    all: Arc<Semaphore>,
    each: u32,
    persons: Mutex<BTreeMap<PersonId, Arc<Semaphore>>>,
}

/// Units in use; given back when dropped.
pub(super) struct Turn {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Turns {
    pub fn new(all: u32, each: u32) -> Turns {
        Turns { all: Arc::new(Semaphore::new(all as usize)), each: each.min(all), persons: Mutex::default() }
    }

    /// Wait for `units`, at most what one person may have.
    pub async fn take(&self, person: PersonId, units: u32) -> Result<Turn, AcquireError> {
        let units = units.min(self.each);
        let own = self.of(person).acquire_many_owned(units).await?;
        // The person's share first: who waits for more of its own keeps nobody else waiting.
        let all = self.all.clone().acquire_many_owned(units).await?;
        Ok(Turn { _own: own, _all: all })
    }

    fn of(&self, person: PersonId) -> Arc<Semaphore> {
        let mut persons = self.persons.lock();
        // Only the table knows those that nobody uses or waits for.
        persons.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
        let new = || Arc::new(Semaphore::new(self.each as usize));
        persons.entry(person).or_insert_with(new).clone()
    }
}
