//! Tests of the room. Rejections are named after the flaw that must be refused.

mod admin;
mod admin_flaws;
mod capability;
mod derive;
mod drive_keys;
mod enrol;
mod genesis_flaws;
mod identity;
mod keystore;
mod poly_collision;
mod recovery;
mod rules;
mod seal;
mod signed;
mod vectors;

use super::*;

/// What the seal is made of, for tests against other implementations.
use super::seal as seal_internals;

/// A seed of one repeated byte.
fn seed(byte: u8) -> Seed {
    Seed::from_bytes([byte; 32])
}

fn exchange(byte: u8) -> ExchangeKey {
    ExchangeKey::from_seed(seed(byte))
}

/// All one-bit changes of some bytes.
fn flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..bytes.len() * 8).map(|bit| {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        changed
    })
}

/// A person with a device and its certificate, valid from day 100 for 90 days.
struct Someone {
    person: PersonKey,
    device: DeviceKeys,
    certificate: Signed,
}

fn someone(byte: u8) -> Someone {
    let person = PersonKey::from_seed(&seed(byte));
    let device = DeviceKeys::from_seed(seed(byte.wrapping_add(100)));
    let body = device.certificate(person.id(), "laptop", household(b"home"), 100, 1);
    Someone { certificate: person.certify(&body), person, device }
}

const TODAY: Day = 120;

/// A drive with its founder as admin member and nobody else.
struct Founded {
    admin: SigningKey,
    founder: Someone,
    log: AdminLog,
    keys: DriveKeys,
}

fn parameters() -> Parameters {
    Parameters { sealed_name: Vec::new(), retention_days: 30, release_delay_days: 7, park_after_days: 90 }
}

fn found() -> Founded {
    let admin = SigningKey::from_seed(&seed(1));
    let founder = someone(2);
    let read = ReadKey::from_bytes([3; 32]);
    let (mut log, keys) = found_drive(&admin, "family", parameters(), [4; 32], read).unwrap();
    let member = member_of(&founder, Power::Admin);
    log.add_member(&admin, member, &keys, &exchange(5)).unwrap();
    Founded { admin, founder, log, keys }
}

fn member_of(someone: &Someone, power: Power) -> Member {
    let exchange_key = someone.person.sharing(0).public();
    Member { person: someone.person.id(), exchange_key, power }
}

fn writer_of(someone: &Someone, key: &WriterKey, power: Power, from: Epoch) -> Writer {
    let (person, node) = (someone.person.id(), someone.device.node());
    Writer { key: key.public(), person, node, power, from, ticket: None }
}
